"""Differences of models over seeds and sentences, against SciPy, plain oracles and drawn data whose truth is known."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kmodels.statistics.pairs import BETTER, NOT_SHOWN, NOT_TESTED, WORSE, holm, mcnemar, paired_difference

p_values_strategy = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.01, 0.04])), max_size=12)


def rights(*counts):
    """right_a and right_b of sentences that (both, only a, only b, neither) have right."""
    both, only_a, only_b, neither = counts
    right_a = np.array([True] * both + [True] * only_a + [False] * only_b + [False] * neither)
    right_b = np.array([True] * both + [False] * only_a + [True] * only_b + [False] * neither)
    return right_a, right_b


def draw(generator, num_seeds, num_sentences, taste, luck, advantage=0.0):
    """right_a and right_b of two models that are equally good on average, but for the `advantage` of a.

    Every sentence has its difficulty, every model its `taste` for a sentence, which its seeds share, and every run its
    `luck` with all sentences; what remains is noise.
    """
    shape = (num_seeds, num_sentences)
    difficulty = generator.normal(2, 1, num_sentences)
    scores = [
        difficulty
        + taste * generator.normal(size=num_sentences)
        + luck * generator.normal(size=(num_seeds, 1))
        + generator.normal(size=shape)
        for _ in range(2)
    ]
    return scores[0] + advantage > 0, scores[1] > 0


# What makes models differ: (taste, luck). On 300 sentences the accuracies of a model's seeds have a standard deviation
# of 0.013 in the two kinds without luck, 0.044 in "seeds" and 0.021 in "both".
KINDS = {"noise": (0.0, 0.0), "sentences": (1.0, 0.0), "seeds": (0.3, 0.4), "both": (1.0, 0.15)}


def found(kind, num_seeds, num_draws, advantage=0.0, num_sentences=300):
    """Verdicts on draws of a kind: {verdict: share}."""
    generator = np.random.default_rng([num_seeds, sorted(KINDS).index(kind)])
    verdicts = [
        paired_difference(*draw(generator, num_seeds, num_sentences, *KINDS[kind], advantage)).verdict
        for _ in range(num_draws)
    ]
    return {verdict: verdicts.count(verdict) / num_draws for verdict in (BETTER, WORSE, NOT_SHOWN)}


@settings(max_examples=200)
@given(st.tuples(*[st.integers(0, 30)] * 4).filter(any))
def test_mcnemars_p_value_is_scipys_sign_test(counts):
    _, only_a, only_b, _ = counts
    result = mcnemar(*rights(*counts))
    assert (result.only_a, result.only_b) == (only_a, only_b)
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1
    assert result.p_value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("only_a", [0, 48_000, 49_500, 49_999, 50_000, 50_001, 51_000])
def test_mcnemar_counts_a_hundred_thousand_sentences_without_overflow(only_a):
    p_value = mcnemar(*rights(0, only_a, 100_000 - only_a, 0)).p_value
    assert p_value == pytest.approx(stats.binomtest(only_a, 100_000).pvalue, rel=1e-7)


def test_mcnemar_sees_nothing_where_the_models_agree():
    for counts in ((5, 0, 0, 0), (0, 0, 0, 5), (3, 0, 0, 2)):
        assert mcnemar(*rights(*counts)).p_value == 1


def half_width_by_hand(differences, confidence):
    """Banerjee's half-width of differences with their imaginary sentences, cell by cell."""
    differences = [[*row, 1, -1] for row in differences.tolist()]
    m, n = len(differences), len(differences[0])
    by_seed = [sum(row) / n for row in differences]
    by_sentence = [sum(row[i] for row in differences) / m for i in range(n)]
    mean = sum(by_seed) / m
    seeds = n * sum((value - mean) ** 2 for value in by_seed) / (m - 1)
    sentences = m * sum((value - mean) ** 2 for value in by_sentence) / (n - 1)
    rest = [differences[s][i] - by_seed[s] - by_sentence[i] + mean for s, i in product(range(m), range(n))]
    interaction = sum(value**2 for value in rest) / (m - 1) / (n - 1)
    t, z = stats.t.isf((1 - confidence) / 2, m - 1), stats.norm.isf((1 - confidence) / 2)
    both = (t**2 * seeds + z**2 * max(0, sentences - interaction)) / (m * n)
    return mean, math.sqrt(max(both, z**2 * sentences / (m * n)))


pairs_strategy = st.tuples(
    st.integers(2, 6), st.integers(1, 40), st.integers(0, 2**32), st.floats(0, 1), st.floats(0, 1)
)


def pair(num_seeds, num_sentences, seed, share_a, share_b):
    generator = np.random.default_rng(seed)
    shape = (num_seeds, num_sentences)
    return generator.random(shape) < share_a, generator.random(shape) < share_b


@settings(max_examples=200)
@given(pairs_strategy, st.sampled_from([0.8, 0.95, 0.99]))
def test_the_interval_of_a_difference_is_the_textbooks(drawn, confidence):
    right_a, right_b = pair(*drawn)
    result = paired_difference(right_a, right_b, confidence)
    assert result.difference == pytest.approx(right_a.mean() - right_b.mean(), abs=1e-12)
    centre, half = half_width_by_hand(right_a.astype(int) - right_b.astype(int), confidence)
    assert result.low == pytest.approx(max(-1, centre - half), abs=1e-9)
    assert result.high == pytest.approx(min(1, centre + half), abs=1e-9)


@settings(max_examples=200)
@given(pairs_strategy)
def test_the_p_value_is_where_the_interval_just_reaches_0(drawn):
    right_a, right_b = pair(*drawn)
    p_value = paired_difference(right_a, right_b).p_value
    if 1e-9 < p_value < 0.999:
        narrower = paired_difference(right_a, right_b, 1 - p_value * 1.001)
        wider = paired_difference(right_a, right_b, 1 - p_value * 0.999)
        assert narrower.verdict in (BETTER, WORSE)
        assert wider.verdict == NOT_SHOWN


@settings(max_examples=200)
@given(pairs_strategy, st.permutations(range(6)), st.permutations(range(40)))
def test_swapping_the_models_turns_the_difference_and_the_order_of_seeds_and_sentences_does_not_matter(
    drawn, seeds, sentences
):
    right_a, right_b = pair(*drawn)
    num_seeds, num_sentences = right_a.shape
    there = paired_difference(right_a, right_b)
    cells = np.ix_([seed for seed in seeds if seed < num_seeds], [i for i in sentences if i < num_sentences])
    back = paired_difference(right_b[cells], right_a[cells])
    assert (back.difference, back.low, back.high, back.p_value) == pytest.approx(
        (-there.difference, -there.high, -there.low, there.p_value), abs=1e-9
    )
    assert back.verdict == {BETTER: WORSE, WORSE: BETTER}.get(there.verdict, there.verdict)


def test_seeds_that_do_the_same_leave_the_published_interval_of_paired_shares():
    """The example of statpsych's ci.prop.ps, which divides by n where an analysis of variance divides by n - 1."""
    right_a, right_b = (np.tile(answers, (3, 1)) for answers in rights(6, 26, 4, 12))
    result = paired_difference(right_a, right_b)
    assert (result.low, result.high) == pytest.approx((0.2548067, 0.6251933), abs=0.002)


def test_with_one_seed_there_is_a_difference_and_no_interval_and_nothing_is_tested():
    right_a, right_b = rights(40, 20, 10, 30)
    result = paired_difference(right_a[None], right_b[None])
    assert result.difference == pytest.approx(0.1)
    assert (result.low, result.high, result.p_value, result.verdict) == (None, None, None, NOT_TESTED)


@pytest.mark.parametrize("right", [True, False], ids=["all right", "all wrong"])
def test_models_that_agree_on_all_sentences_seen_may_differ_on_others(right):
    answers = np.full((3, 872), right)
    result = paired_difference(answers, answers)
    assert (result.difference, result.p_value, result.verdict) == (0, 1, NOT_SHOWN)
    # The rule of three: what happens never in n trials has at most a chance of about 3 / n.
    assert 2 / 872 < result.high == -result.low < 4 / 872


def test_all_right_is_better_than_all_wrong_and_by_no_more_than_1():
    result = paired_difference(np.ones((3, 5000), bool), np.zeros((3, 5000), bool))
    assert (result.difference, result.high, result.verdict) == (1, 1, BETTER)
    assert result.low > 0.998
    assert result.p_value < 1e-9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_a_difference_that_is_none_is_found_in_at_most_7_percent_of_draws(num_seeds, kind):
    assert found(kind, num_seeds, 600)[NOT_SHOWN] >= 0.93


def test_a_small_set_of_sentences_is_no_exception():
    for num_seeds, num_sentences in product((2, 3, 5), (10, 40)):
        assert found("sentences", num_seeds, 600, num_sentences=num_sentences)[NOT_SHOWN] >= 0.93


@pytest.mark.parametrize(
    ("num_seeds", "kind", "advantage"),
    [(3, "noise", 1.0), (3, "sentences", 1.5), (5, "sentences", 0.7), (5, "both", 0.7)],
)
def test_a_clear_difference_is_found(num_seeds, kind, advantage):
    shares = found(kind, num_seeds, 200, advantage)
    assert shares[BETTER] >= 0.9
    assert shares[WORSE] == 0


def test_the_interval_holds_a_true_difference_as_often_as_it_promises():
    """The true difference of what is drawn is that of two probabilities of a normal value above 0."""
    taste, luck = KINDS["both"]
    spread = math.sqrt(2 + taste**2 + luck**2)
    truth = stats.norm.cdf((2 + 0.5) / spread) - stats.norm.cdf(2 / spread)
    generator = np.random.default_rng(0)
    results = [paired_difference(*draw(generator, 3, 300, taste, luck, 0.5)) for _ in range(600)]
    assert np.mean([result.low <= truth <= result.high for result in results]) >= 0.95
    assert np.mean([result.difference for result in results]) == pytest.approx(truth, abs=0.003)


def bootstrap(right_a, right_b, draws, generator):
    """Means of differences over seeds and sentences, both resampled: (draws,)."""
    differences = right_a.astype(float) - right_b.astype(float)
    num_seeds, num_sentences = differences.shape
    seeds = generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), draws)
    sentences = generator.multinomial(num_sentences, np.full(num_sentences, 1 / num_sentences), draws)
    return np.sum((seeds @ differences) * sentences, axis=1) / differences.size


def test_with_many_seeds_the_interval_is_as_wide_as_a_bootstraps():
    generator = np.random.default_rng(0)
    for kind in ("sentences", "seeds", "both"):
        answers = draw(generator, 60, 600, *KINDS[kind])
        result = paired_difference(*answers)
        low, high = np.quantile(bootstrap(*answers, 2000, generator), [0.025, 0.975])
        assert result.high - result.low == pytest.approx(high - low, rel=0.1)


@pytest.mark.parametrize(("num_seeds", "at_least"), [(2, 0.15), (3, 0.1)])
def test_with_few_seeds_a_bootstrap_finds_differences_that_are_none(num_seeds, at_least):
    """Why there is an analysis of variance and no bootstrap."""
    generator = np.random.default_rng(0)
    by_bootstrap = by_interval = 0
    for _ in range(200):
        answers = draw(generator, num_seeds, 300, *KINDS["seeds"])
        low, high = np.quantile(bootstrap(*answers, 400, generator), [0.025, 0.975])
        by_bootstrap += not low <= 0 <= high
        by_interval += paired_difference(*answers).verdict != NOT_SHOWN
    assert by_bootstrap / 200 > at_least
    assert by_interval / 200 <= 0.07


def holm_by_hand(p_values):
    """The largest of what Holm's steps ask for up to each value, from the smallest on."""
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for step, number in enumerate(order):
        largest = max(largest, min(1, (len(p_values) - step) * p_values[number]))
        adjusted[number] = largest
    return adjusted


@settings(max_examples=300)
@given(p_values_strategy)
def test_adjusted_p_values_are_holms(p_values):
    assert holm(p_values).tolist() == holm_by_hand(p_values)


def test_holms_own_example():
    # Four hypotheses at 0.05: 0.01 and 0.005 are rejected, for 0.03 > 0.05 / 2.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mcnemar(np.zeros(0, bool), np.zeros(0, bool)), r"\(num_sentences,\).*not empty; got bool \(0,\)"),
        (lambda: mcnemar(np.zeros(2, bool), np.zeros(3, bool)), r"one shape.*got bool \(2,\) and bool \(3,\)"),
        (lambda: mcnemar(np.zeros(2, bool), np.zeros(2)), "must be bool.*got.*float64"),
        (lambda: paired_difference(np.zeros((0, 5), bool), np.zeros((0, 5), bool)), r"not empty; got bool \(0, 5\)"),
        (lambda: paired_difference(np.zeros((3, 0), bool), np.zeros((3, 0), bool)), r"not empty; got bool \(3, 0\)"),
        (
            lambda: paired_difference(np.zeros(5, bool), np.zeros(5, bool)),
            r"\(num_seeds, num_sentences\).*got bool \(5,\)",
        ),
        (lambda: paired_difference(np.zeros((2, 5), bool), np.zeros((2, 5), bool), 0), "confidence must be"),
        (lambda: holm([0.1, 1.1]), "numbers from 0 to 1.*got"),
        (lambda: holm([math.nan]), "numbers from 0 to 1.*got"),
    ],
)
def test_an_error_says_what_was_expected_and_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call()
