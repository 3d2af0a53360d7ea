"""What is kept between runs is what would be made anew, and a cache that is damaged, full or shut changes nothing."""

import os
import time

import numpy as np
import pytest
import safetensors.numpy

from kmodels.data import token_cache, tokenizer_training, tokenizers

TEXTS = [f"the film number {number % 7} is {'very ' * (number % 5)}good" for number in range(50)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path))
    monkeypatch.setattr(token_cache, "LEAST_TEXTS", 1)
    monkeypatch.setattr(token_cache, "TEXTS_PER_SLICE", 8)
    return tmp_path / "tokens"


@pytest.fixture
def nothing_made(monkeypatch):
    """A function after which nothing may be made anew."""

    def fail(*arguments):
        raise AssertionError("made anew")

    def forbid():
        monkeypatch.setattr(tokenizers.Tokenizer, "encode", fail)
        monkeypatch.setattr(tokenizer_training, "_frequent_words", lambda *arguments: ["a"])

    return forbid


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("token_ids", "offsets"))


def test_the_second_time_all_is_read(folder, nothing_made):
    tokenizer = token_cache.words(TEXTS, 12)
    tokenized = token_cache.encode(tokenizer, TEXTS, 6)
    assert same(tokenized, tokenizer_training.train_words(TEXTS, 12).encode(TEXTS, 6))
    assert len(list(folder.iterdir())) == 2
    nothing_made()
    again = token_cache.words(TEXTS, 12)
    assert again.to_json() == tokenizer.to_json()
    assert same(token_cache.encode(again, TEXTS, 6), tokenized)


def test_whatever_differs_has_a_file_of_its_own(folder):
    for texts in (TEXTS, TEXTS[:-1], ["".join(TEXTS[:2]), *TEXTS[2:]], ["the film", *TEXTS[1:]], ["\ud800", *TEXTS]):
        for size in (12, 13):
            tokenizer = token_cache.words(texts, size)
            assert tokenizer.to_json() == tokenizer_training.train_words(texts, size).to_json()
            for max_length in (6, 7):
                assert same(token_cache.encode(tokenizer, texts, max_length), tokenizer.encode(texts, max_length))
    assert len(list(folder.glob("words-*"))) == 10
    assert len(list(folder.glob("ids-*"))) == 20


def test_vectors_are_made_once_for_the_same_words_and_facts_and_a_damaged_file_is_made_anew(folder):
    made = []

    def make():
        made.append(np.full((3, 2), len(made), np.float32))
        return made[-1]

    words = ["film", "good", "the"]
    for given in ((words, "a"), (words, "b"), (["film", "goodthe", ""], "a")):
        assert token_cache.vectors(given[0], make, given[1]) is made[-1]
    assert (token_cache.vectors(words, make, "a") == made[0]).all()
    assert len(made) == len(list(folder.iterdir())) == 3
    (path,) = (each for each in folder.iterdir() if not safetensors.numpy.load_file(each)["vectors"].any())
    for damaged in (made[0][:2], made[0][:, 0], made[0].astype(np.float64), made[0] * np.nan):
        safetensors.numpy.save_file({"vectors": np.ascontiguousarray(damaged)}, path)
        assert token_cache.vectors(words, make, "a") is made[-1]
    assert len(made) == 7


def test_few_texts_leave_nothing(folder, monkeypatch):
    monkeypatch.setattr(token_cache, "LEAST_TEXTS", 51)
    token_cache.encode(token_cache.words(TEXTS, 12), TEXTS, 6)
    assert not folder.exists()


IDS, OFFSETS = np.zeros(100, np.int32), np.arange(51) * 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 100,
        {"token_ids": IDS},
        {"token_ids": IDS, "offsets": OFFSETS[:-1]},
        {"token_ids": IDS, "offsets": OFFSETS[::-1].copy()},
        {"token_ids": IDS[:-1], "offsets": OFFSETS},
        {"token_ids": IDS + 12, "offsets": OFFSETS},
        {"token_ids": IDS - 1, "offsets": OFFSETS},
        {"token_ids": IDS.astype(np.float32), "offsets": OFFSETS},
    ],
)
def test_a_damaged_file_is_made_anew(folder, content):
    tokenizer = tokenizer_training.train_words(TEXTS, 12)
    tokenized = token_cache.encode(tokenizer, TEXTS, 6)
    (path,) = folder.iterdir()
    path.write_bytes(content if isinstance(content, bytes) else safetensors.numpy.save(content))
    assert same(token_cache.encode(tokenizer, TEXTS, 6), tokenized)
    assert same(token_cache._read(path, 50, 12), tokenized)
    words = folder / "words"
    token_cache.words(TEXTS, 12)
    (words,) = folder.glob("words-*")
    words.write_text("{")
    assert token_cache.words(TEXTS, 12).to_json() == tokenizer.to_json()


def test_a_folder_that_can_not_be_written_changes_nothing(folder):
    folder.write_text("a file where the folder would be")
    tokenizer = token_cache.words(TEXTS, 12)
    assert same(token_cache.encode(tokenizer, TEXTS, 6), tokenizer.encode(TEXTS, 6))
    assert folder.read_text() == "a file where the folder would be"


def test_what_was_not_used_for_the_longest_time_makes_room(folder, monkeypatch):
    tokenizer = tokenizer_training.train_words(TEXTS, 12)
    for max_length in (3, 4, 5):
        token_cache.encode(tokenizer, TEXTS, max_length)
    for age, path in enumerate(sorted(folder.iterdir(), key=lambda path: path.stat().st_size)):
        os.utime(path, (time.time() - 100 + age,) * 2)
    token_cache.encode(tokenizer, TEXTS, 3)  # of use again
    monkeypatch.setattr(token_cache, "MOST_BYTES", sum(path.stat().st_size for path in folder.iterdir()))
    token_cache.encode(tokenizer, TEXTS, 6)
    kept = {len(safetensors.numpy.load_file(path)["token_ids"]) for path in folder.iterdir()}
    lengths = {max_length: len(tokenizer.encode(TEXTS, max_length).token_ids) for max_length in (3, 4, 5, 6)}
    assert {lengths[3], lengths[6]} <= kept
    assert lengths[4] not in kept
