"""What stands between spaces is tokenised once, and gives the same."""

import numpy as np
import pytest
import tokenizers as library
from hypothesis import given
from hypothesis import strategies as st

from kmodels.data import tokenizer_training, tokenizers
from kmodels.data.tokenizers import Tokenizer
from kmodels.data.words import words_pipeline
from tests.data.texts import BERT_TOKENS, HARD_TEXTS, SENTENCES, TEXTS, many

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
