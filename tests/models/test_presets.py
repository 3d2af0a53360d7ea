"""Pretrained encoders against transformers' and KerasHub's own, at tiny sizes, out of folders made here."""

import json
import pickle
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from kmodels.architectures import SCRATCH_SIZES
from kmodels.config import RunConfig
from kmodels.data import tokenizer_training
from kmodels.errors import InputError
from tests.models.encoders import SIZES, save_model, save_tokenizer

pytestmark = pytest.mark.backend

SENTENCES = [
    "It doesn't work, it's bad.",
    "The film is a warm, well-made comedy with unlikely heroes.",
    "Café crème at the café, naïve über-heroes.",
    "这 部 电影 好 看 。",
    "Good 😀 or bad 😡? Привет, фильм!",
]
TEXTS = [
    *SENTENCES,
    "",
    "   ",
    "The café CAFÉ cafe\u0301 naïve İstanbul",
    "这部电影好看very好",
    "good😀bad \u200d👍🏽 \u00a0film",
    "[CLS] film [SEP] <s> film</s>",
    "under_score\twell--made...\n10/10",
]
ASCII = ["The film is bad, isn't it?", "warm and well-made (10/10)", "unlikely heroes work"]
LENGTHS = [10, 7, 1]
READS = {"bert": "wordpiece", "roberta": "byte_level_bpe"}


@pytest.fixture(scope="module")
def transformers():
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


@pytest.fixture(scope="module")
def presets(chosen_backend):
    import keras

    from kmodels.models import presets

    keras.config.set_dtype_policy("float32")
    return presets


@pytest.fixture(scope="module")
def preset_places(presets):
    from kmodels.models import preset_places

    return preset_places


@pytest.fixture(scope="module")
def trained():
    """A tokenizer of each kind, to take vocabularies from."""
    return {
        "bert": tokenizer_training.train_wordpiece(SENTENCES, 150),
        "cased": tokenizer_training.train_wordpiece(SENTENCES, 150, lowercase=False),
        "roberta": tokenizer_training.train_byte_level_bpe(SENTENCES, 290),
    }


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """A good folder of each kind and format: {(kind, "hugging_face" or "keras"): path}. No test writes there."""
    import keras_hub

    folders = {}
    for kind, model in (("bert", "BertModel"), ("roberta", "RobertaModel")):
        folders[kind, "hugging_face"] = folder = tmp_path_factory.mktemp(f"{kind}-hugging-face")
        save_model(folder, kind, model)
        save_tokenizer(folder, trained[kind])
        folders[kind, "keras"] = folder = tmp_path_factory.mktemp(f"{kind}-keras")
        numbers = np.random.default_rng(0)
        backbone = getattr(keras_hub.models, f"{kind.title()}Backbone")(
            vocabulary_size=300, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32, max_sequence_length=30
        )
        for variable in backbone.weights:
            variable.assign(numbers.normal(0, 0.4, variable.shape))
        backbone.save_to_preset(str(folder))
        save_keras_tokenizer(folder, trained[kind])
    return folders


def save_keras_tokenizer(folder, trained, lowercase=True):
    import keras_hub

    if trained.kind == "wordpiece":
        tokenizer = keras_hub.models.BertTokenizer(vocabulary=trained.vocabulary, lowercase=lowercase)
    else:
        vocabulary = {token: number for number, token in enumerate(trained.vocabulary)}
        tokenizer = keras_hub.models.RobertaTokenizer(vocabulary=vocabulary, merges=trained.merges)
    tokenizer.save_to_preset(str(folder))
    return tokenizer


@pytest.fixture
def copy_of(whole, tmp_path):
    """A function that copies a good folder for a test to damage."""
    import shutil

    def copy(kind, format):
        return Path(shutil.copytree(whole[kind, format], tmp_path / f"{kind}-{format}"))

    return copy


def change_json(path, **changes):
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(settings | changes), encoding="utf-8")


def change_tensors(path, change):
    """Rewrites model.safetensors with `change` of {name: array}."""
    from safetensors.numpy import load_file, save_file

    save_file(change(load_file(path)), path)


def sentences():
    """(token ids, padding mask) of a right-padded batch; the padding is not 0, so that it would show."""
    padding_mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    return np.random.default_rng(0).integers(5, 150, padding_mask.shape).astype("int32"), padding_mask


def outputs(backbone):
    """[hidden states of the real tokens; BERT: the pooled output], as NumPy."""
    from keras import ops

    token_ids, padding_mask = sentences()
    features = {"token_ids": token_ids, "padding_mask": padding_mask.astype("int32")}
    if not hasattr(backbone, "pooled_dense"):
        return [ops.convert_to_numpy(backbone(features))[padding_mask]]
    found = backbone(features | {"segment_ids": np.zeros_like(token_ids)})
    return [ops.convert_to_numpy(found["sequence_output"])[padding_mask], ops.convert_to_numpy(found["pooled_output"])]


def expected_outputs(model):
    """The same of transformers' model."""
    import torch

    token_ids, padding_mask = sentences()
    encoder = getattr(model, model.base_model_prefix, model)
    with torch.no_grad():
        # RoBERTa takes the padding id for no token; elsewhere the mask alone says.
        token_ids = np.where(padding_mask, token_ids, model.config.pad_token_id)
        found = encoder(torch.tensor(token_ids).long(), attention_mask=torch.tensor(padding_mask).long())
    pooled = (
        [] if found.pooler_output is None or model.config.model_type == "roberta" else [found.pooler_output.numpy()]
    )
    return [found.last_hidden_state.numpy()[padding_mask], *pooled]


def assert_same_outputs(found, expected, atol=2e-5):
    for one, other in zip(found, expected):
        assert np.abs(other).max() > 0.5
        np.testing.assert_allclose(one, other, atol=atol)


def values(variables):
    from keras import ops

    return {variable.path: np.array(ops.convert_to_numpy(variable.value)) for variable in variables}


def refused(call, *parts):
    """Asserts that a call raises InputError, one line with these parts."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message, message


# Encoders in Hugging Face format

CHECKPOINTS = [
    ("bert", "BertModel", {}),  # gelu, the exact one
    ("bert", "BertModel", {"hidden_act": "gelu_new"}),
    ("bert", "BertModel", {"hidden_act": "gelu_pytorch_tanh"}),
    ("bert", "BertModel", {"hidden_act": "relu"}),
    ("bert", "BertModel", {"hidden_act": "silu"}),
    ("bert", "BertModel", {"layer_norm_eps": 0.1}),
    ("bert", "BertModel", {"type_vocab_size": 1}),
    ("bert", "BertForSequenceClassification", {}),
    ("roberta", "RobertaModel", {}),
    ("roberta", "RobertaModel", {"hidden_act": "gelu_new"}),
    ("roberta", "RobertaModel", {"layer_norm_eps": 0.1, "type_vocab_size": 2}),
    ("roberta", "RobertaModel", {"pad_token_id": 4}),
    ("roberta", "RobertaForMaskedLM", {}),
    ("roberta", "RobertaForSequenceClassification", {}),
]


@pytest.mark.parametrize(("kind", "class_name", "settings"), CHECKPOINTS)
def test_an_encoder_gives_the_outputs_of_transformers(kind, class_name, settings, presets, transformers, tmp_path):
    model = save_model(tmp_path, kind, class_name, **settings)
    (tmp_path / "tokenizer.json").touch()
    backbone = presets.load_backbone(str(tmp_path), READS[kind], dropout=0.1)
    assert_same_outputs(outputs(backbone), expected_outputs(model))
    offset = settings.get("pad_token_id", 1) + 1 if kind == "roberta" else 0
    assert backbone.max_sequence_length == SIZES["max_position_embeddings"] - offset


@pytest.mark.one_backend
def test_names_that_google_gave_to_layer_norms_are_read(presets, transformers, copy_of):
    folder = copy_of("bert", "hugging_face")

    def older(tensors):
        names = {name: name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta") for name in tensors}
        return {names[name]: value for name, value in tensors.items()}

    expected = outputs(presets.load_backbone(str(folder), "wordpiece", dropout=0.1))
    change_tensors(folder / "model.safetensors", older)
    assert_same_outputs(outputs(presets.load_backbone(str(folder), "wordpiece", dropout=0.1)), expected, atol=0)


def test_weights_in_parts_and_in_half_precision_are_read(presets, transformers, tmp_path):
    import torch

    model = save_model(tmp_path, "bert", "BertModel").to(torch.bfloat16)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    (tmp_path / "vocab.txt").touch()
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    backbone = presets.load_backbone(str(tmp_path), "wordpiece", dropout=0.1)
    assert_same_outputs(outputs(backbone), expected_outputs(model.float()))


@pytest.mark.one_backend
def test_a_checkpoint_without_pooler_serves_where_none_is_read(presets, transformers, tmp_path):
    model = save_model(tmp_path, "bert", "BertForMaskedLM")
    (tmp_path / "tokenizer.json").touch()
    backbone = presets.load_backbone(str(tmp_path), "wordpiece", dropout=0.1, needs_pooler=False)
    assert_same_outputs(outputs(backbone)[:1], expected_outputs(model))
    assert not outputs(backbone)[1].any()
    refused(lambda: presets.load_backbone(str(tmp_path), "wordpiece", 0.1), tmp_path, "no pooler", "--pooling=first")


@pytest.mark.parametrize("kind", READS)
def test_dropout_is_what_the_caller_says(kind, presets, whole):
    for format in ("hugging_face", "keras"):
        backbone = presets.load_backbone(str(whole[kind, format]), READS[kind], dropout=0.25)
        assert backbone.dropout == 0.25
        assert {layer.rate for layer in backbone._flatten_layers() if type(layer).__name__ == "Dropout"} == {0.25}


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "tanh"},
        {"position_embedding_type": "relative_key"},
        {"is_decoder": True},
        {"auto_map": {"AutoModel": "modeling.Model"}},
        {"quantization_config": {"load_in_8bit": True}},
        {"layer_norm_eps": "1e-12"},
        {"num_hidden_layers": None},
        {"num_attention_heads": 3},
        {"vocab_size": 299},
        {"hidden_size": "16"},
        {"num_hidden_layers": 3},
    ],
)
def test_what_an_encoder_cannot_be_is_refused(changes, presets, copy_of):
    folder = copy_of("bert", "hugging_face")
    change_json(folder / "config.json", **changes)
    named = "48 arrays" if changes == {"num_hidden_layers": 3} else next(iter(changes))
    named = "word_embeddings" if named == "vocab_size" else named
    refused(lambda: presets.load_backbone(str(folder), "wordpiece", 0.1), folder, named)


@pytest.mark.one_backend
def test_a_roberta_without_room_for_positions_is_refused(presets, copy_of):
    folder = copy_of("roberta", "hugging_face")
    change_json(folder / "config.json", pad_token_id=31)
    refused(lambda: presets.load_backbone(str(folder), "byte_level_bpe", 0.1), "max_position_embeddings")
    change_json(folder / "config.json", pad_token_id="1")
    refused(lambda: presets.load_backbone(str(folder), "byte_level_bpe", 0.1), "pad_token_id")


@pytest.mark.one_backend
def test_quantized_tensors_are_refused(presets, copy_of):
    folder = copy_of("bert", "hugging_face")
    change_tensors(folder / "model.safetensors", lambda tensors: {k: v.astype("int8") for k, v in tensors.items()})
    refused(lambda: presets.load_backbone(str(folder), "wordpiece", 0.1), folder, "I8")


@pytest.mark.one_backend
def test_a_lone_pickle_is_refused_and_none_is_opened(presets, copy_of, tmp_path):
    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "touched",)

    folder = copy_of("bert", "hugging_face")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Touch()))
    presets.load_backbone(str(folder), "wordpiece", 0.1)
    (folder / "model.safetensors").unlink()
    refused(lambda: presets.load_backbone(str(folder), "wordpiece", 0.1), "model.safetensors", "pytorch_model.bin")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("bert", {}), ("bert", {"hidden_act": "relu", "layer_norm_eps": 0.1}), ("roberta", {"hidden_act": "gelu_new"})],
)
def test_an_encoder_built_again_from_its_description_gives_the_same(kind, settings, presets, transformers, tmp_path):
    save_model(tmp_path, kind, f"{kind.title()}Model", **settings)
    (tmp_path / "tokenizer.json").touch()
    backbone = presets.load_backbone(str(tmp_path), READS[kind], dropout=0.1)
    again = presets.from_description(json.loads(json.dumps(presets.describe(backbone))))
    again.set_weights(backbone.get_weights())
    assert_same_outputs(outputs(again), outputs(backbone), atol=0)
    assert presets.describe(again) == presets.describe(backbone)


# Tokenizers in Hugging Face format

TOKENIZERS = [
    ("bert", {}),
    ("bert", {"strip_accents": False}),
    ("bert", {"tokenize_chinese_chars": False}),
    ("cased", {"cased": True}),
    ("cased", {"cased": True, "strip_accents": True}),
    ("roberta", {}),
]


def assert_same_ids(tokenizer, folder, texts=TEXTS):
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(folder)
    for text in texts:
        assert tokenizer.encode([text]).token_ids.tolist() == reference(text)["input_ids"], text


def config_beside(folder, kind):
    """What else a folder needs for its tokenizer to be looked at."""
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    (folder / "model.safetensors").touch()


@pytest.mark.one_backend
@pytest.mark.parametrize("layout", ["tokenizer.json", "vocabularies", "vocabularies alone"])
@pytest.mark.parametrize(("name", "settings"), TOKENIZERS)
def test_a_tokenizer_gives_the_ids_of_transformers(name, settings, layout, presets, transformers, trained, tmp_path):
    kind = "roberta" if name == "roberta" else "bert"
    save_tokenizer(tmp_path, trained[name], layout, **settings)
    config_beside(tmp_path, kind)
    if layout == "vocabularies alone":
        (tmp_path / "tokenizer_config.json").unlink()
    tokenizer = presets.load_tokenizer(str(tmp_path), READS[kind])
    assert tokenizer.vocabulary == trained[name].vocabulary
    assert_same_ids(tokenizer, tmp_path)


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", READS)
def test_a_tokenizer_without_a_class_of_its_own_is_taken_whole(kind, presets, transformers, trained, tmp_path):
    import tokenizers as library

    trained[kind].save(tmp_path / "tokenizer.json")
    backend = library.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.normalizer = library.normalizers.Replace("film", "bad")
    backend.add_tokens(["<user>"])
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]").save_pretrained(tmp_path)
    config_beside(tmp_path, kind)
    assert_same_ids(presets.load_tokenizer(str(tmp_path), READS[kind]), tmp_path, [*TEXTS, "a <user> film"])


@pytest.mark.one_backend
def test_the_settings_beside_tokenizer_json_count_as_in_transformers(presets, transformers, trained, tmp_path):
    save_tokenizer(tmp_path, trained["cased"], cased=True)
    config_beside(tmp_path, "bert")
    (tmp_path / "vocab.txt").write_text("\n".join(trained["bert"].vocabulary))  # tokenizer.json goes before
    change_json(tmp_path / "tokenizer_config.json", do_lower_case=True)
    assert_same_ids(presets.load_tokenizer(str(tmp_path), "wordpiece"), tmp_path)


def unigram(settings):
    return settings | {"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}


def gap(settings):
    settings["model"]["vocab"] |= {"last": 500}
    return settings


def added_token(settings):
    token = {"id": 300, "content": "<user>", "special": False}
    return settings | {"added_tokens": [*settings["added_tokens"], token]}


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("kind", "file", "change", "reason"),
    [
        ("bert", "tokenizer.json", unigram, "Unigram"),
        ("roberta", "tokenizer.json", unigram, "Unigram"),
        ("bert", "tokenizer.json", gap, "number its tokens"),
        ("roberta", "tokenizer.json", gap, "number its tokens"),
        ("bert", "tokenizer.json", added_token, "<user>"),
        (
            "roberta",
            "tokenizer_config.json",
            lambda settings: settings | {"add_prefix_space": True},
            "add_prefix_space",
        ),
        ("bert", "tokenizer_config.json", lambda settings: settings | {"do_lower_case": "yes"}, "do_lower_case"),
        ("bert", "tokenizer_config.json", lambda settings: settings | {"tokenizer_class": "MecabTokenizer"}, "Mecab"),
        ("bert", "tokenizer_config.json", lambda settings: [settings], "JSON object"),
        ("bert", "added_tokens.json", lambda settings: {"<user>": 300}, "<user>"),
    ],
)
def test_a_tokenizer_that_would_give_other_ids_is_refused(kind, file, change, reason, presets, copy_of):
    folder = copy_of(kind, "hugging_face")
    path = folder / file
    path.write_text(json.dumps(change(json.loads(path.read_text()) if path.exists() else {})))
    refused(lambda: presets.load_tokenizer(str(folder), READS[kind]), folder, reason)


# Keras format


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


# Random encoders


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


# Out of reach, missing, damaged


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("preset", "reads", "parts"),
    [
        ("bert_base_en_uncase", "wordpiece", ["'bert_base_en_uncase'", "did you mean 'bert_base_en_uncased'?"]),
        ("roberta_bas_en", "byte_level_bpe", ["did you mean 'roberta_base_en'?"]),
        ("roberta_base_en", "wordpiece", ["BertBackbone", "roberta_base_en is a RobertaBackbone"]),
        ("bert_base_en", "byte_level_bpe", ["RobertaBackbone", "bert_base_en is a BertBackbone"]),
        ("scratch:huge", "wordpiece", ["tiny, mini, small, medium, base, large", "'huge'"]),
        ("scratch:bas", "wordpiece", ["did you mean 'base'?"]),
        ("scratch:", "wordpiece", ["tiny"]),
        ("nowhere/at/all", "wordpiece", ["existing folder", "'nowhere/at/all'"]),
        ("s3://bucket/bert", "wordpiece", ["hf://", "'s3://bucket/bert'"]),
    ],
)
def test_what_names_no_preset_is_refused_before_anything_is_loaded(preset, reads, parts, preset_places):
    refused(lambda: preset_places.check(preset, reads), *parts)


@pytest.mark.one_backend
@pytest.mark.parametrize("format", ["hugging_face", "keras"])
def test_a_folder_of_the_other_kind_is_refused(format, preset_places, whole):
    for kind, reads, wanted in (("bert", "byte_level_bpe", "Roberta"), ("roberta", "wordpiece", "Bert")):
        refused(lambda: preset_places.check(str(whole[kind, format]), reads), whole[kind, format], wanted, kind)  # noqa: B023


@pytest.mark.one_backend
def test_a_folder_without_a_config_that_says_its_kind_is_refused(preset_places, tmp_path):
    path = tmp_path / "config.json"
    refused(lambda: preset_places.check(str(tmp_path), "wordpiece"), tmp_path, "config.json", "has none")
    for content, reason in (
        ('{"model_type": "be', "not whole JSON"),
        ("[1]", "JSON object"),
        ('{"model_type": "gpt2"}', "gpt2"),
        ('{"vocab_size": 3}', "model_type None"),
        ('{"registered_name": "keras_hub>GPT2Backbone", "class_name": "GPT2Backbone"}', "GPT2Backbone"),
    ):
        path.write_text(content)
        refused(lambda: preset_places.check(str(tmp_path), "wordpiece"), path, reason)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("kind", "format", "file"),
    [
        ("bert", "hugging_face", "model.safetensors"),
        ("bert", "hugging_face", "tokenizer.json"),
        ("roberta", "hugging_face", "tokenizer.json"),
        ("bert", "keras", "model.weights.h5"),
        ("bert", "keras", "tokenizer.json"),
        ("bert", "keras", "assets/tokenizer/vocabulary.txt"),
        ("roberta", "keras", "assets/tokenizer/merges.txt"),
    ],
)
def test_a_folder_without_a_file_it_needs_is_refused(kind, format, file, preset_places, copy_of):
    folder = copy_of(kind, format)
    preset_places.check(str(folder), READS[kind])
    (folder / file).unlink()
    refused(lambda: preset_places.check(str(folder), READS[kind]), folder, "it must have", file)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("format", "file"),
    [
        ("hugging_face", "model.safetensors"),
        ("hugging_face", "tokenizer.json"),
        ("keras", "model.weights.h5"),
        ("keras", "tokenizer.json"),
        ("keras", "assets/tokenizer/vocabulary.txt"),
    ],
)
@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_file_cut_short_is_refused(format, file, part, presets, copy_of):
    folder = copy_of("bert", format)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: int(part * len(content))])
    if "vocabulary" in file and part:  # some tokens fewer: it is whole as far as it goes
        (folder / file).write_bytes(b"[PAD]\n[UNK]\n[CLS]\n\xff")

    def load():
        presets.load_tokenizer(str(folder), "wordpiece")
        presets.load_backbone(str(folder), "wordpiece", 0.1)

    refused(load, folder)


@pytest.mark.one_backend
@pytest.mark.parametrize("changes", [{"hidden_dim": 32}, {"num_layers": 3}, {"vocabulary_size": "many"}, None])
def test_weights_that_do_not_fit_their_config_are_refused(changes, presets, copy_of):
    folder = copy_of("bert", "keras")
    config = json.loads((folder / "config.json").read_text())
    change_json(folder / "config.json", config={} if changes is None else config["config"] | changes)
    refused(lambda: presets.load_backbone(str(folder), "wordpiece", 0.1), folder)


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Names can't be resolved, and nothing was downloaded before."""

    def unresolved(*_, **__):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("preset", "reads"),
    [
        ("bert_base_en_uncased", "wordpiece"),
        ("roberta_base_en", "byte_level_bpe"),
        ("kaggle://keras/bert/keras/bert_tiny_en_uncased", "wordpiece"),
        ("kaggle://nothing", "wordpiece"),
        ("hf://kmodels-tests/nothing-is-here", "wordpiece"),
        ("hf://not a handle/at/all", "wordpiece"),
    ],
)
def test_what_is_out_of_reach_is_refused_within_seconds(preset, reads, presets, no_network):
    start = time.perf_counter()
    refused(lambda: presets.load_tokenizer(preset, reads), preset, "--preset=FOLDER", "--preset=scratch:base")
    refused(lambda: presets.load_backbone(preset, reads, 0.1), preset, "--preset=FOLDER", "--preset=scratch:base")
    assert time.perf_counter() - start < 10


@pytest.mark.one_backend
def test_a_handle_of_the_hub_is_read_as_its_folder(presets, transformers, whole, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import HTTPError

    def download(handle, allow_patterns):
        if handle == "kmodels-tests/broken":
            raise HTTPError("the proxy says no")
        return str(whole[handle.removeprefix("kmodels-tests/"), "hugging_face"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    backbone = presets.load_backbone("hf://kmodels-tests/bert", "wordpiece", 0.1)
    expected = presets.load_backbone(str(whole["bert", "hugging_face"]), "wordpiece", 0.1)
    assert_same_outputs(outputs(backbone), outputs(expected), atol=0)
    assert_same_ids(presets.load_tokenizer("hf://kmodels-tests/bert", "wordpiece"), whole["bert", "hugging_face"])
    refused(lambda: presets.load_backbone("hf://kmodels-tests/roberta", "wordpiece", 0.1), "roberta")
    refused(lambda: presets.load_backbone("hf://kmodels-tests/broken", "wordpiece", 0.1), "the proxy says no")


# A run's encoder


def config_of(preset, **settings):
    return RunConfig(model="bert_base_pool", preset=str(preset), **{"max_length": 16} | settings).resolved("jax")


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


# Training less than the whole encoder


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
