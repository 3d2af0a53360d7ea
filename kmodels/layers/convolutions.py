"""Convolutions of several widths over a sentence, all of them by one matrix product, and their maxima over time."""

import keras
import numpy as np
from keras import ops

from kmodels.layers.initializers import GlorotUniform
from kmodels.layers.pooling import masked_max


@keras.saving.register_keras_serializable("kmodels")
class ConvolutionMaxima(keras.layers.Layer):
    """What `keras.layers.Conv1D` of each width with `padding="same"` and ReLU has for its maximum over the real tokens.

    A word's vector is multiplied with all places of all kernels at once, and each product goes to the window in which
    the word has that place. The frameworks' own convolutions take up to four times as long on a CPU
    (docs/performance.md). ReLU keeps the order of numbers, so it comes after the maximum.

    Args:
        num_filters: filters of each width.
        kernel_sizes: the widths, each once.
        seed: of the initial weights, which are those of a layer "conv_WIDTH" for each width.

    Call arguments:
        x: float, (batch, length, dim); zero on padding.
        padding_mask: bool, (batch, length); True on real tokens.

    Returns:
        float, (batch, num_widths * num_filters); the widths in ascending order. Zero for a row without real tokens.

    Weights:
        kernel: (dim, num_places, num_filters). The places are ordered by how far the word stands from the middle of
            the window, -2 to 2 for a width of 5, and then by width.
        bias: (num_widths * num_filters,).

    Source: Kim 2014, section 2.
    """

    def __init__(self, num_filters, kernel_sizes, seed=0, **kwargs):
        super().__init__(**kwargs)
        if len(set(kernel_sizes)) < len(kernel_sizes):
            raise ValueError(f"kernel_sizes must differ from each other; got {tuple(kernel_sizes)}")
        self.num_filters = num_filters
        self.kernel_sizes = sorted(kernel_sizes)
        self.seed = seed
        widest = self.kernel_sizes[-1]
        # Where a narrower window reaches, wider ones do: the widths with a shift are always the last ones.
        self.shifts = {
            shift: [width for width in self.kernel_sizes if -_before(width) <= shift < width - _before(width)]
            for shift in range(-_before(widest), widest - _before(widest))
        }

    def build(self, x_shape, padding_mask_shape=None):
        num_places = sum(self.kernel_sizes)
        self.kernel = self.add_weight(
            name="kernel", shape=(x_shape[-1], num_places, self.num_filters), initializer=self._initial
        )
        self.bias = self.add_weight(
            name="bias", shape=(len(self.kernel_sizes) * self.num_filters,), initializer="zeros"
        )

    def _initial(self, shape, dtype=None):
        dim, _, num_filters = shape
        kernels = {
            width: GlorotUniform(self.seed, f"conv_{width}/kernel")((width, dim, num_filters), dtype)
            for width in self.kernel_sizes
        }
        places = [kernels[width][shift + _before(width)] for shift, widths in self.shifts.items() for width in widths]
        return ops.stack(places, axis=1)

    def call(self, x, padding_mask):
        products = self.products(x)
        ends = np.cumsum([len(widths) for widths in self.shifts.values()])[:-1] * self.num_filters
        pieces = ops.split(products, ends.tolist(), axis=-1) if len(ends) else [products]
        windows = self.bias
        for shift, piece in zip(self.shifts, pieces):
            windows = windows + self._shifted(piece, shift)
        return ops.relu(masked_max(windows, padding_mask))

    def products(self, x):
        """Vectors, float, (…, dim), times all places of all kernels: (…, num_places * num_filters)."""
        return ops.matmul(x, ops.reshape(self.kernel, (x.shape[-1], -1)))

    def _shifted(self, piece, shift):
        """What the words that stand so far from the middle add: (batch, length, num_widths * num_filters)."""
        missing = self.bias.shape[0] - piece.shape[-1]
        piece = ops.pad(piece, [[0, 0], [max(-shift, 0), max(shift, 0)], [missing, 0]])
        return piece[:, shift:] if shift > 0 else piece[:, : shift or None]

    def compute_output_shape(self, x_shape, padding_mask_shape=None):
        return (x_shape[0], len(self.kernel_sizes) * self.num_filters)

    def get_config(self):
        return super().get_config() | {
            "num_filters": self.num_filters,
            "kernel_sizes": self.kernel_sizes,
            "seed": self.seed,
        }


def _before(width):
    """Words of a window before its middle one."""
    return (width - 1) // 2
