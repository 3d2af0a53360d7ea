"""Presets out of reach, missing or damaged: one line, and nothing is loaded."""

import json
import socket
import time

import pytest

from tests.models.folders import READS, assert_same_ids, assert_same_outputs, change_json, outputs, refused

pytestmark = pytest.mark.backend


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
