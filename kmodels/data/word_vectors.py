"""Pretrained vectors of words: from a text file as GloVe and word2vec write it, or from the tokens of an encoder.

All vectors come out on one scale, whatever they are from: each dimension has mean 0 over the words, and the standard
deviation `SCALE`.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from kmodels.errors import InputError

SCALE = 0.5  # with the mean 0 and this deviation, the models over words learned best (results/README.md)
MOST_DIMENSIONS = 4096  # far above any published: what has more is no such file


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors of some words.

    Attributes:
        words: [str, …], each once.
        vectors: float32, (num_words, dim), as their source has them.
    """

    words: list[str]
    vectors: np.ndarray


def read(path, wanted, most_others=0, is_word=lambda word: True):
    """The vectors in a text file of the words that are wanted, and of the first others.

    A line has a word and its numbers, separated by spaces; word2vec's first line, with the number of words and of
    dimensions, is passed over. Only what is kept takes memory. Of several spellings that lower-casing makes one, an
    exact one counts, else the first.

    Args:
        path: pathlib.Path.
        wanted: words, lower case: set of str.
        most_others: how many words that are not wanted to keep as well, from the file's start, where the frequent are.
        is_word: function of a str; tells whether it may be kept beside those that are wanted.

    Returns:
        WordVectors, the others in the file's order.

    Raises:
        InputError: the file can't be read, a line is no word with numbers, or no wanted word is in it.
    """
    found: dict = {}
    exact: set = set()
    num_others, dim = 0, None
    for number, line in _lines(path):
        word, *fields = line.rstrip().split(" ")
        if number == 1 and len(fields) == 1 and word.isdigit():
            continue
        if dim is None:
            dim = _dimension(fields, path, number)
        if len(fields) > dim:  # a word with spaces in it: no word of ours
            continue
        lower = word.lower()
        if lower in wanted:
            if lower in exact or (lower in found and word != lower):
                continue
        elif num_others < most_others and word == lower and word not in found and is_word(word):
            num_others += 1
        else:
            continue
        if word == lower:
            exact.add(lower)
        found[lower] = _numbers(fields, dim, path, number)
    if found.keys().isdisjoint(wanted):
        raise InputError(f"{path} must have vectors of the training text's words; it has none of them")
    return WordVectors(list(found), np.stack(list(found.values())))


def words_of(tokenizer, wanted, most_others=0, is_word=lambda word: True):
    """The words whose vectors an encoder can give: those that are wanted, and its own whole words, by id.

    Args:
        tokenizer: kmodels.data.tokenizers.Tokenizer of the encoder.
        wanted, most_others, is_word: as in `read`.

    Returns:
        [str, …], each once, all of at least one token.
    """
    whole = (word for word in tokenizer.whole_words() if word not in wanted and is_word(word))
    words = [*sorted(wanted), *itertools.islice(whole, most_others)]
    return [word for word, count in zip(words, tokenizer.encode_words(words).lengths) if count]


def from_tokens(words, tokenizer, table):
    """Vectors from an encoder's token table: a word's is the mean of those of its pieces.

    Args:
        words: what `words_of` gave.
        tokenizer: kmodels.data.tokenizers.Tokenizer of the encoder.
        table: float32, (at least as many rows as the tokenizer has tokens, dim).

    Returns:
        WordVectors.
    """
    pieces = tokenizer.encode_words(words)
    sums = np.add.reduceat(table[pieces.token_ids], pieces.offsets[:-1], axis=0)
    return WordVectors(words, (sums / pieces.lengths[:, None]).astype(np.float32))


def table(word_vectors, vocabulary, generator):
    """The table of vectors of a model's vocabulary, on one scale.

    Padding and the unknown word are 0, the mean. A word without a vector gets a random one of the same spread
    (Kim 2014, section 3.1).

    Args:
        word_vectors: WordVectors.
        vocabulary: [str, …] by id; the first two are padding and the unknown word.
        generator: numpy.random.Generator.

    Returns:
        float32, (len(vocabulary), dim).
    """
    vectors = word_vectors.vectors
    spread = vectors.std(axis=0)
    vectors = SCALE * (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1)
    rows = {word: row for row, word in enumerate(word_vectors.words)}
    filled = generator.normal(0, SCALE, (len(vocabulary), vectors.shape[1])).astype(np.float32)
    filled[:2] = 0
    places = np.array([rows.get(word, -1) for word in vocabulary])
    filled[places >= 0] = vectors[places[places >= 0]]
    return filled


def _lines(path):
    """Yields (number from 1, line) of a text file."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            yield from enumerate(file, 1)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error


def _dimension(fields, path, number):
    if not 2 <= len(fields) <= MOST_DIMENSIONS:
        raise InputError(
            f"{path}, line {number}: a word and 2 to {MOST_DIMENSIONS} numbers must stand there, separated by spaces, "
            f"as GloVe and word2vec write them; got {len(fields)} after the first space"
        )
    return len(fields)


def _numbers(fields, dim, path, number):
    """A line's vector: float32, (dim,)."""
    try:
        vector = np.array(fields, np.float32)
    except ValueError as error:
        raise InputError(f"{path}, line {number}: every field after the word must be a number; {error}") from error
    if len(vector) != dim or not np.isfinite(vector).all():
        raise InputError(f"{path}, line {number}: {dim} finite numbers must follow the word; got {len(vector)}")
    return vector
