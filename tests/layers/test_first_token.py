"""The last layer for the first token alone gives what the whole layer gives there."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend

SIZES = {"vocabulary_size": 30, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16, "dropout": 0.0}


def inputs():
    mask = np.arange(6) < np.array([6, 3, 1, 0])[:, None]
    token_ids = np.where(mask, np.random.default_rng(0).integers(5, 30, mask.shape), 0).astype("int32")
    return {"token_ids": token_ids, "padding_mask": mask}


def encoder(kind, num_layers):
    import keras_hub

    backbone = getattr(keras_hub.models, kind)(num_layers=num_layers, **SIZES)
    numbers = np.random.default_rng(1)
    for variable in backbone.weights:
        variable.assign(numbers.normal(0, 0.5, variable.shape))
    return backbone


def whole(backbone):
    """The encoder's own last hidden state of the first token, and its pooler's output."""
    from keras import ops

    from kmodels.models.inputs import encoder_features

    given = {name: ops.convert_to_tensor(value) for name, value in inputs().items()}
    outputs = backbone(encoder_features(backbone, given))
    hidden, pooled = (
        (outputs["sequence_output"], outputs["pooled_output"]) if isinstance(outputs, dict) else (outputs, None)
    )
    return [None if each is None else ops.convert_to_numpy(each) for each in (hidden[:, 0], pooled)]


@pytest.mark.parametrize("kind", ["BertBackbone", "RobertaBackbone"])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_it_is_the_encoders_own_first_token(kind, num_layers):
    import keras
    from keras import ops

    from kmodels.models.encoder import encoder_pool

    backbone = encoder(kind, num_layers)
    first, pooled = whole(backbone)
    model = encoder_pool(backbone, 2, pooling="first")
    cut = keras.Model(model.input, model.get_layer("first_token").output)
    np.testing.assert_allclose(ops.convert_to_numpy(cut(inputs())), first, rtol=1e-4, atol=1e-5)
    if pooled is not None:
        model = encoder_pool(backbone, 2)
        cut = keras.Model(model.input, model.get_layer("dropout").input)
        np.testing.assert_allclose(ops.convert_to_numpy(cut(inputs())), pooled, rtol=1e-4, atol=1e-5)


def test_all_of_the_encoder_trains_and_is_counted():
    from kmodels import peak
    from kmodels.models.encoder import encoder_pool

    backbone = encoder("BertBackbone", 3)
    model = encoder_pool(backbone, 2)
    assert {id(weight) for weight in backbone.weights} <= {id(weight) for weight in model.trainable_weights}
    # Two whole layers of 4 × 8 × 8 + 2 × 8 × 16, the last one's keys and values, the pooler and the logits.
    matrices = 2 * (256 + 256) + 2 * 64 + 64 + 2 * 8
    assert peak.operations_per_token(model, 5) == 6 * matrices + 12 * 5 * 8 * 2


def test_a_saved_model_comes_back(tmp_path):
    import keras

    from kmodels.models.encoder import encoder_pool

    model = encoder_pool(encoder("BertBackbone", 2), 2)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict_on_batch(inputs()), model.predict_on_batch(inputs()), atol=1e-6)


def test_a_layer_that_normalises_before_its_blocks_is_refused():
    import keras_hub

    from kmodels.layers.first_token import FirstTokenOfLayer

    layer = keras_hub.layers.TransformerEncoder(intermediate_dim=16, num_heads=2, normalize_first=True)
    with pytest.raises(ValueError, match="normalise after"):
        FirstTokenOfLayer(layer)
