"""Makes tokenizers from the text that a model will be trained on: of whole words, WordPiece, byte-level BPE.

The same texts give the same tokenizer in every process.
"""

import itertools
import json
from collections import Counter

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from kmodels.data import spaced
from kmodels.data.tokenizers import (
    SPECIAL_TOKENS,
    Tokenizer,
    byte_level_bpe,
    ids_of,
    tokens_by_id,
    valid_texts,
    wordpiece,
    wordpiece_pipeline,
)
from kmodels.data.words import words_pipeline
from kmodels.errors import InputError


def train_words(texts, vocabulary_size=30_000, min_count=1):
    """Makes a tokenizer of lower-cased words from the texts that a model will be trained on.

    Punctuation and contractions are split as in the Penn Treebank, and raw text gives the same tokens as text that is
    tokenised already. Id 0 is padding and 1 an unknown word; words follow by falling count, ties by spelling, until
    there are `vocabulary_size` ids (InputError if not one fits). A word seen less than `min_count` times is unknown.
    """
    _check_vocabulary_size(vocabulary_size, len(SPECIAL_TOKENS["words"]) + 1)
    backend = words_pipeline()
    vocabulary = [*SPECIAL_TOKENS["words"], *_frequent_words(backend, texts, min_count)][:vocabulary_size]
    backend.model = models.WordLevel({token: token_id for token_id, token in enumerate(vocabulary)}, unk_token="[UNK]")
    return Tokenizer(backend)


def train_wordpiece(texts, vocabulary_size=8_000, lowercase=True):
    """Trains BERT's tokenizer; [PAD] [UNK] [CLS] [SEP] [MASK] are ids 0 to 4.

    Single characters fill half of the vocabulary at most;
    words with rarer ones are unknown. InputError if `vocabulary_size` leaves no room for a character.
    """
    texts, special_tokens = valid_texts(texts), SPECIAL_TOKENS["wordpiece"]
    _check_vocabulary_size(vocabulary_size, len(special_tokens) + 2)
    backend = wordpiece_pipeline(special_tokens, lowercase)
    characters, continuations = _alphabet(_frequent_words(backend, texts), (vocabulary_size - len(special_tokens)) // 2)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        # The trainer numbers continuations in the order of a hash table that differs between processes, and breaks
        # ties between merges by these numbers. Those it is given beforehand keep their order.
        special_tokens=special_tokens + characters + continuations,
        min_frequency=2,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return wordpiece(tokens_by_id(backend), lowercase)


def train_byte_level_bpe(texts, vocabulary_size=8_000):
    """Trains RoBERTa's tokenizer; <s> <pad> </s> <unk> are ids 0 to 3, all bytes follow, and <mask> is the last.

    InputError if the 256 bytes don't fit `vocabulary_size`.
    """
    *first, last = SPECIAL_TOKENS["byte_level_bpe"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _check_vocabulary_size(vocabulary_size, len(first) + len(alphabet) + 1)
    size = vocabulary_size - 1  # one less for <mask>
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=alphabet, special_tokens=first, show_progress=False
    )
    trained = tokenizers.Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.train_from_iterator(valid_texts(texts), trainer)
    model = json.loads(trained.to_str())["model"]
    return byte_level_bpe({**model["vocab"], last: len(model["vocab"])}, model["merges"])


def _frequent_words(backend, texts, min_count=1):
    """Returns the words that the backend's first two stages find in texts, by falling count, ties by spelling.

    The stages must not look across a space.
    """
    pieces = spaced.cut(valid_texts(texts))
    counter = tokenizers.Tokenizer(models.WordLevel())
    counter.normalizer, counter.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    trainer = trainers.WordLevelTrainer(vocab_size=2**31, min_frequency=1, show_progress=False)
    counter.train_from_iterator(pieces.distinct, trainer)
    words = tokens_by_id(counter)
    counts = np.zeros(len(words), np.int64)
    for ids, times in zip(ids_of(counter, pieces.distinct), np.bincount(pieces.places)):
        for word in ids:
            counts[word] += times
    order = sorted(range(len(words)), key=lambda number: (-counts[number], words[number]))
    return [words[number] for number in order if counts[number] >= min_count]


def _alphabet(distinct_words, max_characters):
    """Returns the characters of most words, and those of them that continue a word, as "##c": two sorted lists."""
    counts = Counter(itertools.chain.from_iterable(map(set, distinct_words)))
    characters = sorted(sorted(counts, key=lambda character: (-counts[character], character))[:max_characters])
    continuing = set(itertools.chain.from_iterable(word[1:] for word in distinct_words))
    return characters, ["##" + character for character in characters if character in continuing]


def _check_vocabulary_size(vocabulary_size, minimum):
    if vocabulary_size < minimum:
        raise InputError(f"vocabulary_size must be at least {minimum} for this tokenizer; got {vocabulary_size}")
