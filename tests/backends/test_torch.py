"""What kmodels.backends.torch does besides what every backend does."""

import numpy as np
import pytest

import kmodels

pytestmark = pytest.mark.one_backend


@pytest.fixture(autouse=True)
def torch(chosen_backend):
    if chosen_backend != "torch":
        pytest.skip("the other backends have files of their own")
    import keras
    import torch

    from kmodels import backends

    if torch.cuda.is_available():
        pytest.skip("what is done on a CPU")
    keras.config.set_dtype_policy("float32")
    backends.current().configure()
    return torch


def test_on_a_cpu_each_update_is_one_fused_call_for_all_weights_of_one_decay(torch, monkeypatch):
    import keras

    from kmodels.optimizers import adamw

    calls, fused = [], torch._fused_adamw_

    def counted(*arguments, **settings):
        calls.append(len(arguments[0]))
        return fused(*arguments, **settings)

    monkeypatch.setattr(torch, "_fused_adamw_", counted)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    for decay in (0.0, 0.1):
        model.compile(adamw(0.1, weight_decay=decay), loss="mse")
        model.train_on_batch(torch.ones(4, 2), torch.ones(4, 3))
    assert calls == [2, 1, 1]


def test_weights_that_lie_transposed_in_memory_are_updated_with_their_own_moments(torch):
    import keras

    from kmodels.optimizers import adamw

    gradients = torch.tensor(np.random.default_rng(0).standard_normal((2, 4, 3)).astype("float32"))
    found = []
    for optimizer in (
        adamw(0.1, weight_decay=0.0),
        keras.optimizers.Adam(0.1, epsilon=1e-7, global_clipnorm=1.0),
    ):
        weight = keras.Variable(torch.zeros(3, 4))
        weight.value.data = torch.ones(4, 3).T  # as the LSTM's recurrent kernel lies in memory
        for gradient in gradients:  # of which none is a part of another: Adam would not see by which
            optimizer.apply([gradient.T], [weight])
        variables = [weight, *(each for each in optimizer.variables if each.shape == (3, 4))]
        found.append([each.value.detach().clone() for each in variables])
    ours, theirs = found
    assert len(ours) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert type(one) is torch.Tensor
        torch.testing.assert_close(one, other)


def test_the_count_of_updates_that_is_set_from_outside_is_read(torch):
    import keras

    from kmodels.optimizers import WarmupSchedule, adamw

    weight = keras.Variable(torch.ones(3))
    optimizer = adamw(WarmupSchedule(1.0, 0, 10), weight_decay=0.0)
    rates = []
    for count in (None, None, 7, 7):
        if count is not None:
            optimizer.iterations.assign(count)
        rates.append(round(optimizer.learning_rate, 6))
        optimizer.apply([torch.ones(3)], [weight])
        rates.append(round(optimizer.learning_rate, 6))
    assert rates == [1.0, 0.9, 0.9, 0.8, 0.3, 0.2, 0.3, 0.2]


def dropped(seed):
    import torch
    from keras.src import backend

    return backend.random.dropout(torch.ones(1000), 0.5, seed=seed)


def uniform(seed):
    import keras

    return keras.random.uniform((1000,), seed=seed)


@pytest.mark.parametrize("draw", [dropped, uniform])
def test_the_count_of_draws_that_is_set_from_outside_is_read(torch, draw):
    import keras

    seed = keras.random.SeedGenerator(1)
    first, second = draw(seed), draw(seed)
    assert not torch.equal(first, second)
    seed.state.assign([1, 0])
    assert torch.equal(draw(seed), first)
    assert torch.equal(draw(seed), second)
    assert seed.state.numpy().tolist() == [1, 2]


def test_uniform_numbers_are_of_their_interval_shape_and_format(torch):
    import keras

    seed = keras.random.SeedGenerator(1)
    numbers = keras.random.uniform((200, 500), seed=seed)
    assert numbers.dtype == torch.float32
    assert 0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 5 * (1 / 12 / numbers.numel()) ** 0.5
    assert keras.random.uniform((3,), dtype="bfloat16", seed=seed).dtype == torch.bfloat16
    others = keras.random.uniform((1000,), -3.0, 5.0, seed=seed)
    assert -3 <= others.min() < -2.9
    assert 4.9 < others.max() < 5


def test_batches_are_fed_in_order_as_tensors_and_anew_each_time(torch):
    from kmodels import backends

    def batches():
        for number in range(40):
            inputs = {"token_ids": np.full((2, 3), number, "int32"), "padding_mask": np.ones((2, 3), bool)}
            yield inputs, np.array([number, 0], "int32"), np.array([1, 0], "float32")

    feed = backends.current().feed(batches, 40)
    for _ in range(2):
        fed = list(feed)
        assert [int(labels[0]) for _, labels, _ in fed] == list(range(40))
        assert [int(inputs["token_ids"][1, 2]) for inputs, _, _ in fed] == list(range(40))
    inputs, labels, weights = fed[0]
    assert [inputs["token_ids"].dtype, inputs["padding_mask"].dtype] == [torch.int32, torch.bool]
    assert [labels.dtype, weights.dtype] == [torch.int32, torch.float32]


@pytest.fixture
def build(torch):
    """A function from a pooling to (a BERT of two layers and a classifier, its backbone)."""

    def built(pooling):
        settings = {"preset": "scratch:tiny", "vocabulary_size": 100, "num_classes": 2, "dropout": 0.0}
        model = kmodels.build("bert_base_pool", pooling=pooling, **settings)
        return model, next(layer for layer in model.layers if hasattr(layer, "hidden_dim"))

    return built


IDS, MASK = np.ones((2, 5), "int32"), np.ones((2, 5), bool)


@pytest.mark.parametrize("pooling", ["mean", "pooler"])
def test_a_prepared_encoder_is_few_calls(pooling, build, monkeypatch):
    import keras

    from kmodels import backends

    called, call = [], keras.layers.Layer.__call__

    def counted(layer, *given, **more):
        called.append(layer)
        return call(layer, *given, **more)

    monkeypatch.setattr(keras.layers.Layer, "__call__", counted)
    model, _ = build(pooling)
    counts = []
    for prepare in (lambda model: None, backends.current().prepare):
        prepare(model)
        called.clear()
        model({"token_ids": IDS, "padding_mask": MASK})
        counts.append(len(called))
    assert counts[1] < counts[0] / 2


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_what_is_asked_of_a_prepared_layer_otherwise_is_keras_own(build, torch):
    import keras

    from kmodels import backends

    model, backbone = build("mean")
    backends.current().prepare(model)
    encoder = keras.Model(backbone.input, backbone.output)
    layer = next(layer for layer in encoder._flatten_layers() if type(layer).__name__ == "TransformerEncoder")
    x = np.random.default_rng(0).standard_normal((2, 5, 128)).astype("float32")
    causal = np.tril(np.ones((2, 5, 5), "int32"))
    plain, tensor = type(layer).call, keras.ops.convert_to_tensor(x)
    for more in ({"attention_mask": causal}, {}):
        torch.testing.assert_close(layer(x, **more), plain(layer, tensor, **more), rtol=0, atol=0)
    torch.testing.assert_close(layer(x, padding_mask=MASK), plain(layer, tensor, MASK))
    encoder.quantize("int8")
    torch.testing.assert_close(layer(x, padding_mask=MASK), plain(layer, tensor, MASK), rtol=0, atol=0)
    assert tuple(layer(x, padding_mask=MASK, return_attention_scores=True)[1].shape) == (2, 2, 5, 5)
