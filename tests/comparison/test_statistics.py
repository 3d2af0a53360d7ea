"""Statistics over seeds and sentences, against SciPy, plain oracles and drawn data whose truth is known."""

import math
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from kmodels.comparison.statistics import (
    BETTER,
    NOT_SHOWN,
    WORSE,
    binomial_interval,
    drift,
    holm,
    mcnemar,
    mean_interval,
    never_converged,
    normal_quantile,
    paired_difference,
    student_t_quantile,
    student_t_tail,
)

confidences = st.floats(0.5, 0.9999)
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


@settings(max_examples=300)
@given(confidences, st.integers(1, 200))
def test_quantiles_of_students_t_are_scipys(confidence, degrees):
    expected = stats.t.isf((1 - confidence) / 2, degrees)
    assert student_t_quantile(1 - confidence, degrees) == pytest.approx(expected, rel=1e-9)


def test_every_common_quantile_of_students_t_is_scipys():
    for confidence, degrees in product((0.8, 0.9, 0.95, 0.99, 0.999), range(1, 201)):
        expected = stats.t.isf((1 - confidence) / 2, degrees)
        assert student_t_quantile(1 - confidence, degrees) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=300)
@given(st.floats(-1e6, 1e6), st.integers(1, 200))
def test_tails_of_students_t_are_scipys(t, degrees):
    expected = 2 * stats.t.sf(abs(t), degrees)
    assert student_t_tail(t, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-290)


def test_tails_of_students_t_end_in_0_and_not_in_an_overflow():
    assert student_t_tail(0.0, 3) == 1
    assert student_t_tail(1e200, 3) == 0


@given(confidences)
def test_normal_quantiles_are_scipys(confidence):
    assert normal_quantile(1 - confidence) == pytest.approx(stats.norm.isf((1 - confidence) / 2), rel=1e-9)


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


def test_with_one_seed_there_is_a_difference_and_no_interval_and_nothing_is_shown():
    right_a, right_b = rights(40, 20, 10, 30)
    result = paired_difference(right_a[None], right_b[None])
    assert result.difference == pytest.approx(0.1)
    assert (result.low, result.high, result.p_value, result.verdict) == (None, None, None, NOT_SHOWN)


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


def test_the_slope_is_found_though_groups_differ_in_speed():
    groups, orders = np.array(["slow", "fast"] * 10), np.arange(20)
    speeds = np.where(groups == "slow", 10.0, 500.0) * 0.98**orders
    result = drift(groups, orders, speeds)
    assert result.change_per_run_fraction == pytest.approx(-0.02)
    assert result.p_value < 0.001


def test_what_comes_from_the_groups_is_no_drift():
    groups, orders = np.repeat(["slow", "fast"], 10), np.arange(20)
    speeds = np.where(groups == "slow", 10.0, 500.0) * np.exp(np.random.default_rng(0).normal(0, 0.01, 20))
    result = drift(groups, orders, speeds)
    assert abs(result.change_per_run_fraction) < 0.005
    assert result.p_value > 0.05


def test_the_p_value_of_a_drift_is_the_share_of_all_shuffles():
    generator = np.random.default_rng(0)
    groups, orders = np.array(list("ababababb")), generator.permutation(9)
    logs = np.log(generator.uniform(90, 110, 9)) - 0.02 * orders
    parts = [(orders[groups == name] - orders[groups == name].mean(), logs[groups == name]) for name in "ab"]
    slope = sum(places @ values for places, values in parts)
    shuffles = product(*[[places @ np.array(order) for order in permutations(values)] for places, values in parts])
    share = np.mean([abs(sum(shuffle)) >= abs(slope) - 1e-12 for shuffle in shuffles])
    assert 0.05 < share < 0.5
    assert drift(groups, orders, np.exp(logs)).p_value == pytest.approx(share, abs=0.015)


def test_a_machine_that_does_not_drift_is_accused_in_5_percent_of_draws():
    generator = np.random.default_rng(0)
    groups, orders = np.array(["a", "b", "c"] * 4), np.arange(12)
    speeds = [np.exp(generator.normal(0, 0.02, 12)) for _ in range(600)]
    accused = np.mean([drift(groups, orders, drawn, draws=200).p_value <= 0.05 for drawn in speeds])
    assert 0.03 < accused < 0.07


def test_a_drift_is_decided_by_the_seed_alone():
    speeds = np.random.default_rng(0).uniform(90, 110, 12)
    one, again, another = (drift(["a", "b"] * 6, range(12), speeds, seed=seed) for seed in (1, 1, 2))
    assert one == again != another


def test_single_runs_and_equal_speeds_show_no_drift():
    alone = drift(["a", "b", "c"], [0, 1, 2], [1.0, 2.0, 3.0])
    assert (alone.change_per_run_fraction, alone.p_value) == (None, None)
    equal = drift(["a", "b", "a", "b"], [0, 1, 2, 3], [1.0, 2.0, 1.0, 2.0])
    assert (equal.change_per_run_fraction, equal.p_value) == (0, 1)


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
        (lambda: drift([], [], []), r"at least one run; got \(0,\), \(0,\) and \(0,\)"),
        (lambda: drift(["a", "a"], [0, 1], [1.0]), r"an entry a run.*got \(2,\), \(2,\) and \(1,\)"),
        (lambda: drift(["a", "a"], [0, 1], [1.0, 0.0]), "above 0; got"),
        (lambda: never_converged(math.nan, 0.5, 10), "best_accuracy must be from 0 to 1; got nan"),
        (lambda: never_converged(0.5, 51.0, 10), "majority_fraction must be from 0 to 1; got 51.0"),
        (lambda: never_converged(0.5, 0.5, 0), "trials at least 1"),
    ],
)
def test_an_error_says_what_was_expected_and_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call()
