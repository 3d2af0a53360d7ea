"""Encoders and tokenizers in Hugging Face format against transformers' own, at tiny sizes."""

import json
import pickle
from pathlib import Path

import pytest

from tests.models.encoders import SIZES, save_model, save_tokenizer
from tests.models.folders import (
    READS,
    TEXTS,
    assert_same_ids,
    assert_same_outputs,
    change_json,
    change_tensors,
    expected_outputs,
    outputs,
    refused,
)

pytestmark = pytest.mark.backend

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
