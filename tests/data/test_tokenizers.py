"""Tokenizers against transformers' and KerasHub's own, against ids worked out by hand, and across processes."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tokenizers as library
from hypothesis import given, settings
from hypothesis import strategies as st

from kmodels.data import tokenizer_training, tokenizers
from kmodels.data.tokenizers import Tokenizer
from kmodels.data.words import words_pipeline
from kmodels.errors import InputError

CHECKOUT = str(Path(__file__).resolve().parents[2])
SENTENCES = [
    "It doesn't work, it's bad.",
    "The film is a warm, well-made comedy with unlikely heroes.",
    "An unlikely and likeable film; the heroes don't work, they play!",
    "Nobody's acting could have saved this worthless, endless story.",
    "I'd watch it again (and again) for the acting alone.",
    "Endless, hopeless, and somehow charming: 10 out of 10 heroes agree.",
    "Café crème at the café, naïve über-heroes, señor and señora.",
    "这 部 电影 好 看 。 好 电影 ！",
    "Привет, хороший фильм! Хороший, но длинный фильм.",
    "Good 😀 or bad 😡? 😀😀",
]
HARD_TEXTS = {
    "plain": "The heroes don't work in this unlikely film.",
    "empty": "",
    "spaces only": " \t\n ",
    "long text": "the film is bad , " * 556,
    "long word": "a" * 10_000,
    "word of 100": "a" * 100,
    "word of 101": "a" * 101,
    "composed accent": "caf\u00e9 na\u00efve \u00c9COLE",
    "decomposed accent": "cafe\u0301 nai\u0308ve E\u0301COLE",
    "emoji": "good \U0001f600\U0001f621 \U0001f44d\U0001f3fd \u2764\ufe0f \U0001f468\u200d\U0001f469",
    "chinese": "这部电影好看。very好！",
    "japanese and korean": "映画はとても 영화는 정말",
    "cyrillic": "Хороший ФИЛЬМ, но длинный",
    "right to left": "فيلم جيد \u200fסרט טוב\u202e evil",
    "control characters": "a\x01film\x7f \x1b[0m\r\nbad\x0b\x0c\x85",
    "zero width": "fi\u200blm \ufeffbad\u2060 so\u00adft",
    "NUL": "\0film\0 bad\0",
    "no-break space": "bad\u00a0film\u3000good\u2003bad",
    "replacement character": "bad \ufffd film",
    "BERT's special tokens": "[CLS] bad [SEP][PAD]film[MASK] [UNK] [sep] [ SEP ]",
    "RoBERTa's special tokens": "<s>bad</s> film<pad> <mask> <unk></S>",
    "leading space": "  film",
    "turkish capital": "\u0130stanbul \u1e9e \ufb01lm",
}
BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CHARACTERS = st.one_of(
    st.characters(codec="utf-8"), st.characters(codec="ascii"), st.sampled_from("éàü中好\u0301\u200b 😀'-.")
)
TEXTS = st.lists(
    st.one_of(CHARACTERS, st.sampled_from(["film", " the", "[SEP]", "</s>", "[UNK]", "<mask>", "n't", "ing "])),
    max_size=20,
).map("".join)
many = settings(max_examples=300, deadline=None, derandomize=True)


def rows(tokenized):
    return [row.tolist() for row in np.split(tokenized.token_ids, tokenized.offsets[1:-1])]


def ids(tokenizer, text, max_length=None):
    return tokenizer.encode([text], max_length).token_ids.tolist()


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


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    """Ours, and transformers' made from the same vocab.json and merges.txt."""
    from transformers import RobertaTokenizer

    trained = tokenizer_training.train_byte_level_bpe(SENTENCES, 350)
    vocabulary = {token: token_id for token_id, token in enumerate(trained.vocabulary)}
    folder = tmp_path_factory.mktemp("roberta")
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *trained.merges]) + "\n", encoding="utf-8")
    return tokenizers.byte_level_bpe(vocabulary, trained.merges), RobertaTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module", params=["words", "wordpiece", "byte_level_bpe"])
def tokenizer(request):
    return make(request.param)


def make(kind, texts=SENTENCES):
    if kind == "words":
        return tokenizer_training.train_words(texts)
    if kind == "wordpiece":
        return tokenizer_training.train_wordpiece(texts, 250)
    return tokenizer_training.train_byte_level_bpe(texts, 350)


# Ids worked out by hand

WORDPIECE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "##s", "un", "##like", "##ly"]
WORDPIECE += [",", ".", "cafe", "!", "好", "don", "'", "t"]
WORDPIECE_IDS = {
    "": [2, 3],
    "The films, unlikely!": [2, 5, 6, 7, 11, 8, 9, 10, 14, 3],
    "caf\u00e9 cafe\u0301 CAF\u00c9": [2, 13, 13, 13, 3],
    "好好film": [2, 15, 15, 6, 3],
    "don't unlikeable": [2, 16, 17, 18, 1, 3],
    "film[SEP]the [MASK]": [2, 6, 3, 5, 4, 3],
    "fi\u200blm\0 \u00a0the": [2, 6, 5, 3],
}
BYTE_LEVEL = ["<s>", "<pad>", "</s>", "<unk>", *"lowerĠÃ©", "lo", "low", "er", "Ġlow", "Ġlo", "<mask>"]
MERGES = ["l o", "lo w", "e r", "Ġ low", "Ġ lo"]
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


# The same ids as other libraries


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


def run_python(arguments, standard_input, environment, folder):
    command = [sys.executable, *arguments]
    options = {"env": environment, "cwd": folder, "capture_output": True, "text": True, "timeout": 120}
    run = subprocess.run(command, input=standard_input, check=False, **options)
    assert run.returncode == 0, run.stderr
    return run.stdout


# Words


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


# What stands between spaces, tokenised once


LISTS = st.lists(st.one_of(TEXTS, st.sampled_from([*SENTENCES, *HARD_TEXTS.values()])), min_size=1, max_size=6)


@many
@given(texts=LISTS)
@pytest.mark.parametrize("max_length", [None, 3])
@pytest.mark.parametrize("train", [tokenizer_training.train_words, tokenizer_training.train_wordpiece])
def test_many_texts_have_the_ids_that_each_has_alone(train, texts, max_length):
    tokenizer = train(SENTENCES, 100)
    assert tokenizer._is_spaced
    alone, once = (
        tokenizer.encode(texts, max_length),
        tokenizer._encoded_once(tokenizers.valid_texts(texts), max_length),
    )
    assert (once.token_ids.dtype, once.offsets.dtype) == (np.int32, np.int64)
    np.testing.assert_array_equal(once.token_ids, alone.token_ids)
    np.testing.assert_array_equal(once.offsets, alone.offsets)


@many
@given(texts=LISTS)
@pytest.mark.parametrize("pipeline", [words_pipeline, lambda: tokenizers.wordpiece_pipeline(BERT_TOKENS)])
def test_words_are_counted_as_the_library_counts_them(texts, pipeline):
    texts = tokenizers.valid_texts(texts * 2)
    counter = library.Tokenizer(library.models.WordLevel())
    counter.normalizer, counter.pre_tokenizer = pipeline().normalizer, pipeline().pre_tokenizer
    trainer = library.trainers.WordLevelTrainer(vocab_size=2**31, min_frequency=3, show_progress=False)
    counter.train_from_iterator(texts, trainer)
    found = tokenizer_training._frequent_words(pipeline(), texts, min_count=3)
    assert found == tokenizers.tokens_by_id(counter)


def test_texts_of_several_cuts_lie_one_after_another(monkeypatch):
    tokenizer = tokenizer_training.train_words(SENTENCES)
    expected = tokenizer.encode(SENTENCES)
    monkeypatch.setattr(tokenizers, "FEWEST_TEXTS_TO_CUT", 1)
    monkeypatch.setattr(tokenizers, "TEXTS_PER_CUT", 3)
    got = tokenizer.encode(SENTENCES)
    np.testing.assert_array_equal(got.token_ids, expected.token_ids)
    np.testing.assert_array_equal(got.offsets, expected.offsets)


def test_a_tokenizer_of_other_stages_is_asked_for_whole_texts():
    stages = words_pipeline()
    stages.normalizer = library.normalizers.Replace("good film", "classic")
    stages.model = library.models.WordLevel({"[PAD]": 0, "[UNK]": 1, "classic": 2}, unk_token="[UNK]")
    tokenizer = Tokenizer(stages)
    assert tokenizer.encode(["good film"] * 2000).token_ids.tolist() == [2] * 2000
    assert not tokenizer_training.train_byte_level_bpe(SENTENCES, 300)._is_spaced


@pytest.mark.parametrize("token", [{"content": "good film"}, {"content": "film", "lstrip": True}])
def test_an_added_token_that_takes_a_space_is_met_in_whole_texts(token):
    backend = tokenizers.wordpiece_pipeline([*BERT_TOKENS, "good", "film"])
    backend.add_special_tokens([library.AddedToken(**token)])
    assert not Tokenizer(backend)._is_spaced


# Ragged output


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


# Training

TRAIN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from kmodels.data import tokenizer_training
texts = json.load(sys.stdin)
tokenizer_training.train_words(texts).save("words.json")
tokenizer_training.train_wordpiece(texts, 250).save("wordpiece.json")
tokenizer_training.train_byte_level_bpe(texts, 350).save("byte_level_bpe.json")
"""


def test_training_gives_the_same_files_in_every_process(tmp_path):
    contents = []
    for hash_seed, parallel in (("0", "true"), ("1", "false"), ("2", "true")):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "TOKENIZERS_PARALLELISM": parallel}
        folder = tmp_path / hash_seed
        folder.mkdir()
        run_python(["-c", TRAIN, CHECKOUT], json.dumps(SENTENCES), environment, folder)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert len(contents[0]) == 3
    assert contents[0] == contents[1] == contents[2]


def test_the_order_of_texts_does_not_change_the_tokenizer(tokenizer):
    backwards = make(tokenizer.kind, SENTENCES[::-1])
    assert (backwards.vocabulary, backwards.merges) == (tokenizer.vocabulary, tokenizer.merges)


def test_trained_vocabularies_start_as_those_of_bert_and_roberta():
    wordpiece, byte_level = make("wordpiece"), make("byte_level_bpe")
    assert wordpiece.vocabulary[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert byte_level.vocabulary[:4] == ["<s>", "<pad>", "</s>", "<unk>"] and byte_level.vocabulary[-1] == "<mask>"
    assert (wordpiece.padding_id, byte_level.padding_id) == (0, 1)


def test_characters_in_fewer_words_are_left_out_and_ties_go_by_spelling():
    special_tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    alphabet = ["a", "b", "f", "##a", "##b", "##f"]
    assert tokenizer_training.train_wordpiece(["gfedcba f ff"], 11).vocabulary == special_tokens + alphabet


@pytest.mark.parametrize("vocabulary_size", [7, 20, 100, 150])
def test_trained_wordpiece_keeps_to_its_size(vocabulary_size):
    trained = tokenizer_training.train_wordpiece(SENTENCES, vocabulary_size)
    assert trained.vocabulary_size == len(trained.vocabulary) <= vocabulary_size
    assert trained.vocabulary_size == vocabulary_size or vocabulary_size < 100  # characters come in two forms or one


def test_trained_wordpiece_knows_the_frequent_words_and_parts_of_words_of_its_texts():
    trained = tokenizer_training.train_wordpiece(SENTENCES, 250)
    assert {"film", "heroes", "##less"} <= set(trained.vocabulary)
    assert "[UNK]" not in [token for text in SENTENCES for token in trained.tokens(text)]


@pytest.mark.parametrize("vocabulary_size", [261, 350])
def test_trained_byte_level_bpe_keeps_to_its_size(vocabulary_size):
    trained = tokenizer_training.train_byte_level_bpe(SENTENCES, vocabulary_size)
    assert trained.vocabulary_size == vocabulary_size == 261 + len(trained.merges)


@many
@given(text=st.text(st.characters(codec="utf-8")))
def test_byte_level_bpe_knows_every_text(text):
    tokens = BYTES.tokens(text)
    assert "<unk>" not in tokens
    assert library.decoders.ByteLevel().decode(tokens[1:-1]) == text


BYTES = make("byte_level_bpe")


@pytest.mark.parametrize(
    ("function", "minimum"),
    [
        (tokenizer_training.train_words, 3),
        (tokenizer_training.train_wordpiece, 7),
        (tokenizer_training.train_byte_level_bpe, 261),
    ],
)
def test_a_vocabulary_without_room_is_refused(function, minimum):
    function(SENTENCES, minimum)
    with pytest.raises(InputError, match=f"vocabulary_size must be at least {minimum} .* got {minimum - 1}"):
        function(SENTENCES, minimum - 1)


# Files


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
