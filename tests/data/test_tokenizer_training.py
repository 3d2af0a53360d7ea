"""Training a tokenizer: the same in every process, of the size that was asked for."""

import json
import os
from pathlib import Path

import pytest
import tokenizers as library
from hypothesis import given
from hypothesis import strategies as st

from kmodels.data import tokenizer_training
from kmodels.errors import InputError
from tests.data.texts import SENTENCES, make, many, run_python

CHECKOUT = str(Path(__file__).resolve().parents[2])
TRAINED = make("byte_level_bpe")


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
    tokens = TRAINED.tokens(text)
    assert "<unk>" not in tokens
    assert library.decoders.ByteLevel().decode(tokens[1:-1]) == text


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
