"""Words and what they do for a decision, against a model whose arithmetic is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmodels.data import tokenizer_training
from kmodels.prediction import attribution

TEXTS = [
    "the film is good and the plot isn't dull",
    "it's a well-made film; can't complain",
    "très drôle, naïve 中文 😀👍🏽",
]
TOKENIZERS = [
    tokenizer_training.train_words(TEXTS),
    tokenizer_training.train_wordpiece(TEXTS, 80),
    tokenizer_training.train_byte_level_bpe(TEXTS, 300),
]
each_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.kind)
WEIGHTS = {"good": 2.0, "fine": 1.0, "dull": -3.0}


def counting(texts):
    """Probabilities of a class that words speak for and against by their weights."""
    logits = np.array([sum(WEIGHTS.get(word, 0.0) for word in text.split()) for text in texts])
    positive = 1 / (1 + np.exp(-logits))
    return np.stack([1 - positive, positive], axis=1)


def spelled(tokenizer, text, max_length=None):
    return [text[start:end] for start, end in attribution.words(tokenizer, text, max_length)]


@each_tokenizer
def test_tokens_are_joined_to_the_words_that_people_read(tokenizer):
    assert spelled(tokenizer, "It's unputdownable, isn't it?") == ["It's", "unputdownable", ",", "isn't", "it", "?"]
    assert spelled(tokenizer, "  naïve\tdrôle ") == ["naïve", "drôle"]
    assert spelled(tokenizer, "") == spelled(tokenizer, " \n") == []


@each_tokenizer
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_words_are_in_order_apart_and_inside_the_text(tokenizer, text):
    end_before = 0
    for start, end in attribution.words(tokenizer, text):
        assert end_before <= start < end <= len(text)
        end_before = end


@each_tokenizer
@pytest.mark.parametrize("max_length", [3, 4, 7])
def test_words_that_the_model_does_not_read_are_left_out(tokenizer, max_length):
    text = "film plot film plot film plot film plot film plot"
    ids = tokenizer.encode([text], max_length).token_ids
    whole = tokenizer.encode([text]).token_ids
    num_special = len(tokenizer.encode([""]).token_ids)
    words = attribution.words(tokenizer, text, max_length)
    read = max(
        count for count in range(11) if len(tokenizer.encode([" ".join(text.split()[:count])]).token_ids) <= max_length
    )
    assert len(ids) == max_length < len(whole)
    # A word of which only the first token is read counts.
    assert read <= len(words) <= max_length - num_special
    assert words == attribution.words(tokenizer, text)[: len(words)]


def test_a_text_without_a_word_keeps_the_others_and_no_double_space():
    text = "good, film  is\tdull"
    words = attribution.words(TOKENIZERS[0], text)
    assert attribution.without_each(text, words) == [
        ", film  is\tdull",
        "good film  is\tdull",
        "good,  is\tdull",
        "good, film\tdull",
        "good, film  is",
    ]
    assert attribution.without_each("good", [(0, 4)]) == [""]
    assert attribution.without_each("a b", [(0, 1), (2, 3)]) == ["b", "a"]


def test_a_score_is_what_the_probability_of_the_decision_loses():
    text = "the good film is dull"
    words = attribution.words(TOKENIZERS[0], text)
    scores = attribution.occlusion(counting, text, words)
    negative = lambda logit: 1 / (1 + np.exp(logit))  # noqa: E731
    expected = [0, negative(-1) - negative(-3), 0, 0, negative(-1) - negative(2)]
    np.testing.assert_allclose(scores, expected, atol=1e-12)
    assert scores[1] < 0 < scores[4]


def test_a_text_is_explained_by_one_call_of_the_model():
    calls = []

    def predict_proba(texts):
        calls.append(texts)
        return counting(texts)

    assert len(attribution.occlusion(predict_proba, "good film", [(0, 4), (5, 9)])) == 2
    assert calls == [["good film", "film", "good"]]
    assert attribution.occlusion(predict_proba, "", []).shape == (0,)


@given(st.lists(st.sampled_from([*WEIGHTS, "film", "the"]), max_size=8))
def test_words_without_weight_score_0_and_all_stay_within_1(words):
    text = " ".join(words)
    spans = attribution.words(TOKENIZERS[0], text)
    scores = attribution.occlusion(counting, text, spans)
    assert len(scores) == len(words)
    assert (np.abs(scores) <= 1).all()
    for word, score in zip(words, scores):
        assert word in WEIGHTS or abs(score) < 1e-12
