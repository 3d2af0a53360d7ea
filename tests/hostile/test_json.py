"""JSON is read or refused in one line, whatever it holds."""

import json

import pytest

import kmodels
from kmodels.models import preset_files
from tests.hostile import attacks
from tests.hostile.attacks import SIZES, put
from tests.hostile.checks import READS, attempt, kept, little_memory, load, refused

JSON_FILES = {
    "keras": ["config.json", "tokenizer.json", "assets/tokenizer/vocabulary.json"],
    "hugging_face": ["config.json", "tokenizer.json", "tokenizer_config.json", "added_tokens.json"],
}
ENDLESS = [b"[" * 10**5, b'{"a":' * 10**5, b'{"a":' * 10**5 + b"1" + b"}" * 10**5, b'{"a":' + b"9" * 10**5]
HOSTILE = [None, True, -1, 0.5, 2**64, "a\nb\x1b]", [[]], {"a": {}}]
STAGES = {"normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding"}  # of no use here


@pytest.mark.one_backend
@pytest.mark.parametrize("format", JSON_FILES)
def test_json_without_end_is_refused(format, preset_copy):
    folder = preset_copy("roberta", format)
    for name in JSON_FILES[format]:
        with kept(folder / name) as path, little_memory():
            for content in ENDLESS:
                path.write_bytes(content)
                refused(lambda: load(folder, "roberta"), folder)
            with open(path, "wb") as file:
                file.truncate(preset_files.MAX_TEXT_BYTES + 1)
            refused(lambda: load(folder, "roberta"), path)


@pytest.mark.one_backend
def test_json_without_end_in_a_run_is_refused(run_copy):
    folder = run_copy("textcnn")
    for name in ("config.json", "model.json", "tokenizer.json"):
        with kept(folder / name) as path, little_memory():
            for content in [*ENDLESS, b"null", b"[]", b'{"cls": 1}', b""]:
                path.write_bytes(content)
                refused(lambda: kmodels.load(folder))
            with open(path, "wb") as file:
                file.truncate(preset_files.MAX_TEXT_BYTES + 1)
            refused(lambda: kmodels.load(folder), path)


def places(value, found=()):
    """The keys that lead to each value in JSON; of a list or a vocabulary, to the first one."""
    yield found
    children = list(enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ())
    for key, child in children[: 1 if isinstance(value, list) or len(children) > 50 else None]:
        yield from places(child, (*found, key))


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize("format", JSON_FILES)
def test_a_tokenizer_is_read_or_refused_whatever_its_json_holds(format, kind, preset_copy):
    from kmodels.models import presets

    folder = preset_copy(kind, format)
    more = {"added_tokens_decoder": {"0": {"content": "[PAD]"}}, "strip_accents": None, "add_prefix_space": False}
    for name in JSON_FILES[format][1:]:
        with kept(folder / name) as path:
            path.parent.mkdir(parents=True, exist_ok=True)
            good = json.loads(path.read_text()) if path.exists() else {"<mask>": 3}
            good |= more if name == "tokenizer_config.json" else {}
            for place in places({key: value for key, value in good.items() if key not in STAGES}):
                for value in HOSTILE:
                    path.write_text(json.dumps(good if place else value))
                    put(path, place, value) if place else None
                    attempt(lambda: presets.load_tokenizer(str(folder), READS[kind]))


@pytest.mark.one_backend
@pytest.mark.parametrize("format", JSON_FILES)
def test_an_encoder_is_read_or_refused_whatever_its_json_holds(format, preset_copy):
    from kmodels.models import presets

    folder = preset_copy("bert", format)
    keras = [("config",), ("class_name",), ("registered_name",), *(("config", name) for name in SIZES)]
    names = [*attacks.HUGGING_FACE_NAMES.values(), "type_vocab_size", "hidden_act", "layer_norm_eps", "is_decoder"]
    for place in keras if format == "keras" else [("model_type",), *((name,) for name in names)]:
        for value in HOSTILE:
            with kept(folder / "config.json") as path:
                put(path, place, value)
                attempt(lambda: presets.load_backbone(str(folder), "wordpiece", 0.1))


@pytest.mark.one_backend
def test_a_run_is_read_or_refused_whatever_its_json_holds(run_copy):
    folder = run_copy("bert_base_pool")
    inside = [("backbone",), ("backbone", "class"), ("backbone", "config"), ("backbone", "variant")]
    for place in [("label_names",), *inside, ("backbone", "config", "dropout"), ("backbone", "config", "num_heads")]:
        for value in HOSTILE:
            with kept(folder / "model.json") as path:
                put(path, place, value)
                attempt(lambda: kmodels.load(folder))


@pytest.mark.one_backend
@pytest.mark.parametrize("change", [{"precision": "auto"}, {"kernel_sizes": [2, 2]}, {"embedding_dim": None}])
def test_settings_that_no_run_has_are_refused(change, run_copy):
    folder = run_copy("textcnn")
    for name, value in change.items():
        put(folder / "config.json", (name,), value)
    refused(lambda: kmodels.load(folder), folder)
