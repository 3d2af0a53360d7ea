"""Initial weights that are the same numbers on every backend.

`keras.initializers` draw from the backend's own generator, so one seed gives three models. Here NumPy draws.
"""

import contextlib
import zlib

import keras
import numpy as np
from keras import ops


def generator(seed, name):
    """A NumPy generator of its own for every name, so that adding a layer changes no other layer's weights."""
    return np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(name.encode())]))


def dropout_seed(seed, name):
    """A seed of its own for every layer that drops: one for all would have them drop the same places."""
    return int(generator(seed, name).integers(2**31))


@contextlib.contextmanager
def none_drawn():
    """A context in which Keras's own initializers give zeros: for layers whose weights are set right after.

    Drawing those of BERT base takes seconds.
    """
    kinds = [getattr(keras.initializers, name) for name in ("RandomNormal", "RandomUniform", "TruncatedNormal")]
    kinds.append(keras.initializers.VarianceScaling)
    before = [kind.__call__ for kind in kinds]
    for kind in kinds:
        kind.__call__ = lambda self, shape, dtype=None: ops.zeros(shape, dtype or keras.config.floatx())
    try:
        yield
    finally:
        for kind, call in zip(kinds, before):
            kind.__call__ = call


class _Portable(keras.initializers.Initializer):
    """Draws with NumPy from (seed, name). A subclass has `draw(numbers, shape)`: values from a NumPy generator.

    Args:
        seed: the model's seed.
        name: what is drawn, unique in the model: "conv_3/kernel".
    """

    def __init__(self, seed, name):
        self.seed = seed
        self.name = name

    def __call__(self, shape, dtype=None):
        values = self.draw(generator(self.seed, self.name), tuple(shape)).astype("float32")
        return ops.convert_to_tensor(values, dtype=dtype)

    def get_config(self):
        return {"seed": self.seed, "name": self.name}


@keras.saving.register_keras_serializable("kmodels")
class GlorotUniform(_Portable):
    """Uniform within ±sqrt(6 / (fan_in + fan_out)). Source: Glorot & Bengio 2010."""

    def draw(self, numbers, shape):
        receptive_field = int(np.prod(shape[:-2])) if len(shape) > 2 else 1
        limit = np.sqrt(6 / (receptive_field * (shape[-2] + shape[-1])))
        return numbers.uniform(-limit, limit, shape)


@keras.saving.register_keras_serializable("kmodels")
class Orthogonal(_Portable):
    """A matrix with orthonormal rows or columns. Source: Saxe et al. 2014."""

    def draw(self, numbers, shape):
        rows, columns = shape
        q, r = np.linalg.qr(numbers.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))  # else the sign would be LAPACK's choice
        return q if rows >= columns else q.T


@keras.saving.register_keras_serializable("kmodels")
class Uniform(_Portable):
    """Uniform within ±limit."""

    def __init__(self, limit, seed, name):
        super().__init__(seed, name)
        self.limit = limit

    def draw(self, numbers, shape):
        return numbers.uniform(-self.limit, self.limit, shape)

    def get_config(self):
        return super().get_config() | {"limit": self.limit}


@keras.saving.register_keras_serializable("kmodels")
class TruncatedNormal(_Portable):
    """Normal with this standard deviation, drawn again beyond two of them. Source: Devlin et al. 2019 (BERT)."""

    def __init__(self, stddev, seed, name):
        super().__init__(seed, name)
        self.stddev = stddev

    def draw(self, numbers, shape):
        values = numbers.standard_normal(shape, dtype="float32")
        flat = values.reshape(-1)
        beyond = np.flatnonzero(np.abs(flat) > 2)
        while len(beyond):
            again = numbers.standard_normal(len(beyond), dtype="float32")
            flat[beyond] = again
            beyond = beyond[np.abs(again) > 2]
        return values * np.float32(self.stddev)

    def get_config(self):
        return super().get_config() | {"stddev": self.stddev}
