"""Vocabularies, token ids and word vectors that were made before, in the cache folder.

Each file is named by the digest of all that its content follows from.

A file that is damaged or can't be written costs the time that it would have saved, and nothing else.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
import tokenizers as library

from kmodels import backend
from kmodels.data import tokenizer_training
from kmodels.data.tokenizers import TokenizedTexts, Tokenizer
from kmodels.errors import InputError

LEAST_TEXTS = 10_000  # fewer are done as fast as a file is found
MOST_BYTES = 2**30  # of all files; then the one that was not used for the longest time goes
TEXTS_PER_SLICE = 10_000  # of a digest, so that no second copy of all texts is held


def words(texts, vocabulary_size):
    """`tokenizer_training.train_words`, made once for the same texts and size."""
    if len(texts) < LEAST_TEXTS:
        return tokenizer_training.train_words(texts, vocabulary_size)
    pipeline = tokenizer_training.train_words(["a"], 3).to_json()  # how a text is cut into words
    path = _path("words", ".json", texts, vocabulary_size, pipeline)
    with contextlib.suppress(InputError):
        return _used(path, Tokenizer.load(path))
    tokenizer = tokenizer_training.train_words(texts, vocabulary_size)
    _keep(path, tokenizer.save)
    return tokenizer


def encode(tokenizer, texts, max_length):
    """`tokenizer.encode`, made once for the same tokenizer, texts and length."""
    if len(texts) < LEAST_TEXTS:
        return tokenizer.encode(texts, max_length)
    path = _path("ids", ".safetensors", texts, max_length, tokenizer.to_json())
    with contextlib.suppress(OSError, safetensors.SafetensorError, KeyError, ValueError):
        return _used(path, _read(path, len(texts), tokenizer.vocabulary_size))
    tokenized = tokenizer.encode(texts, max_length)
    arrays = {"token_ids": tokenized.token_ids, "offsets": tokenized.offsets}
    _keep(path, lambda place: safetensors.numpy.save_file(arrays, place))
    return tokenized


def vectors(words, make, *facts):
    """`make()`, the vectors of many words, made once for the same words and facts.

    Args:
        words: [str, …].
        make: function that gives float32, (num_words, dim).
        facts: all else that the vectors follow from; their `repr` must say it.
    """
    if len(words) < LEAST_TEXTS:
        return make()
    path = _path("vectors", ".safetensors", words, *facts)
    with contextlib.suppress(OSError, safetensors.SafetensorError, KeyError, ValueError):
        return _used(path, _read_vectors(path, len(words)))
    made = make()
    _keep(path, lambda place: safetensors.numpy.save_file({"vectors": made}, place))
    return made


def _path(name, suffix, texts, *facts):
    """The file of what follows from these texts and facts."""
    digest = hashlib.sha256(repr((library.__version__, facts)).encode())
    for start in range(0, len(texts), TEXTS_PER_SLICE):
        part = texts[start : start + TEXTS_PER_SLICE]
        digest.update(np.fromiter(map(len, part), np.int64).tobytes())  # where one text ends and the next begins
        digest.update("".join(part).encode("utf-8", "surrogatepass"))
    return backend.cache_dir() / "tokens" / f"{name}-{digest.hexdigest()}{suffix}"


def _read(path, num_texts, vocabulary_size):
    """The TokenizedTexts in a file. ValueError if they can't be of so many texts and ids."""
    arrays = safetensors.numpy.load_file(path)
    token_ids, offsets = arrays["token_ids"], arrays["offsets"]
    fit = (
        (token_ids.dtype, token_ids.ndim, offsets.dtype, offsets.shape) == (np.int32, 1, np.int64, (num_texts + 1,))
        and offsets[0] == 0
        and offsets[-1] == len(token_ids)
        and (np.diff(offsets) >= 0).all()
        and (not len(token_ids) or (token_ids.min() >= 0 and token_ids.max() < vocabulary_size))
    )
    if not fit:
        raise ValueError(f"{path} holds other token ids than its name says")
    return TokenizedTexts(token_ids, offsets)


def _read_vectors(path, num_words):
    """The vectors in a file. ValueError if they can't be of so many words."""
    found = safetensors.numpy.load_file(path)["vectors"]
    if (found.dtype, found.ndim, len(found)) != (np.float32, 2, num_words) or not np.isfinite(found).all():
        raise ValueError(f"{path} holds other vectors than its name says")
    return found


def _used(path, content):
    """Notes that a file was of use, and hands its content on."""
    with contextlib.suppress(OSError):
        os.utime(path)
    return content


def _keep(path, write):
    """Has a file written, whole or not at all, and makes room for it."""
    with contextlib.suppress(OSError, safetensors.SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as beside:
            write(Path(beside) / path.name)
            os.replace(Path(beside) / path.name, path)
        _make_room(path)


def _make_room(newest):
    """Removes what was not used for the longest time, until the rest is small enough."""
    files = sorted((path for path in newest.parent.iterdir() if path.is_file()), key=lambda path: path.stat().st_mtime)
    num_bytes = sum(path.stat().st_size for path in files)
    for path in files:
        if num_bytes <= MOST_BYTES or path == newest:
            return
        num_bytes -= path.stat().st_size
        path.unlink()
