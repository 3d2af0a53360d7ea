"""Dropout of a backend's own drops each element by itself, as often as it should."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend


@pytest.fixture
def drop(chosen_backend):
    """drop(size, rate, **of keras.layers.Dropout) -> what is left of ones, float32 NumPy."""
    import keras

    from kmodels import backends

    backends.current().configure()

    def call(size=200_000, rate=0.1, **settings):
        layer = settings.pop("layer", None) or keras.layers.Dropout(rate, **settings)
        return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(layer(np.ones(size), training=True), "float32")))

    return call


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.9])
def test_as_many_are_dropped_as_should_be_and_the_rest_is_scaled(drop, rate):
    left = drop(rate=rate)
    assert abs((left != 0).mean() - (1 - rate)) < 5 * (rate * (1 - rate) / len(left)) ** 0.5
    np.testing.assert_allclose(left[left != 0], 1 / (1 - rate), rtol=1e-3)


def test_a_rate_too_small_for_16_bits_is_what_it_is(drop):
    left = drop(rate=1e-6)
    assert (left == 0).sum() < 3
    np.testing.assert_allclose(left.max(), 1 / (1 - 1e-6), rtol=1e-6)


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 8, 16, 64, 384, 1536])
def test_no_element_tells_of_another(drop, distance):
    stays = drop(rate=0.5) != 0
    agreeing = (stays[distance:] == stays[:-distance]).mean()
    assert abs(agreeing - 0.5) < 5 * 0.5 / len(stays) ** 0.5


def test_one_call_does_not_tell_of_the_next_and_one_seed_not_of_another(drop):
    import keras

    layer = keras.layers.Dropout(0.5, seed=7)
    calls = [drop(layer=layer) != 0 for _ in range(4)] + [drop(rate=0.5, seed=seed) != 0 for seed in (8, 9, 7 + 2**16)]
    agreeing = [(one == other).mean() for number, one in enumerate(calls) for other in calls[:number]]
    assert np.abs(np.array(agreeing) - 0.5).max() < 5 * 0.5 / len(calls[0]) ** 0.5
    # Nor do two together tell of a third.
    assert abs((calls[0] ^ calls[1] ^ calls[2]).mean() - 0.5) < 5 * 0.5 / len(calls[0]) ** 0.5


def test_the_same_seed_drops_the_same(drop):
    np.testing.assert_array_equal(drop(seed=3), drop(seed=3))
    assert (drop(seed=3) != drop(seed=4)).any()


def test_rows_share_their_places_where_a_noise_shape_says_so(drop):
    rows = drop((50, 4), 0.5, noise_shape=(None, 1))
    np.testing.assert_array_equal(rows, np.repeat(rows[:, :1], 4, axis=1))


@pytest.mark.parametrize("size", [0, 1, 3, 5])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_any_size_and_number_format(drop, size, dtype):
    assert drop(size, dtype=dtype).shape == (size,)


def test_gradients_are_dropped_and_scaled_as_the_elements(chosen_backend, drop):
    """A weight times what is left of ones: the weight's gradient at a place is what is left there."""
    import keras

    class Weight(keras.layers.Layer):
        def build(self, shape):
            self.weight = self.add_weight(shape=(1000,), initializer="ones", name="weight")

        def call(self, x):
            return x * self.weight

    model = keras.Sequential([keras.Input((1000,)), Weight(), keras.layers.Dropout(0.3, seed=1)])
    model.compile(keras.optimizers.SGD(1.0), loss=lambda true, found: keras.ops.sum(found))
    model.train_on_batch(np.ones((1, 1000)), np.zeros((1, 1)))
    gradient = 1 - keras.ops.convert_to_numpy(model.layers[0].weight.value)
    assert 0.6 < (gradient != 0).mean() < 0.8
    np.testing.assert_allclose(gradient[np.abs(gradient) > 1e-6], 1 / 0.7, rtol=1e-3)
