"""The six classifiers on the chosen backend, at tiny sizes."""

import numpy as np
import pytest

from kmodels.architectures import ARCHITECTURES
from kmodels.config import RunConfig

pytestmark = pytest.mark.backend

NUM_CLASSES = 3
VOCABULARY_SIZE = 50


def tiny_config(model, **settings):
    sizes = {"preset": "scratch:tiny"} if ARCHITECTURES[model].is_encoder else {"embedding_dim": 6}
    if model == "textcnn":
        settings = {"num_filters": 5} | settings
    if model in ("bilstm", "bert_base_lstm"):
        settings = {"lstm_units": 4} | settings
    return RunConfig(model=model, vocabulary_size=100, **sizes, **settings).resolved("jax")


def tiny_model(model, **settings):
    """The classifier at a tiny size, float32."""
    import keras
    import keras_hub

    from kmodels import models
    from kmodels.layers.initializers import TruncatedNormal

    keras.config.set_dtype_policy("float32")
    config = tiny_config(model, **settings)
    backbone = None
    if config.architecture.is_encoder:
        kind = {"wordpiece": "BertBackbone", "byte_level_bpe": "RobertaBackbone"}[config.architecture.reads]
        sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
        backbone = getattr(keras_hub.models, kind)(VOCABULARY_SIZE, **sizes, dropout=config.dropout)
        for number, variable in enumerate(backbone.weights):
            if variable.name in ("kernel", "embeddings", "position_embeddings"):
                variable.assign(TruncatedNormal(0.3, config.seed, str(number))(variable.shape))
    return models.build(config, NUM_CLASSES, VOCABULARY_SIZE, backbone)


def sentences(lengths, padded_to, seed=0):
    """Inputs with sentences of these lengths, padded to one."""
    numbers = np.random.default_rng(seed)
    padding_mask = np.arange(padded_to) < np.array(lengths)[:, None]
    token_ids = np.where(padding_mask, numbers.integers(5, VOCABULARY_SIZE, padding_mask.shape), 0).astype("int32")
    return {"token_ids": token_ids, "padding_mask": padding_mask}


def logits(model, inputs):
    return np.asarray(model.predict_on_batch(inputs), "float32")


VARIANTS = [
    (name, {"pooling": pooling} if pooling else {})
    for name, architecture in ARCHITECTURES.items()
    for pooling in architecture.poolings or (None,)
    if name != "bert_large_pool"  # the same code as bert_base_pool
]


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_padding_changes_no_logit(name, settings):
    model = tiny_model(name, **settings)
    short = sentences([1, 4, 7], padded_to=7)
    long = {key: np.pad(array, ((0, 0), (0, 9))) for key, array in short.items()}
    assert np.abs(logits(model, short)).max() > 1e-4
    np.testing.assert_allclose(logits(model, short), logits(model, long), atol=1e-5)


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_what_stands_on_padding_changes_no_logit(name, settings):
    model = tiny_model(name, **settings)
    inputs = sentences([2, 5], padded_to=6)
    other = inputs | {"token_ids": np.where(inputs["padding_mask"], inputs["token_ids"], 9).astype("int32")}
    np.testing.assert_allclose(logits(model, inputs), logits(model, other), atol=1e-6)


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_a_row_without_tokens_gives_finite_logits(name, settings):
    assert np.isfinite(logits(tiny_model(name, **settings), sentences([0, 3], padded_to=4))).all()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_word_order_matters(name):
    model = tiny_model(name)
    inputs = sentences([6], padded_to=6)
    turned = inputs | {"token_ids": inputs["token_ids"][:, [0, 4, 3, 2, 1, 5]]}
    assert np.abs(logits(model, inputs) - logits(model, turned)).max() > 1e-6


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_are_float32_under_mixed_precision(name):
    import keras

    model = tiny_model(name)
    assert model.output.dtype == "float32"
    assert model.output.shape == (None, NUM_CLASSES)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        from kmodels import models

        if not ARCHITECTURES[name].is_encoder:
            model = models.build(tiny_config(name), NUM_CLASSES, VOCABULARY_SIZE)
            assert model.output.dtype == "float32"
            assert model.get_layer("dropout").compute_dtype == "bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_dropout_0_turns_every_dropout_of_the_model_off(name):
    import keras

    model = tiny_model(name, dropout=0.0)
    own = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert own
    assert all(layer.rate == 0 for layer in own)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_word_dropout_hides_words_in_training_only(name):
    model = tiny_model(name, dropout=0.0, word_dropout=0.5)
    inputs = sentences([6, 6], padded_to=6)
    trained, again = (np.asarray(_to_numpy(model(inputs, training=True))) for _ in range(2))
    assert np.abs(trained - again).max() > 1e-6
    np.testing.assert_array_equal(logits(model, inputs), logits(model, inputs))


@pytest.mark.parametrize(("name", "settings"), [each for each in VARIANTS if ARCHITECTURES[each[0]].is_encoder])
def test_what_a_hidden_token_is_changes_no_logit_in_training(name, settings):
    model = tiny_model(name, dropout=0.0, word_dropout=0.5, **settings)
    inputs = sentences([8, 5], padded_to=8)
    ids, real = inputs["token_ids"], inputs["padding_mask"]
    seeds = [(each, np.array(each)) for each in model.variables if each.path.endswith("seed_generator_state")]

    def trained(function, given):
        for seed, before in seeds:  # so that each call hides the same
            seed.assign(before)
        return _to_numpy(function(given, training=True))

    shown = trained(model.get_layer("word_dropout"), real)
    expected = trained(model, inputs)
    for changed in (real & ~shown, real & shown):
        other = trained(model, inputs | {"token_ids": np.where(changed, ids % 40 + 6, ids).astype("int32")})
        assert changed.any()
        assert (np.abs(other - expected).max() < 1e-6) == (not (changed & shown).any())


def _to_numpy(tensor):
    import keras

    return keras.ops.convert_to_numpy(tensor)


def test_textcnn_equals_a_plain_one():
    model = tiny_model("textcnn", kernel_sizes=(2, 3))
    inputs = sentences([5, 2], padded_to=5)
    weights = {weight.path: np.asarray(_to_numpy(weight.value)) for weight in model.weights}
    places = weights["convolutions/kernel"]  # one before the middle: width 3; the middle and one after: 2, then 3
    kernels = {2: places[:, [1, 3]], 3: places[:, [0, 2, 4]]}  # (dim, width, filters)
    vectors = weights["embedding/embeddings"][inputs["token_ids"]] * inputs["padding_mask"][:, :, None]
    pooled = []
    for (width, kernel), bias in zip(kernels.items(), np.split(weights["convolutions/bias"], 2)):
        before = (width - 1) // 2
        padded = np.pad(vectors, ((0, 0), (before, width - 1 - before), (0, 0)))
        windows = np.stack([padded[:, start : start + width] for start in range(5)], axis=1)
        activations = np.maximum(np.einsum("bpwd,dwf->bpf", windows, kernel) + bias, 0)
        pooled.append((activations * inputs["padding_mask"][:, :, None]).max(axis=1))
    expected = np.concatenate(pooled, axis=1) @ weights["logits/kernel"] + weights["logits/bias"]
    np.testing.assert_allclose(logits(model, inputs), expected, atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_another_seed_gives_other_weights_and_the_same_seed_the_same(name):
    first, again, other = (
        [np.asarray(_to_numpy(weight.value)) for weight in tiny_model(name, seed=seed).weights] for seed in (1, 1, 2)
    )
    assert all((a == b).all() for a, b in zip(first, again))
    assert any((a != b).any() for a, b in zip(first, other))


@pytest.mark.parametrize("name", ["textcnn", "bilstm"])
def test_word_vectors_learn_at_a_part_of_the_rate(name):
    model = tiny_model(name, layer_decay=0.25)
    factors = {each.path: getattr(each, "learning_rate_factor", 1.0) for each in model.trainable_variables}
    assert factors.pop("embedding/embeddings") == 0.25
    assert set(factors.values()) == {1.0}
