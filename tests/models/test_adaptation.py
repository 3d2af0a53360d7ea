"""Training less than the whole encoder, and each layer at a rate of its own."""

import numpy as np
import pytest

from tests.models.folders import READS, config_of, outputs, refused, values

pytestmark = pytest.mark.backend


def tiny_backbone(kind):
    import keras_hub

    return getattr(keras_hub.models, f"{kind.title()}Backbone")(
        vocabulary_size=150, num_layers=3, num_heads=2, hidden_dim=8, intermediate_dim=16, max_sequence_length=16
    )


@pytest.mark.parametrize("num_layers", [0, 1, 3])
@pytest.mark.parametrize("kind", READS)
def test_freeze_keeps_the_embeddings_and_the_lowest_layers_and_nothing_else(kind, num_layers, presets):
    from kmodels.models.adaptation import freeze

    backbone = tiny_backbone(kind)
    everything = {variable.path for variable in backbone.trainable_variables}
    freeze(backbone, num_layers)
    upper = {f"transformer_layer_{number}" for number in range(num_layers, 3)} | {"pooled_dense"}
    expected = {path for path in everything if path.split("/")[0] in upper} if num_layers else everything
    assert {variable.path for variable in backbone.trainable_variables} == expected
    assert kind == "roberta" or {"pooled_dense/kernel", "pooled_dense/bias"} <= expected
    refused(lambda: freeze(backbone, 4), "at most 3", "got 4")


@pytest.mark.parametrize("kind", READS)
def test_in_mixed_precision_vectors_are_looked_up_in_float32_and_the_rest_is_not(kind, presets):
    import keras

    from kmodels.models.adaptation import look_up_in_float32

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        backbone = tiny_backbone(kind)
    finally:
        keras.config.set_dtype_policy(before)
    expected = outputs(backbone)
    look_up_in_float32(backbone)
    for layer in backbone.layers:
        if layer.name.startswith(("token_embedding", "segment_embedding")):
            vectors = layer(np.array([[1, 0, 1]], "int32"))
            assert keras.backend.standardize_dtype(vectors.dtype) == "float32"
            table = keras.ops.convert_to_numpy(layer.embeddings)
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(vectors)[0], table[[1, 0, 1]])
    for found, other in zip(outputs(backbone), expected):
        assert found.dtype == other.dtype
        np.testing.assert_allclose(found.astype("float32"), other.astype("float32"), atol=0.1)


@pytest.mark.parametrize("kind", READS)
def test_low_rank_updates_are_all_that_trains_and_change_nothing_at_first(kind, presets):
    from kmodels.models.adaptation import add_lora

    backbone = tiny_backbone(kind)
    before = outputs(backbone)
    add_lora(backbone, 2, seed=3)
    assert {variable.path for variable in backbone.trainable_variables} == {
        f"transformer_layer_{number}/self_attention_layer/{projection}/lora_kernel_{factor}"
        for number in range(3)
        for projection in ("query", "value")
        for factor in "ab"
    }
    for found, expected in zip(outputs(backbone), before):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_low_rank_updates_begin_as_these_numbers_on_every_backend(presets):
    from kmodels.models.adaptation import add_lora

    drawn = []
    for seed in (3, 3, 4):
        backbone = tiny_backbone("bert")
        add_lora(backbone, 2, seed)
        drawn.append({k: v for k, v in values(backbone.trainable_variables).items() if k.endswith("a")})
    first, again, other = drawn
    assert len(first) == 6
    assert len({value.tobytes() for value in first.values()}) == 6
    for path, value in first.items():
        np.testing.assert_array_equal(value, again[path])
        assert (value != other[path]).all()
    np.testing.assert_allclose(
        first["transformer_layer_2/self_attention_layer/value/lora_kernel_a"][7, 1], LORA, rtol=1e-6
    )


LORA = [-0.32628208, -0.05878593]  # what NumPy drew from seed 3


def test_a_run_trains_no_frozen_layers_low_rank_updates(presets, whole):
    from kmodels import models

    config = config_of(whole["bert", "hugging_face"], lora_rank=2, frozen_layers=1)
    tokenizer, backbone = presets.load(config, [])
    model = models.build(config, 2, tokenizer.vocabulary_size, backbone)
    trained = {variable.path for variable in model.trainable_variables}
    assert {path.split("/")[0] for path in trained} == {"transformer_layer_1", "logits"}
    assert len(trained) == 4 + 2


@pytest.mark.parametrize("pooling", ["mean", "pooler"])
def test_each_layer_learns_at_a_part_of_the_rate_of_the_one_above(presets, whole, pooling):
    from kmodels import models

    config = config_of(whole["bert", "hugging_face"], layer_decay=0.5, pooling=pooling)
    tokenizer, backbone = presets.load(config, [])
    model = models.build(config, 2, tokenizer.vocabulary_size, backbone)
    factors = {}
    for variable in model.trainable_variables:
        factors.setdefault(variable.path.split("/")[0], set()).add(getattr(variable, "learning_rate_factor", 1.0))
    assert factors.pop("pooled_dense", {1.0}) == {1.0}
    assert factors.pop("logits") == {1.0}
    assert [factors.pop(f"transformer_layer_{number}") for number in (1, 0)] == [{0.5}, {0.25}]
    assert factors and set.union(*factors.values()) == {0.125}
