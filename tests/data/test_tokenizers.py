"""Tokenizers against transformers' and KerasHub's own, against ids worked out by hand, and of many texts."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmodels.data import tokenizer_training, tokenizers
from kmodels.errors import InputError
from tests.data.texts import (
    BYTE_LEVEL,
    HARD_TEXTS,
    MERGES,
    SENTENCES,
    TEXTS,
    WORDPIECE,
    ids,
    make,
    many,
    rows,
    run_python,
)


@pytest.fixture(scope="module", params=["uncased", "cased"])
def bert(request, tmp_path_factory):
    """Ours, and transformers' made from the same vocab.txt."""
    from transformers import BertTokenizer

    lowercase = request.param == "uncased"
    ours = tokenizer_training.train_wordpiece(SENTENCES, 250, lowercase)
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "vocab.txt").write_text("\n".join(ours.vocabulary) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lowercase}))
    return tokenizers.wordpiece(ours.vocabulary, lowercase), BertTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def first_bert(bert):
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    reference = bert[1]
    return BertTokenizerLegacy(Path(reference.name_or_path) / "vocab.txt", do_lower_case=reference.do_lower_case)


WORDPIECE_IDS = {
    "": [2, 3],
    "The films, unlikely!": [2, 5, 6, 7, 11, 8, 9, 10, 14, 3],
    "caf\u00e9 cafe\u0301 CAF\u00c9": [2, 13, 13, 13, 3],
    "好好film": [2, 15, 15, 6, 3],
    "don't unlikeable": [2, 16, 17, 18, 1, 3],
    "film[SEP]the [MASK]": [2, 6, 3, 5, 4, 3],
    "fi\u200blm\0 \u00a0the": [2, 6, 5, 3],
}
BYTE_LEVEL_IDS = {
    "": [0, 2],
    "low lower": [0, 13, 15, 14, 2],
    " low": [0, 15, 2],
    "  low": [0, 9, 15, 2],
    "r\u00e9el": [0, 8, 10, 11, 7, 4, 2],
    "low</s>low<mask>": [0, 13, 2, 13, 17, 2],
    "Low": [0, 5, 6, 2],  # L is not in this small alphabet, and unknown bytes vanish, as in transformers
}


@pytest.mark.parametrize("text", WORDPIECE_IDS, ids=ascii)
def test_wordpiece_ids_are_those_worked_out_by_hand(text):
    assert ids(tokenizers.wordpiece(WORDPIECE), text) == WORDPIECE_IDS[text]


@pytest.mark.parametrize("merges", [MERGES, [tuple(merge.split()) for merge in MERGES], ["#version: 0.2", *MERGES]])
@pytest.mark.parametrize("text", BYTE_LEVEL_IDS, ids=ascii)
def test_byte_level_ids_are_those_worked_out_by_hand(text, merges):
    vocabulary = {token: token_id for token_id, token in enumerate(BYTE_LEVEL)}
    assert ids(tokenizers.byte_level_bpe(vocabulary, merges), text) == BYTE_LEVEL_IDS[text]


def test_words_are_numbered_by_falling_count_and_then_by_spelling():
    tokenizer = tokenizer_training.train_words(["b a b", "c B a ,"])
    assert tokenizer.vocabulary == ["[PAD]", "[UNK]", "b", "a", ",", "c"]
    assert (tokenizer.kind, tokenizer.padding_id, tokenizer.vocabulary_size) == ("words", 0, 6)
    assert rows(tokenizer.encode(["A b, d [PAD]", "", "C"])) == [[3, 2, 4, 1, 1, 1, 1], [], [5]]


def test_rare_and_surplus_words_are_unknown():
    texts = ["b a b", "c B a ,"]
    assert tokenizer_training.train_words(texts, min_count=2).vocabulary == ["[PAD]", "[UNK]", "b", "a"]
    assert tokenizer_training.train_words(texts, vocabulary_size=3).vocabulary == ["[PAD]", "[UNK]", "b"]


@pytest.mark.parametrize("text", HARD_TEXTS.values(), ids=HARD_TEXTS)
def test_wordpiece_equals_transformers(bert, text):
    ours, reference = bert
    assert ids(ours, text) == reference(text)["input_ids"]


@many
@given(text=TEXTS)
def test_wordpiece_equals_transformers_on_any_text(bert, text):
    ours, reference = bert
    assert ids(ours, text) == reference(text)["input_ids"]


@many
@given(text=st.text(st.characters(max_codepoint=0x24F)))
def test_wordpiece_equals_the_first_implementation_in_python(bert, first_bert, text):
    # transformers' own tokenizer is made of the same library as ours; this one comes from BERT's first code. Only
    # old characters: the two know different versions of Unicode.
    assert ids(bert[0], text) == first_bert(text)["input_ids"]


@pytest.mark.parametrize("text", HARD_TEXTS.values(), ids=HARD_TEXTS)
def test_byte_level_bpe_equals_transformers(roberta, text):
    ours, reference = roberta
    assert ids(ours, text) == reference(text)["input_ids"]


@many
@given(text=TEXTS)
def test_byte_level_bpe_equals_transformers_on_any_text(roberta, text):
    ours, reference = roberta
    assert ids(ours, text) == reference(text)["input_ids"]


@many
@given(text=TEXTS, max_length=st.integers(2, 12))
def test_truncation_equals_transformers(bert, roberta, text, max_length):
    for ours, reference in (bert, roberta):
        assert ids(ours, text, max_length) == reference(text, truncation=True, max_length=max_length)["input_ids"]


@pytest.mark.parametrize("strip_accents", [None, True, False])
@pytest.mark.parametrize("tokenize_chinese_chars", [True, False])
@pytest.mark.parametrize("lowercase", [True, False])
def test_options_of_wordpiece_are_those_of_transformers(lowercase, tokenize_chinese_chars, strip_accents):
    from transformers import BertTokenizer

    vocabulary = [*WORDPIECE, "café", "Cafe", "好好", "##film"]
    options = {"tokenize_chinese_chars": tokenize_chinese_chars, "strip_accents": strip_accents}
    numbered = {token: token_id for token_id, token in enumerate(vocabulary)}
    reference = BertTokenizer(vocab=numbered, do_lower_case=lowercase, **options)
    text = "café Cafe 好好 好好film CAFE\u0301"
    assert ids(tokenizers.wordpiece(vocabulary, lowercase, **options), text) == reference(text)["input_ids"]


KERAS_HUB = """
import json, sys
sys.modules["tensorflow"] = sys.modules["tensorflow_text"] = None  # KerasHub would load it
import keras_hub
for request in json.load(sys.stdin):
    tokenizer = keras_hub.tokenizers.BertTokenizer(vocabulary=request["vocabulary"], lowercase=request["lowercase"])
    print(json.dumps([[int(token_id) for token_id in row] for row in tokenizer(request["texts"])]))
"""


def test_wordpiece_equals_keras_hub_on_ascii(tmp_path):
    generator = np.random.default_rng(0)
    noise = [bytes(row).decode("ascii") for row in generator.integers(32, 127, (200, 30), np.uint8)]
    texts = [*filter(str.isascii, SENTENCES), "", "a\tfilm\n", "a" * 100, *noise]
    made = [tokenizer_training.train_wordpiece(SENTENCES, 250, lowercase) for lowercase in (True, False)]
    requests = [
        {"vocabulary": tokenizer.vocabulary, "lowercase": lowercase, "texts": texts}
        for tokenizer, lowercase in zip(made, (True, False), strict=True)
    ]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path)}
    output = run_python(["-c", KERAS_HUB], json.dumps(requests), environment, tmp_path)
    for tokenizer, line in zip(made, output.splitlines()[-2:], strict=True):
        assert [row[1:-1] for row in rows(tokenizer.encode(texts))] == json.loads(line)


@pytest.mark.parametrize(
    ("raw", "tokenised"),
    [
        ("It doesn't work, it's bad.", "it does n't work , it 's bad ."),
        ("I can't; they won't. We'll cannot!", "i ca n't ; they wo n't . we 'll can not !"),
        ("Don\u2019t you\u2019re I\u2019d he\u2018d've", "do n't you 're i 'd he 'd 've"),
        ("He said (loudly): \u201cwow\u201d\u2026", "he said -lrb- loudly -rrb- : `` wow '' ..."),
        ("[a] {b}", "-lsb- a -rsb- -lcb- b -rcb-"),
        ('"Wow"--well\u2014so so.....', "`` wow '' -- well -- so so ..."),
        ("A well-made, mother-in-law's film", "a well-made , mother-in-law 's film"),
        ("He well-wouldn't.She would", "he well-would n't . she would"),
        ("good,10/10.film", "good , 10/10 . film"),
        ("At 10:30 o'clock in the U.S., $1,000.50", "at 10:30 o'clock in the u.s. , $ 1,000.50"),
        ("the '70s; 1/2 and/or dogs' 50%", "the '70s ; 1\\/2 and \\/ or dogs ' 50 %"),
        ("I'm gonna, gotta, gimme", "i 'm gon na , got ta , gim me"),
        ("cafe\u0301 CAF\u00c9", "caf\u00e9 caf\u00e9"),
        ("bad\u00a0fi\u200blm\0!", "bad film !"),
        ("好film\u2764\ufe0f\U0001f600", "好 film \u2764\ufe0f \U0001f600"),
        ("  ", ""),
    ],
)
def test_raw_text_and_tokenised_text_give_the_same_words(raw, tokenised):
    tokenizer = tokenizer_training.train_words([tokenised])
    assert tokenizer.tokens(raw) == tokenizer.tokens(tokenised)
    assert len(tokenizer.tokens(raw)) == len(tokenised.split())


@many
@given(text=st.one_of(TEXTS, st.text("ant's-.,!0/ \"`()u", max_size=25)))
def test_words_joined_by_spaces_give_the_same_words(text):
    tokenizer = tokenizer_training.train_words([text])
    found = tokenizer.tokens(text)
    assert "[UNK]" not in found
    assert tokenizer.tokens(" ".join(found)) == found


def test_ids_of_many_texts_lie_one_after_another(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizers, "TEXTS_PER_SLICE", 3)
    texts = [*SENTENCES, "", "film"]
    tokenized = tokenizer.encode(text for text in texts)
    assert (tokenized.token_ids.dtype, tokenized.offsets.dtype) == (np.int32, np.int64)
    assert tokenized.lengths.dtype == np.int32
    assert rows(tokenized) == [ids(tokenizer, text) for text in texts]
    assert tokenized.lengths.tolist() == [len(row) for row in rows(tokenized)]
    assert tokenized.offsets[0] == 0 and tokenized.offsets[-1] == len(tokenized.token_ids)


def test_no_texts_give_no_rows(tokenizer):
    tokenized = tokenizer.encode([])
    assert (tokenized.token_ids.tolist(), tokenized.offsets.tolist(), tokenized.lengths.tolist()) == ([], [0], [])


def test_tokens_are_the_strings_of_the_ids(tokenizer):
    for text in SENTENCES:
        assert [tokenizer.vocabulary.index(token) for token in tokenizer.tokens(text)] == ids(tokenizer, text)


def test_truncation_keeps_the_start_and_the_final_special_token(tokenizer):
    whole = ids(tokenizer, SENTENCES[1])
    cut = ids(tokenizer, SENTENCES[1], max_length=5)
    assert cut == (whole[:5] if tokenizer.kind == "words" else whole[:4] + whole[-1:])
    assert ids(tokenizer, SENTENCES[1], max_length=len(whole)) == whole


def test_the_length_of_one_call_is_not_seen_by_others(tokenizer):
    lengths = [None, 3, 8, 2] * 25
    alone = {length: rows(tokenizer.encode(SENTENCES, length)) for length in lengths}
    assert rows(tokenizer.encode(SENTENCES)) == alone[None]
    with ThreadPoolExecutor(8) as threads:
        together = threads.map(lambda length: rows(tokenizer.encode(SENTENCES, length)), lengths)
        assert list(together) == [alone[length] for length in lengths]


@pytest.mark.parametrize(("kind", "minimum"), [("words", 1), ("wordpiece", 2), ("byte_level_bpe", 2)])
def test_a_length_without_room_for_special_tokens_is_refused(kind, minimum):
    tokenizer = make(kind)
    assert tokenizer.encode(["film film"], minimum).lengths.tolist() == [minimum]
    with pytest.raises(InputError, match=f"max_length must be at least {minimum} .* got {minimum - 1}"):
        tokenizer.encode(["film"], minimum - 1)


@pytest.mark.parametrize("texts", ["film", [b"film"], ["film", None], [3.5], [("film", "film")], [["film"]]])
def test_texts_that_are_no_str_are_refused(tokenizer, texts):
    for call in (tokenizer.encode, lambda texts: make(tokenizer.kind, texts)):
        with pytest.raises(TypeError, match=r"must be .*str.* got"):
            call(texts)


def test_a_lone_surrogate_counts_as_the_replacement_character(tokenizer):
    for surrogate in ("\ud800", "\udfff", "\udc00\ud800"):
        replaced = "\ufffd" * len(surrogate)
        assert ids(tokenizer, f"bad {surrogate}film") == ids(tokenizer, f"bad {replaced}film")
        make(tokenizer.kind, [*SENTENCES, surrogate])
    assert ids(tokenizer, "good \ud83d\ude00") == ids(tokenizer, "good \U0001f600")
