"""What stands between Keras's LSTM and PyTorch's."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend


@pytest.fixture(autouse=True)
def torch_only(chosen_backend):
    if chosen_backend != "torch":
        pytest.skip("of PyTorch")


@pytest.fixture
def calls(monkeypatch):
    """A list that grows with each call of PyTorch's LSTM."""
    import torch

    kernel, found = torch._VF.lstm, []
    monkeypatch.setattr(torch._VF, "lstm", lambda *given: found.append(given) or kernel(*given))
    return found


KINDS = "float32", "mixed_bfloat16"


def outcome(layer, lstm, monkeypatch, **given):
    """What an LSTM gives, with its last states, and the gradients of its input, its first states and its weights."""
    import torch
    from keras.src import backend as keras_backend

    monkeypatch.setattr(keras_backend, "lstm", lstm)
    numbers = np.random.default_rng(0)
    x, *states = (
        torch.tensor(numbers.standard_normal(shape).astype("float32"), requires_grad=True)
        for shape in ((3, 5, 4), (3, 6), (3, 6))
    )
    outputs = layer(x, initial_state=states, **given)
    total = sum((place + 1) * each.float().pow(2).sum() for place, each in enumerate(outputs))
    gradients = torch.autograd.grad(total, [x, *states, *(weight.value for weight in layer.trainable_weights)])
    return [each.detach().float() for each in (*outputs, *gradients)]


@pytest.mark.parametrize(
    "settings, given, num_calls",
    [
        ({}, {}, 1),
        ({"return_sequences": False}, {}, 1),
        ({}, {"mask": np.arange(5) < np.array([[5], [2], [3]])}, 0),
        ({"go_backwards": True}, {}, 0),
        ({"activation": "relu"}, {}, 0),
        ({"recurrent_activation": "hard_sigmoid"}, {}, 0),
        ({"use_bias": False}, {}, 0),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, dict) else None,
)
def test_an_lstm_is_one_call_and_gives_what_keras_computes_step_by_step(settings, given, num_calls, calls, monkeypatch):
    import keras
    import torch

    from kmodels.backends.torch import recurrent

    layer = keras.layers.LSTM(6, return_state=True, **{"return_sequences": True, "seed": 1} | settings)
    layer.build((3, 5, 4))
    expected = outcome(layer, recurrent._keras_lstm, monkeypatch, **given)
    assert not calls
    got = outcome(layer, recurrent.lstm, monkeypatch, **given)
    assert len(calls) == num_calls
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_in_bfloat16_it_is_as_near_to_float32_as_keras_computes_it(calls, monkeypatch):
    import keras

    from kmodels.backends.torch import recurrent

    keras.utils.set_random_seed(1)
    exact, rounded = (keras.layers.LSTM(6, return_state=True, return_sequences=True, dtype=kind) for kind in KINDS)
    for layer in (exact, rounded):
        layer.build((3, 5, 4))
    rounded.set_weights(exact.get_weights())
    expected = outcome(exact, recurrent._keras_lstm, monkeypatch)
    kerass = outcome(rounded, recurrent._keras_lstm, monkeypatch)
    got = outcome(rounded, recurrent.lstm, monkeypatch)
    assert len(calls) == 1

    def distance(found):
        return sum(((each - wanted).norm() / wanted.norm()) ** 2 for each, wanted in zip(found, expected, strict=True))

    assert distance(got) <= 1.2 * distance(kerass)


def test_a_run_has_it(calls, chosen_backend):
    import keras

    from kmodels import backends

    backends.current().configure()
    keras.layers.LSTM(6)(np.zeros((2, 3, 4), "float32"))
    assert len(calls) == 1
