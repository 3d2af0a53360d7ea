"""Pretrained word vectors from text files and token tables (test_word_states.py: from the layers of an encoder)."""

import numpy as np
import pytest

from kmodels.data import tokenizer_training, tokenizers, word_vectors
from kmodels.errors import InputError

GLOVE = "the 1 2 3\nfilm 4 5 6\nFilm 0 0 0\n. . . 7 8 9\nParis 1 1 1\nrare 2 2 2\n"


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "vectors.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize("head", ["", "6 3\n"], ids=["GloVe", "word2vec"])
def test_a_file_gives_the_vectors_of_the_words_that_are_wanted(file, head):
    found = word_vectors.read(file(head + GLOVE), {"the", "film", "paris", "absent"})
    assert found.words == ["the", "film", "paris"]
    assert found.vectors.tolist() == [[1, 2, 3], [4, 5, 6], [1, 1, 1]]
    assert found.vectors.dtype == np.float32


def test_the_exact_spelling_counts_wherever_it_stands(file):
    lines = "Film 0 0 0\nFILM 9 9 9\n", "film 4 5 6\n"
    for text in ("".join(lines), "".join(reversed(lines))):
        assert word_vectors.read(file(text), {"film"}).vectors.tolist() == [[4, 5, 6]]
    assert word_vectors.read(file(lines[0]), {"film"}).vectors.tolist() == [[0, 0, 0]]


def test_others_are_kept_in_the_files_order_as_far_as_there_is_room(file):
    text = "the 1 2\nb 3 4\nC 5 6\nx-y 7 8\nd 9 9\nfilm 1 1\n"
    for room, words in ((0, ["film"]), (2, ["the", "b", "film"]), (9, ["the", "b", "d", "film"])):
        assert word_vectors.read(file(text), {"film"}, room, lambda word: "-" not in word).words == words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "none of them"),
        ("other 1 2\n", "none of them"),
        ("film\n", "line 1: a word and 2 to 4096 numbers"),
        ("{json: 1}\n", "line 1: a word and 2 to 4096 numbers"),
        ("film 1 x\n", "line 1: every field after the word must be a number"),
        ("the 1 2 3\nfilm 1 2\n", "line 2: 3 finite numbers must follow the word; got 2"),
        ("film 1 nan\n", "line 1: 2 finite numbers"),
        (b"film 1 2\n\xff\xfe 1 2\n", None),
    ],
)
def test_a_file_that_holds_something_else_is_refused_by_line(file, text, message):
    if message is None:
        assert word_vectors.read(file(text), {"film"}).words == ["film"]
        return
    with pytest.raises(InputError, match=message):
        word_vectors.read(file(text), {"film"})


def test_a_word_gets_the_mean_of_its_pieces():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "##ness", "me", "zebra", "x1"]
    table = np.arange(len(pieces) * 2, dtype=np.float32).reshape(-1, 2) ** 2
    tokenizer = tokenizers.wordpiece(pieces)
    words = word_vectors.words_of(tokenizer, {"goodness", "me"}, 1, str.isalpha)
    assert words == ["goodness", "me", "good"]
    found = word_vectors.from_tokens(words, tokenizer, table)
    np.testing.assert_allclose(found.vectors, [(table[4] + table[5]) / 2, table[6], table[4]])


def test_a_word_inside_a_sentence_has_the_pieces_it_has_there():
    bpe = tokenizer_training.train_byte_level_bpe(["the good film and the good cast"] * 20, 300)
    table = np.arange(bpe.vocabulary_size, dtype=np.float32)[:, None].repeat(2, axis=1)
    found = word_vectors.from_tokens(word_vectors.words_of(bpe, {"good"}, 9), bpe, table)
    assert found.vectors[0, 0] == bpe.vocabulary.index("Ġgood")
    assert set(found.words) >= {"good", "film", "the"}


def test_the_table_has_one_scale_whatever_the_vectors_have():
    numbers = np.random.default_rng(0)
    words = [f"w{number}" for number in range(500)]
    vectors = word_vectors.WordVectors(words, numbers.normal(3, (1, 20), (500, 2)).astype(np.float32))
    vocabulary = ["[PAD]", "[UNK]", "new", *reversed(words)]
    table = word_vectors.table(vectors, vocabulary, numbers)
    assert table.shape == (503, 2)
    assert not table[:2].any()
    assert table[2].any()
    np.testing.assert_allclose(table[3:].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(table[3:].std(axis=0), word_vectors.SCALE, rtol=1e-5)
    expected = (vectors.vectors[0] - vectors.vectors.mean(axis=0)) / vectors.vectors.std(axis=0) * word_vectors.SCALE
    np.testing.assert_allclose(table[-1], expected, rtol=1e-4)


def test_words_that_join_a_vocabulary_keep_its_ids():
    known = tokenizer_training.train_words(["the film was good"])
    more = known.with_words(["good", "cast"])
    assert more.vocabulary == [*known.vocabulary, "cast"]
    assert more.tokens("The good cast slept") == ["the", "good", "cast", "[UNK]"]
    assert [known.is_one_word(text) for text in ("cast", "don't", "Cast", "a b", "")] == [
        True,
        False,
        False,
        False,
        False,
    ]
