"""Intervals of a mean and of a share, against SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kmodels.statistics.intervals import binomial_interval, mean_interval, never_converged, student_t_tail

confidences = st.floats(0.5, 0.9999)


@settings(max_examples=200)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30), confidences)
def test_the_interval_of_a_mean_is_scipys(values, confidence):
    interval = mean_interval(values, confidence)
    assert interval.count == len(values)
    assert interval.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert interval.standard_deviation == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    low, high = stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=max(error, 1e-300))
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)


def test_one_value_has_a_mean_and_no_spread():
    interval = mean_interval([0.875])
    assert (interval.count, interval.mean) == (1, 0.875)
    assert (interval.standard_deviation, interval.low, interval.high) == (None, None, None)


@settings(max_examples=300)
@given(st.data(), st.one_of(st.integers(1, 40), st.integers(1, 10**6)), confidences)
def test_the_interval_of_a_share_is_scipys_wilson_interval(data, trials, confidence):
    successes = data.draw(st.one_of(st.integers(0, trials), st.sampled_from([0, trials])))
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    low, high = binomial_interval(successes, trials, confidence)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)
    assert 0 <= low <= successes / trials <= high <= 1


def test_tails_of_students_t_end_in_0_and_not_in_an_overflow():
    assert student_t_tail(0.0, 3) == 1
    assert student_t_tail(1e200, 3) == 0


def test_a_run_that_names_the_majority_class_never_converged():
    assert never_converged(444 / 872, 444 / 872, 872)
    assert never_converged(0.3, 444 / 872, 872)
    assert not never_converged(0.8, 444 / 872, 872)


@settings(max_examples=100)
@given(st.data(), st.integers(1, 3000))
def test_a_run_converged_if_its_accuracys_interval_is_above_the_majority(data, num_sentences):
    right, majority = (data.draw(st.integers(0, num_sentences)) for _ in range(2))
    low = stats.binomtest(right, num_sentences).proportion_ci(method="wilson").low
    if abs(low - majority / num_sentences) > 1e-9:
        expected = low < majority / num_sentences
        assert never_converged(right / num_sentences, majority / num_sentences, num_sentences) == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([]), r"one or more finite numbers, \(num_seeds,\); got \[\]"),
        (lambda: mean_interval([0.5, math.nan]), "finite numbers.*got.*nan"),
        (lambda: mean_interval([[0.5]]), "num_seeds"),
        (lambda: mean_interval([0.5, 0.6], confidence=95), "confidence must be above 0 and below 1; got 95"),
        (lambda: binomial_interval(0, 0), "trials at least 1; got 0 of 0"),
        (lambda: binomial_interval(3, 2), "from 0 to trials.*got 3 of 2"),
        (lambda: binomial_interval(1, 2, confidence=1), "confidence must be"),
        (lambda: never_converged(math.nan, 0.5, 10), "best_accuracy must be from 0 to 1; got nan"),
        (lambda: never_converged(0.5, 51.0, 10), "majority_fraction must be from 0 to 1; got 51.0"),
        (lambda: never_converged(0.5, 0.5, 0), "trials at least 1"),
    ],
)
def test_an_error_says_what_was_expected_and_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call()
