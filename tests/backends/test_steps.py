"""PyTorch's training step of few calls does what Keras's own does."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend

RECIPES = {
    "plain": {},
    "smoothed": {"label_smoothing": 0.2},
    "accumulated": {"gradient_accumulation_steps": 2},
    "constant, averaged": {"schedule": "constant", "ema_momentum": 0.9},
    "decayed by layer": {"layer_decay": 0.5},
}
SIZES = {
    "textcnn": {"embedding_dim": 8, "num_filters": 4, "kernel_sizes": (2, 3), "word_dropout": 0.2},
    "bilstm": {"embedding_dim": 8, "lstm_units": 4},
    "bert_base_pool": {"preset": "scratch:tiny", "pooling": "pooler"},
    "roberta_pool": {"preset": "scratch:tiny"},
    "bert_base_lstm": {"preset": "scratch:tiny", "lstm_units": 4},
}


def trained(name, recipe, by_keras, precision="float32"):
    """({path: weight}, [figures after each step, …]) of a few steps."""
    import keras

    from kmodels import backends, loop, models
    from kmodels.config import RunConfig

    recipe = dict(recipe)
    loss_scale_factor = recipe.pop("loss_scale_factor", None)
    config = RunConfig(model=name, learning_rate=1e-3, epochs=1, seed=1, **SIZES[name] | recipe).resolved("torch")
    backends.current().configure()
    keras.utils.set_random_seed(1)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        backbone = backbone_of(name) if config.architecture.is_encoder else None
        model = models.build(config, 3, 200, backbone)
        of_keras = model.train_step
        loop.compile_model(model, config, num_steps=6)
        model.optimizer.loss_scale_factor = loss_scale_factor
    finally:
        keras.config.set_dtype_policy(before)
    if by_keras:
        model.train_step = of_keras
    told = []
    look = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: told.append(dict(logs)))
    model.fit(batches(), steps_per_epoch=6, callbacks=[look], verbose=0, shuffle=False)
    figures = [{figure: float(value) for figure, value in each.items()} for each in told]
    return {variable.path: variable.numpy() for variable in model.variables}, figures, model


def backbone_of(name):
    import keras_hub

    kind = keras_hub.models.RobertaBackbone if name.startswith("roberta") else keras_hub.models.BertBackbone
    return kind(vocabulary_size=200, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32)


def batches():
    numbers = np.random.default_rng(0)
    for _ in range(6):
        lengths = np.array([9, 7, 4, 1, 9, 0])  # the last is a filler
        inputs = {
            "token_ids": numbers.integers(1, 200, (6, 9)).astype("int32"),
            "padding_mask": np.arange(9) < lengths[:, None],
        }
        yield inputs, numbers.integers(0, 3, 6).astype("int32"), np.array([1, 1, 2, 1, 1, 0], "float32")


@pytest.fixture(autouse=True)
def torch_only(chosen_backend, monkeypatch):
    if chosen_backend != "torch":
        pytest.skip("the other backends compile Keras's step")
    from kmodels.backends.torch import tables

    monkeypatch.setattr(tables, "_FEWEST_ROWS", 100)  # so that those here count as tables


@pytest.mark.parametrize(
    ("name", "recipe"),
    [*((name, "plain") for name in SIZES), *(("bert_base_pool", recipe) for recipe in RECIPES if recipe != "plain")],
)
def test_a_step_does_what_keras_does(name, recipe):
    expected, theirs, _ = trained(name, RECIPES[recipe], by_keras=True)
    got, ours, model = trained(name, RECIPES[recipe], by_keras=False)
    assert model.train_step._is_ours
    assert [table.variable.path for table in model.train_step._tables if table.variable.value.grad is table._kept]
    for (path, value), now in zip(expected.items(), got.values(), strict=True):
        np.testing.assert_allclose(now, value, rtol=1e-4, atol=2e-5, err_msg=path)
    for before, now in zip(theirs, ours, strict=True):
        assert before.keys() == now.keys()
        np.testing.assert_allclose([*now.values()], [*before.values()], rtol=1e-4)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
@pytest.mark.parametrize("num_rows", [None, 4])
def test_the_loss_and_its_gradient_are_those_of_smoothed_cross_entropy(label_smoothing, num_rows):
    import torch

    from kmodels.backends.torch.steps import loss_of
    from kmodels.losses import SmoothedCrossEntropy

    numbers = np.random.default_rng(0)
    labels, weights = torch.tensor([2, 0, 1, 1, 0]), torch.tensor([1.0, 3.0, 1.0, 0.5, 0.0])
    logits = torch.tensor(numbers.normal(size=(5, 3)), dtype=torch.float32, requires_grad=True)
    expected = SmoothedCrossEntropy(label_smoothing, num_rows)(labels, logits, weights)
    expected.backward()
    got, gradient, cross_entropies = loss_of(logits.detach(), labels, weights, label_smoothing, num_rows)
    torch.testing.assert_close(got, expected.detach())
    torch.testing.assert_close(gradient, logits.grad)
    by_torch = torch.nn.functional.cross_entropy(logits.detach(), labels, reduction="none")
    torch.testing.assert_close(cross_entropies, by_torch)


def test_figures_are_the_same_on_every_device_and_those_of_keras():
    import keras
    import torch

    from kmodels.backends.torch.figures import KINDS, Figures

    numbers, told = torch.Generator().manual_seed(1), []
    of_each = [Figures(keras.metrics.Mean("loss"), *(kind() for kind in KINDS)) for _ in range(2)]
    of_each[1]._on_cpu = of_each[1]._on_device
    by_keras = [kind() for kind in KINDS]
    for step in range(4):
        logits = torch.randn(6, 3, generator=numbers)
        labels = torch.randint(0, 3, (6,), generator=numbers)
        weights = torch.tensor([1.0, 2.0, 0.5, 1.0, 0.0, 0.0]).roll(step).index_fill(0, torch.arange(step), 0.0)
        if step == 2:
            logits[5, 1] = torch.inf
        cross_entropies = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        given = [torch.tensor(0.5 + step), logits, cross_entropies, labels, weights]
        told = [{name: float(value) for name, value in figures(*given).items()} for figures in of_each]
        for figure in by_keras:
            figure.update_state(labels, logits, sample_weight=weights)
        expected = {figure.name: float(figure.result()) for figure in by_keras} | {"loss": (0.5 + 0.5 + step) / 2}
        for each in told:
            assert each == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert told[0]["first_nonfinite_step"] == 2


def test_a_loss_is_scaled_where_the_optimizer_wants_it():
    expected, got = (trained("textcnn", {"loss_scale_factor": 64.0}, by_keras)[2] for by_keras in (True, False))
    assert got.train_step._is_ours
    for before, now in zip(expected.optimizer._momentums, got.optimizer._momentums, strict=True):
        assert before.numpy().any()
        np.testing.assert_allclose(now.numpy(), before.numpy(), rtol=1e-3, atol=1e-6, err_msg=before.path)


def test_a_step_in_bfloat16_does_what_keras_does():
    _, theirs, _ = trained("bert_base_pool", {}, by_keras=True, precision="mixed_bfloat16")
    _, ours, _ = trained("bert_base_pool", {}, by_keras=False, precision="mixed_bfloat16")
    np.testing.assert_allclose(ours[-1]["loss"], theirs[-1]["loss"], rtol=2e-2)


@pytest.mark.parametrize("settings", [{}, {"use_bias": False}, {"activation": "relu"}], ids=str)
@pytest.mark.parametrize("shape", [(5, 4), (5, 2, 4)], ids=str)
def test_a_dense_layer_gives_what_keras_has_it_give(shape, settings):
    import keras
    import torch

    from kmodels.backends.torch import graph

    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, keras.layers.Dense(3, bias_initializer="ones", **settings)(inputs))
    given = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(*graph.function_of(model)(given, False), model(given))


def test_logits_that_are_no_numbers_are_counted_from_their_first_step():
    import keras

    _, _, model = trained("textcnn", {}, by_keras=False)
    model.get_layer("logits").bias.assign(keras.ops.full((3,), np.nan))
    told = []
    look = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: told.append(dict(logs)))
    model.fit(batches(), steps_per_epoch=6, callbacks=[look], verbose=0, shuffle=False)
    assert [int(each["first_nonfinite_step"]) for each in told] == [0] * 6


def test_a_model_with_a_step_of_its_own_keeps_it():
    import keras

    from kmodels import backends, loop
    from kmodels.config import RunConfig

    class Own(keras.Model):
        steps = 0

        def train_step(self, data):
            self.steps += 1
            return super().train_step(data)

    config = RunConfig(model="textcnn", epochs=1).resolved("torch")
    backends.current().configure()
    built = trained("textcnn", {}, by_keras=False)[2]
    model = Own(built.inputs, built.outputs)
    loop.compile_model(model, config, num_steps=6)
    model.fit(batches(), steps_per_epoch=6, verbose=0, shuffle=False)
    assert model.steps == 6


def test_what_a_layer_adds_to_the_loss_is_not_lost():
    import keras

    from kmodels import backends, loop
    from kmodels.config import RunConfig

    class Adds(keras.layers.Layer):
        def call(self, x):
            self.add_loss(1000.0 + 0 * keras.ops.sum(x))
            return x

    backends.current().configure()
    built = trained("textcnn", {}, by_keras=False)[2]
    model = keras.Model(built.inputs, Adds()(built.outputs[0]))
    loop.compile_model(model, RunConfig(model="textcnn", epochs=1).resolved("torch"), num_steps=6)
    history = model.fit(batches(), steps_per_epoch=6, verbose=0, shuffle=False)
    assert history.history["loss"][0] > 1000


def test_another_loss_is_kerass_own_step():
    import keras

    _, _, model = trained("textcnn", {}, by_keras=False)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(batches(), steps_per_epoch=1, verbose=0, shuffle=False)
    assert not model.train_step._is_ours
