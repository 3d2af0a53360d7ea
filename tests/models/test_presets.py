"""Encoders as runs take them: in Keras format beside KerasHub's own, random, and with a run's settings."""

import json

import numpy as np
import pytest

from kmodels.architectures import SCRATCH_SIZES
from tests.models.encoders import save_model, save_tokenizer
from tests.models.folders import (
    ASCII,
    READS,
    SENTENCES,
    assert_same_outputs,
    change_json,
    change_tensors,
    config_of,
    outputs,
    refused,
    save_keras_tokenizer,
    values,
)

pytestmark = pytest.mark.backend


@pytest.mark.parametrize("kind", READS)
def test_a_folder_in_keras_format_gives_the_outputs_of_kerashub(kind, presets, whole):
    import keras_hub

    folder = str(whole[kind, "keras"])
    expected = getattr(keras_hub.models, f"{kind.title()}Backbone").from_preset(folder)
    backbone = presets.load_backbone(folder, READS[kind], dropout=0.1)
    assert_same_outputs(outputs(backbone), outputs(expected), atol=0)
    again = presets.from_description(json.loads(json.dumps(presets.describe(backbone))))
    again.set_weights(backbone.get_weights())
    assert_same_outputs(outputs(again), outputs(backbone), atol=0)


@pytest.mark.one_backend
@pytest.mark.parametrize(("name", "lowercase"), [("bert", True), ("cased", False), ("roberta", None)])
def test_a_folder_in_keras_format_gives_the_ids_of_kerashub_on_ascii(name, lowercase, presets, trained, copy_of):
    kind = "roberta" if name == "roberta" else "bert"
    folder = copy_of(kind, "keras")
    reference = save_keras_tokenizer(folder, trained[name], lowercase)
    tokenizer = presets.load_tokenizer(str(folder), READS[kind])
    assert tokenizer.vocabulary == trained[name].vocabulary
    for text in ASCII:
        assert tokenizer.encode([text]).token_ids.tolist()[1:-1] == np.asarray(reference(text)).tolist()


@pytest.mark.one_backend
def test_a_folder_that_keras_nlp_wrote_loads(presets, copy_of):
    folder = copy_of("bert", "keras")
    for path in (folder / "config.json", folder / "tokenizer.json"):
        path.write_text(path.read_text().replace("keras_hub", "keras_nlp"))
    assert presets.load_backbone(str(folder), "wordpiece", 0.1).num_layers == 2
    assert presets.load_tokenizer(str(folder), "wordpiece").kind == "wordpiece"


@pytest.mark.one_backend
@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("class_name", ["__lambda__", "Lambda", "GPT2Backbone"])
def test_no_class_but_those_expected_is_made_of_a_folder(file, class_name, presets, copy_of):
    folder = copy_of("bert", "keras")
    change_json(folder / file, class_name=class_name)
    for load in (presets.load_tokenizer, lambda *given: presets.load_backbone(*given, dropout=0.1)):
        refused(lambda load=load: load(str(folder), "wordpiece"), folder / file, class_name)


def test_scratch_sizes_are_those_of_the_published_miniatures(presets, preset_places, monkeypatch):
    class Recorder:
        weights = ()

        def __init__(self, **settings):
            made.append(settings)

    def num_parameters(num_layers, num_heads, hidden_dim, intermediate_dim, **_):
        assert hidden_dim == 64 * num_heads
        attention = 4 * hidden_dim * (hidden_dim + 1)
        feedforward = 2 * hidden_dim * intermediate_dim + hidden_dim + intermediate_dim
        embeddings = (30522 + 512 + 2) * hidden_dim + 2 * hidden_dim
        return embeddings + num_layers * (attention + feedforward + 4 * hidden_dim) + hidden_dim * (hidden_dim + 1)

    made: list[dict] = []
    published = {"mini": 11_170_560}  # the others are KerasHub's
    for name, preset in preset_places.BACKBONES["wordpiece"].presets.items():
        published[name.removeprefix("bert_").removesuffix("_en_uncased")] = preset["metadata"]["params"]
    monkeypatch.setitem(preset_places.BACKBONES, "wordpiece", Recorder)
    for size in SCRATCH_SIZES:
        presets.scratch_backbone(f"scratch:{size}", "wordpiece", 30522, 0.1, 0)
        assert num_parameters(**made[-1]) == published[size], size


@pytest.mark.parametrize("kind", READS)
def test_scratch_draws_every_variable_from_the_seed_alone(kind, presets):
    import keras

    encoders = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(len(encoders))
        encoders.append(values(presets.scratch_backbone("scratch:tiny", READS[kind], 300, 0.1, seed).weights))
    first, again, other = encoders
    for path, value in first.items():
        np.testing.assert_array_equal(value, again[path], err_msg=path)
        drawn = path.endswith(("kernel", "embeddings"))
        assert (value != other[path]).any() == drawn, path
        assert 0.016 < value.std() < 0.019 if drawn else value.std() == 0, path


def test_scratch_weights_are_these_numbers_on_every_backend(presets):
    weights = values(presets.scratch_backbone("scratch:tiny", "wordpiece", 100, 0.1, 7).weights)
    query = weights["transformer_layer_1/self_attention_layer/query/kernel"]
    assert query.shape == (128, 2, 64)
    np.testing.assert_allclose(query[5, 1, :3], QUERY, rtol=1e-6)
    np.testing.assert_allclose(weights["token_embedding/embeddings"][3, :3], EMBEDDING, rtol=1e-6)
    total = sum(np.abs(value.astype("float64")).sum() for value in weights.values())
    np.testing.assert_allclose(total, TOTAL, rtol=1e-7)


# What NumPy drew from seed 7.
QUERY = [0.015007958, 0.014217271, -0.028830606]
EMBEDDING = [-0.0063419673, 0.0015579663, -0.031608779]
TOTAL = 7699.5155497


def test_keras_draws_nothing_for_an_encoder_whose_weights_are_set_right_after(presets, monkeypatch):
    import keras

    drawn = []
    random = keras.src.backend.random
    draw = random.truncated_normal
    monkeypatch.setattr(random, "truncated_normal", lambda *of, **more: drawn.append(of) or draw(*of, **more))
    backbone = presets.scratch_backbone("scratch:tiny", "wordpiece", 300, 0.1, 7)
    again = presets.from_description(presets.describe(backbone))
    assert not drawn
    assert not any(value.any() for path, value in values(again.weights).items() if path.endswith("kernel"))
    keras.layers.Dense(3, kernel_initializer="truncated_normal").build((None, 2))
    assert drawn  # elsewhere it does, as before


@pytest.mark.one_backend
def test_a_length_beyond_the_encoder_is_refused(presets, whole):
    for format, longest in (("hugging_face", 32), ("keras", 30)):
        folder = whole["bert", format]
        tokenizer, backbone = presets.load(config_of(folder, max_length=longest), SENTENCES)
        assert tokenizer.vocabulary_size <= backbone.vocabulary_size
        refused(lambda: presets.load(config_of(folder, max_length=longest + 1), []), longest, folder, longest + 1)  # noqa: B023
    refused(lambda: presets.load(config_of("scratch:tiny", vocabulary_size=100, max_length=513), SENTENCES), "512")


@pytest.mark.one_backend
def test_a_tokenizer_with_more_tokens_than_the_encoder_has_vectors_is_refused(presets, copy_of):
    folder = copy_of("bert", "hugging_face")
    change_json(folder / "config.json", vocab_size=50)
    change_tensors(
        folder / "model.safetensors",
        lambda tensors: {k: v[:50] if "word_embeddings" in k else v for k, v in tensors.items()},
    )
    refused(lambda: presets.load(config_of(folder), []), folder, "50 vectors")


def test_a_pooling_that_reads_no_pooler_takes_a_checkpoint_without_one(presets, transformers, trained, tmp_path):
    save_model(tmp_path, "bert", "BertForMaskedLM")
    save_tokenizer(tmp_path, trained["bert"])
    presets.load(config_of(tmp_path, pooling="mean"), [])
    refused(lambda: presets.load(config_of(tmp_path, pooling="pooler"), []), "no pooler")
