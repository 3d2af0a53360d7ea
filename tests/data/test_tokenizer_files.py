"""Files of tokenizers: read as they were written, or refused in one line."""

import json

import pytest
import tokenizers as library

from kmodels.data import tokenizer_training, tokenizers
from kmodels.data.tokenizers import Tokenizer
from kmodels.errors import InputError
from tests.data.texts import BYTE_LEVEL, HARD_TEXTS, SENTENCES, WORDPIECE, make, rows


def test_a_saved_tokenizer_loads_as_the_same(tokenizer, tmp_path):
    tokenizer.encode(SENTENCES, max_length=3)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()
    for name in ("kind", "vocabulary_size", "padding_id", "vocabulary", "merges"):
        assert getattr(loaded, name) == getattr(tokenizer, name)
    texts = list(HARD_TEXTS.values())
    assert rows(loaded.encode(texts)) == rows(tokenizer.encode(texts))
    assert rows(loaded.encode(texts)) == [
        e.ids for e in library.Tokenizer.from_file(str(tmp_path / "again.json")).encode_batch(texts)
    ]


def test_truncation_and_padding_of_a_file_are_left_out(tmp_path):
    tokenizers.wordpiece(WORDPIECE).save(tmp_path / "tokenizer.json")
    plain = (tmp_path / "tokenizer.json").read_bytes()
    assert json.loads(plain)["truncation"] is json.loads(plain)["padding"] is None
    backend = library.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.enable_truncation(3)
    backend.enable_padding()
    backend.save(str(tmp_path / "state.json"))
    loaded = Tokenizer.load(tmp_path / "state.json")
    assert rows(loaded.encode(["the film the film", ""])) == [[2, 5, 6, 5, 6, 3], [2, 3]]
    loaded.save(tmp_path / "state.json")
    assert (tmp_path / "state.json").read_bytes() == plain


def test_vocabulary_and_merges_make_the_same_tokenizer_again(roberta):
    wordpiece, byte_level = make("wordpiece"), roberta[0]
    numbered = {token: token_id for token_id, token in enumerate(byte_level.vocabulary)}
    texts = list(HARD_TEXTS.values())
    for made, again in (
        (wordpiece, tokenizers.wordpiece(wordpiece.vocabulary)),
        (byte_level, tokenizers.byte_level_bpe(numbered, byte_level.merges)),
    ):
        assert rows(made.encode(texts)) == rows(again.encode(texts))
    assert wordpiece.merges == []


def damaged(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def saved(tmp_path, made):
    made.save(tmp_path / "good.json")
    return json.loads((tmp_path / "good.json").read_text(encoding="utf-8"))


def refused(path, reason):
    with pytest.raises(InputError, match=reason) as caught:
        Tokenizer.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    refused(tmp_path / "absent.json", "No such file")
    refused(tmp_path, "directory")


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"text", b"[]", b"{}", b'{"config": {"vocabulary_size": 3}}']
)
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path, content):
    refused(damaged(tmp_path, content), "not whole JSON|Cannot instantiate Tokenizer")


def test_a_file_cut_short_is_refused(tmp_path):
    content = json.dumps(saved(tmp_path, make("wordpiece"))).encode()
    for length in range(1, len(content), len(content) // 20):
        refused(damaged(tmp_path, content[:length]), "not whole JSON")


def test_a_tokenizer_of_another_kind_is_refused(tmp_path):
    for model in (library.models.Unigram([("a", 0.0)], unk_id=0), library.models.BPE({"<pad>": 0}, [])):
        library.Tokenizer(model).save(str(tmp_path / "other.json"))
        refused(tmp_path / "other.json", "its model is (Unigram|BPE) after None")


def test_a_vocabulary_with_gaps_or_without_special_tokens_is_refused(tmp_path):
    words = saved(tmp_path, tokenizer_training.train_words(["a b"]))
    for vocabulary, reason in (
        ({"[PAD]": 0, "[UNK]": 1, "a": 3}, "no token has the id 2"),
        ({"[UNK]": 0, "a": 1}, r"must hold \[PAD\]"),
        ({"[PAD]": 0, "a": 1}, r"must hold \[UNK\]"),
    ):
        refused(damaged(tmp_path, {**words, "model": {**words["model"], "vocab": vocabulary}}), reason)


def test_a_special_token_outside_the_vocabulary_is_refused(tmp_path):
    content = saved(tmp_path, tokenizers.wordpiece(WORDPIECE))
    content["post_processor"]["cls"][1] = 1000
    refused(damaged(tmp_path, content), "special tokens")
    content = saved(tmp_path, tokenizers.wordpiece(WORDPIECE))
    content["model"]["vocab"]["other"] = content["model"]["vocab"].pop("[UNK]")  # still among the added tokens
    content["model"]["vocab"].pop("t")
    refused(damaged(tmp_path, content), "special tokens")


@pytest.mark.parametrize(
    ("name", "stage", "reason"),
    [
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "normalizer must be one of"),
        ("normalizer", {"precompiled_charsmap": "AAAA"}, "normalizer must be one of .* got None"),
        ("normalizer", {"type": "Prepend", "prepend": ""}, "normalizer must be one of"),
        ("normalizer", {"type": "Replace", "pattern": {"Regex": "a*"}, "content": "b"}, "must replace a text"),
        ("normalizer", {"type": "Replace", "pattern": {"String": ""}, "content": "b"}, "must replace a text"),
        ("normalizer", [{"type": "NFC"}], "normalizer must be one of"),
        ("pre_tokenizer", {"type": "FixedLength", "length": 0}, "pre_tokenizer must be one of"),
        (
            "post_processor",
            {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {},
            },
            "must say which token",
        ),
        ("decoder", {"type": "CTC"}, "decoder must be one of"),
    ],
)
def test_a_stage_at_which_the_library_panics_is_refused_wherever_it_stands(name, stage, reason, tmp_path, capfd):
    members = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "post_processor": "processors"}
    for kind in ("words", "wordpiece", "byte_level_bpe"):
        content = saved(tmp_path, make(kind))
        refused(damaged(tmp_path, content | {name: stage}), reason)
        if name in members:
            nested = {"type": "Sequence", members[name]: [{"type": "Sequence", members[name]: [stage]}]}
            refused(damaged(tmp_path, content | {name: nested}), reason)
    twice = json.dumps(saved(tmp_path, make("words")))[:-1] + f', "{name}": {json.dumps(stage)}, "{name}": null}}'
    Tokenizer.load(damaged(tmp_path, twice.encode())).encode(["a film"])  # the library sees the one that was looked at
    assert capfd.readouterr().err == ""


def test_tokens_with_a_prefix_are_no_byte_level_bpe(tmp_path):
    content = saved(tmp_path, make("byte_level_bpe"))
    content["model"]["continuing_subword_prefix"] = "##########"
    refused(damaged(tmp_path, content), "have no prefixes")


def test_vocabularies_that_do_not_fit_are_refused():
    numbered = {token: token_id for token_id, token in enumerate(BYTE_LEVEL)}
    with pytest.raises(InputError, match=r"must hold \[CLS\], \[SEP\]"):
        tokenizers.wordpiece(["[PAD]", "[UNK]", "a"])
    with pytest.raises(InputError, match="each once"):
        tokenizers.wordpiece([*WORDPIECE, "film"])
    with pytest.raises(InputError, match="must hold </s>, <s>"):
        tokenizers.byte_level_bpe({"<pad>": 0}, [])
    for merge in ("l x", "e w", "low", "l o w"):
        with pytest.raises(InputError, match="a merge must join two tokens"):
            tokenizers.byte_level_bpe(numbered, [merge])
