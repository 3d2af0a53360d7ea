"""Where a framework makes a program by Python, layers that differ in their weights only are traced once."""

import numpy as np
import pytest

from tests.backends.test_prepare import SETTINGS, made

pytestmark = pytest.mark.backend


@pytest.fixture(autouse=True)
def _makes_programs(chosen_backend):
    if chosen_backend == "torch":
        pytest.skip("PyTorch makes none")


def step(model, length):
    inputs = {"token_ids": np.ones((2, length), "int32"), "padding_mask": np.ones((2, length), bool)}
    model.train_on_batch(inputs, np.zeros((2, 3)))


@pytest.fixture
def traced(monkeypatch):
    """A list that grows with each trace of a layer's attention."""
    from kmodels import backends

    kernels, found = backends.current().kernels, []
    attention = kernels.attention
    monkeypatch.setattr(kernels, "attention", lambda *arguments: found.append(arguments) or attention(*arguments))
    return found


def layers_of(model):
    return [layer for layer in model._flatten_layers() if type(layer).__name__ == "TransformerEncoder"]


def test_layers_of_one_kind_are_traced_once_and_drop_different_elements(traced, chosen_backend):
    import keras

    model = made("float32", SETTINGS["mean"], prepared=True, dropout=0.5)
    model.compile(loss="mse")
    counts = []
    for length in (5, 6):
        step(model, length)
        counts.append(len(traced))
    # On JAX the first step is traced for its shapes before.
    assert len(layers_of(model)) == 2 and counts == {"jax": [2, 3], "tensorflow": [1, 2]}[chosen_backend]
    seeds = [
        keras.ops.convert_to_numpy(variable)
        for layer in layers_of(model)
        for variable in layer.variables
        if "seed_generator" in variable.path
    ]
    assert all(seed[1] == 2 for seed in seeds if seed[1]) and sum(seed[1] for seed in seeds) == 12


def test_a_layer_that_only_has_the_name_stays_as_it_is():
    import keras

    from kmodels import backends

    class TransformerEncoder(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    inputs = keras.Input((3,))
    model = keras.Model(inputs, TransformerEncoder()(inputs))
    backends.current().prepare(model)
    np.testing.assert_array_equal(model.predict(np.ones((2, 3)), verbose=0), 2)
