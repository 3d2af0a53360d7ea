"""The optimizer against plain NumPy, on the chosen backend."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend

RATE, DECAY, BETA_1, BETA_2, EPSILON = 0.1, 0.05, 0.9, 0.999, 1e-7


def plain_adamw(weights, gradients, decayed, factor=1.0):
    """Loshchilov & Hutter 2019, algorithm 2, epsilon beside the uncorrected second moment as Keras has it."""
    weights, first, second = weights.copy(), np.zeros_like(weights), np.zeros_like(weights)
    for step, gradient in enumerate(gradients, start=1):
        if decayed:
            weights -= factor * RATE * DECAY * weights
        first = BETA_1 * first + (1 - BETA_1) * gradient
        second = BETA_2 * second + (1 - BETA_2) * gradient**2
        rate = factor * RATE * np.sqrt(1 - BETA_2**step) / (1 - BETA_1**step)
        weights -= rate * first / (np.sqrt(second) + EPSILON)
    return weights


def applied(optimizer, weights, gradients, name="kernel"):
    """The weights after these gradients."""
    import keras

    variable = keras.Variable(weights, name=name)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    return keras.ops.convert_to_numpy(variable.value)


@pytest.fixture
def numbers():
    generator = np.random.default_rng(0)
    return generator.standard_normal((3, 2)).astype("float32"), generator.standard_normal((5, 3, 2)).astype("float32")


@pytest.mark.parametrize("name", ["kernel", "bias"])
@pytest.mark.parametrize("decay", [0.0, DECAY])
def test_adamw_equals_a_plain_one_and_decays_no_bias(numbers, name, decay):
    from kmodels.optimizers import adamw

    weights, gradients = numbers
    optimizer = adamw(RATE, weight_decay=decay, clip_norm=0)
    expected = plain_adamw(weights, gradients, decayed=decay > 0 and name == "kernel")
    np.testing.assert_allclose(applied(optimizer, weights, gradients, name), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("decay", [0.0, DECAY])
def test_a_variable_with_a_factor_learns_and_decays_at_so_many_times_the_rate(numbers, decay):
    import keras

    from kmodels.optimizers import adamw

    weights, gradients = numbers
    variables = {factor: keras.Variable(weights, name="kernel") for factor in (0.5, 1.0, 0.25)}
    for factor, variable in variables.items():
        if factor != 1.0:
            variable.learning_rate_factor = factor
    optimizer = adamw(RATE, weight_decay=decay, clip_norm=0)
    optimizer.build([*variables.values()])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)] * len(variables), [*variables.values()])
    for factor, variable in variables.items():
        expected = plain_adamw(weights, gradients, decay > 0, factor)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable.value), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2])
def test_the_average_follows_the_weights_and_leaves_them_alone(numbers, steps):
    from kmodels.optimizers import adamw, averages_of

    weights, gradients = numbers
    settings = {"weight_decay": DECAY, "clip_norm": 0, "gradient_accumulation_steps": steps}
    optimizer = adamw(RATE, **settings, ema_momentum=0.25)
    last = applied(optimizer, weights, gradients)
    np.testing.assert_array_equal(last, applied(adamw(RATE, **settings), weights, gradients))
    expected = 0
    for done in range(len(gradients) // steps):
        kept = min(0.25, done / (done + 2))
        state = applied(adamw(RATE, **settings), weights, gradients[: (done + 1) * steps])
        expected = kept * expected + (1 - kept) * state
    [(_, average)] = averages_of(optimizer)
    np.testing.assert_allclose(np.asarray(average), expected, rtol=1e-5)


def test_gradients_longer_than_the_clip_norm_are_scaled_down(numbers):
    from kmodels.optimizers import adamw

    weights, gradients = numbers
    norms = np.sqrt((gradients**2).sum(axis=(1, 2), keepdims=True))
    clipped = gradients * np.minimum(1, 0.5 / norms)
    expected = plain_adamw(weights, clipped, decayed=False)
    got = applied(adamw(RATE, weight_decay=0.0, clip_norm=0.5), weights, gradients)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_accumulated_gradients_update_as_their_mean(numbers):
    from kmodels.optimizers import adamw

    weights, gradients = numbers
    expected = plain_adamw(weights, [gradients[:2].mean(axis=0), gradients[2:4].mean(axis=0)], decayed=False)
    optimizer = adamw(RATE, weight_decay=0.0, clip_norm=0, gradient_accumulation_steps=2)
    np.testing.assert_allclose(applied(optimizer, weights, gradients), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("clip_norm", [0, 0.5])
def test_a_repeated_words_gradient_is_summed_before_it_is_squared_or_clipped(clip_norm):
    """Keras on TensorFlow squares each occurrence by itself."""
    import keras

    from kmodels.layers.word_embedding import WordEmbedding
    from kmodels.optimizers import adamw

    ids, mask = np.array([[1, 1, 1, 2]], "int32"), np.ones((1, 4), bool)
    inputs = [keras.Input((4,), dtype="int32"), keras.Input((4,), dtype="bool")]
    layer = WordEmbedding(3, 2)
    model = keras.Model(inputs, keras.ops.sum(layer(*inputs), axis=1))
    model.compile(adamw(RATE, weight_decay=0.0, clip_norm=clip_norm), loss=lambda true, output: keras.ops.sum(output))
    before = keras.ops.convert_to_numpy(layer.embeddings.value)
    for _ in range(3):
        model.train_on_batch([ids, mask], np.zeros((1, 2), "float32"))
    gradient = np.array([[0, 0], [3, 3], [1, 1]], "float32") * (clip_norm / 20**0.5 if clip_norm else 1)
    expected = plain_adamw(before, [gradient] * 3, decayed=False)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer.embeddings.value), expected, rtol=1e-5, atol=1e-5)
    velocity = keras.ops.convert_to_numpy(model.optimizer._velocities[0].value)
    np.testing.assert_allclose(velocity, (1 - BETA_2**3) * gradient**2, rtol=1e-4)


@pytest.mark.parametrize("decay", ["linear", "constant"])
def test_the_rate_climbs_then_falls_or_stays(decay):
    import keras

    from kmodels.optimizers import WarmupSchedule

    schedule = WarmupSchedule(1.0, warmup_steps=4, total_steps=10, decay=decay)
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in range(10)]
    np.testing.assert_allclose(rates[:4], [0.25, 0.5, 0.75, 1.0])
    expected = [1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6] if decay == "linear" else [1.0] * 6
    np.testing.assert_allclose(rates[4:], expected, rtol=1e-6)


def test_a_schedule_without_warm_up_begins_at_its_peak():
    from kmodels.optimizers import WarmupSchedule

    assert float(WarmupSchedule(2.0, 0, 10, "linear")(0)) == 2.0


@pytest.mark.parametrize("decay", ["linear", "constant"])
def test_a_rate_is_the_same_without_a_framework(decay):
    import keras

    from kmodels.optimizers import WarmupSchedule

    for warmup_steps, total_steps in ((0, 1), (7, 333), (123, 6315)):
        schedule = WarmupSchedule(1.7e-3, warmup_steps, total_steps, decay)
        for step in {0, 1, warmup_steps - 1, warmup_steps, total_steps // 3, total_steps - 1, total_steps + 5} - {-1}:
            rate = float(keras.ops.convert_to_numpy(schedule(step)))
            np.testing.assert_allclose(schedule.on_host(step), rate, rtol=1e-7)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_weight_is_held_to_its_constraint_and_one_without_a_gradient_stays():
    import keras

    from kmodels.optimizers import adamw

    held = keras.Variable(np.ones(2, "float32"), name="kernel")
    held.constraint = keras.constraints.MaxNorm(1.0, axis=0)
    free, unused = (keras.Variable(np.ones(2, "float32"), name="kernel") for _ in range(2))
    optimizer = adamw(0.1, weight_decay=0.0, clip_norm=0)
    optimizer.build([held, free, unused])
    gradient = keras.ops.convert_to_tensor(-np.ones(2, "float32"))
    optimizer.apply([gradient, gradient, None], [held, free, unused])
    optimizer.apply([gradient, gradient], (held, free))
    values = [keras.ops.convert_to_numpy(each.value) for each in (held, free, unused)]
    np.testing.assert_allclose(np.linalg.norm(values[0]), 1.0, rtol=1e-5)
    np.testing.assert_allclose(values[1], 1.2, rtol=1e-5)
    np.testing.assert_array_equal(values[2], 1.0)
    assert int(optimizer.iterations) == 2
