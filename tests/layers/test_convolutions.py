"""Convolutions by one matrix product, and their maxima, are Keras's."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend


def by_keras(layer, x, padding_mask):
    """What Conv1D layers with the same kernels give, and then the maximum over the real tokens."""
    import keras

    from kmodels.layers.initializers import GlorotUniform

    bias = keras.ops.convert_to_numpy(layer.bias).reshape(len(layer.kernel_sizes), -1)
    given = []
    for width, its_bias in zip(layer.kernel_sizes, bias):
        kernel = GlorotUniform(layer.seed, f"conv_{width}/kernel")
        conv = keras.layers.Conv1D(
            layer.num_filters, width, padding="same", activation="relu", kernel_initializer=kernel
        )
        conv.build(x.shape)
        conv.bias.assign(its_bias)
        given.append(keras.ops.convert_to_numpy(conv(x)))
    return (np.concatenate(given, axis=-1) * padding_mask[:, :, None]).max(axis=1)  # after ReLU none is less than 0


@pytest.mark.parametrize("kernel_sizes", [(2, 3, 4, 5), (1,), (2,), (7, 3), (6, 1, 2)])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_they_are_kerass(kernel_sizes, length):
    import keras

    from kmodels.layers.convolutions import ConvolutionMaxima

    numbers = np.random.default_rng(0)
    padding_mask = np.arange(length) < np.array([[length], [(length + 1) // 2], [0]])
    x = numbers.standard_normal((3, length, 8)).astype("float32") * padding_mask[:, :, None]
    layer = ConvolutionMaxima(4, kernel_sizes, seed=3)
    layer.build(x.shape)
    layer.bias.assign(numbers.standard_normal(layer.bias.shape))
    found = layer(x, padding_mask)
    assert tuple(found.shape) == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), by_keras(layer, x, padding_mask), atol=1e-5)


def test_a_width_given_twice_is_refused():
    from kmodels.layers.convolutions import ConvolutionMaxima

    with pytest.raises(ValueError, match="differ"):
        ConvolutionMaxima(4, (3, 3))


def test_its_settings_make_it_again():
    from kmodels.layers.convolutions import ConvolutionMaxima

    layer = ConvolutionMaxima(4, (3, 2), seed=5, name="convolutions")
    again = ConvolutionMaxima.from_config(layer.get_config())
    assert (again.num_filters, again.kernel_sizes, again.seed) == (4, [2, 3], 5)
