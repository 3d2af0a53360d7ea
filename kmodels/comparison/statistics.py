"""What may be claimed from a few seeds and one set of sentences: intervals, tests, warnings.

Everything here is arithmetic on arrays, and an interval is rather too wide than too narrow.
"""

import functools
import math
import sys
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

BETTER = "better"
WORSE = "worse"
NOT_SHOWN = "no difference shown"


@dataclass(frozen=True)
class Mean:
    """A mean over seeds; what needs two values is None with one.

    Attributes:
        count: how many values.
        mean: of the values, in their unit, as are the three below.
        standard_deviation: between values, with count - 1 in the denominator.
        low: lower end of the mean's interval.
        high: upper end of the mean's interval.
    """

    count: int
    mean: float
    standard_deviation: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class McNemar:
    """Two models on the same sentences.

    Attributes:
        only_a: sentences that a alone has right.
        only_b: sentences that b alone has right.
        p_value: two-sided, of "each of these was as likely a's as b's".
    """

    only_a: int
    only_b: int
    p_value: float


@dataclass(frozen=True)
class Difference:
    """Accuracy of a - accuracy of b, as parts of 1; with one seed low, high and p_value are None.

    Attributes:
        difference: as measured.
        low: lower end of the true difference's interval.
        high: upper end of the true difference's interval.
        p_value: two-sided, of "no true difference"; below 1 - confidence just where the interval leaves out 0.
        verdict: BETTER or WORSE, which is said of a; NOT_SHOWN where the interval holds 0, or there is none.
    """

    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    verdict: str


@dataclass(frozen=True)
class Drift:
    """How speed changed from run to run; both are None where no group has runs at two places in the order.

    Attributes:
        change_per_run_fraction: -0.01 if each run was 1 % slower than the run before.
        p_value: two-sided, of "the order does not matter".
    """

    change_per_run_fraction: float | None
    p_value: float | None


def mean_interval(values, confidence=0.95):
    """Mean and Student's t interval over seeds.

    Args:
        values: float, (num_seeds,); the same measure of runs that differ in nothing but the seed.
        confidence: part of such intervals that hold the true mean.

    Returns:
        A Mean.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"values must be one or more finite numbers, (num_seeds,); got {values}")
    _check_confidence(confidence)
    mean = float(values.mean())
    if len(values) == 1:
        return Mean(1, mean, None, None, None)
    deviation = float(values.std(ddof=1))
    half = student_t_quantile(1 - confidence, len(values) - 1) * deviation / math.sqrt(len(values))
    return Mean(len(values), mean, deviation, mean - half, mean + half)


def binomial_interval(successes, trials, confidence=0.95):
    """Wilson's score interval of a probability: (low, high).

    Args:
        successes: how many trials succeeded: sentences that a model has right.
        trials: how many there were.
        confidence: part of such intervals that hold the true probability.

    Raises:
        ValueError: no trials, or fewer than successes.

    Source: Wilson 1927.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"successes must be from 0 to trials, trials at least 1; got {successes} of {trials}")
    _check_confidence(confidence)
    z_squared = normal_quantile(1 - confidence) ** 2
    centre = (successes + z_squared / 2) / (trials + z_squared)
    spread = successes * (1 - successes / trials) + z_squared / 4
    half = math.sqrt(z_squared * spread) / (trials + z_squared)
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


def mcnemar(right_a, right_b):
    """McNemar's exact test: do two trained models differ on the sentences that one of them alone has right?

    It speaks of these two sets of weights: with other seeds they would have been others. `paired_difference` speaks
    of the models.

    Args:
        right_a: bool, (num_sentences,); True where model a predicts the label.
        right_b: bool, (num_sentences,); the same sentences.

    Returns:
        A McNemar.

    Raises:
        ValueError: other shapes or types, or no sentences.

    Source: McNemar 1947; the exact form is the sign test, two-sided.
    """
    right_a, right_b = _checked(right_a, right_b, "(num_sentences,)", 1)
    only_a = int(np.count_nonzero(right_a & ~right_b))
    only_b = int(np.count_nonzero(right_b & ~right_a))
    fewer, more = sorted((only_a, only_b))
    if fewer == more:
        return McNemar(only_a, only_b, 1.0)
    # A fair coin falls heads up at most `fewer` times: the binomial sum as an incomplete beta function (DLMF 8.17.5).
    return McNemar(only_a, only_b, min(1.0, 2 * _incomplete_beta(more, fewer + 1, 0.5, 0.5)))


def paired_difference(right_a, right_b, confidence=0.95):
    """Is model a better than model b, whatever the seed and whatever the sentences of this kind?

    The interval accounts for three kinds of luck: the seed; the choice of sentences, which all seeds share; and what a
    seed does on one sentence and not on another. Let d be the difference for a seed and a sentence, -1, 0 or 1. Its
    two-way analysis of variance gives the variance that seeds bring into the mean, with num_seeds - 1 degrees of
    freedom, and the one that sentences bring. Each part gets its own critical value t or z, and the two half-widths
    are added in squares: if d's means are normal, such an interval misses the truth at most as often as it promises,
    however large either part is. It is never narrower than the sentences alone would make it. Two imaginary sentences,
    one that a alone has right and one that b alone has right, keep it from width 0 where the models agree.

    Few seeds make it wide: t is 12.7 for 2 seeds, 4.3 for 3 and 2.8 for 5. That is what so few seeds can tell; a
    bootstrap over them would be narrower and wrong.

    Not accounted for: training data and settings, which all runs share; sentences of another kind; labels that are
    wrong; a best epoch chosen on these same sentences; and that of many comparisons some come out by luck (`holm`).

    Args:
        right_a: bool, (num_seeds, num_sentences); True where the run of a with this seed predicts the label.
        right_b: bool, (num_seeds, num_sentences); the same seeds in the same order, and the same sentences.
        confidence: part of such intervals that hold the true difference.

    Returns:
        A Difference. With one seed it holds no interval and shows nothing of the models, however large it is; `mcnemar`
        compares two trained ones.

    Raises:
        ValueError: other shapes or types, no seeds or no sentences.

    Source: Banerjee 1960 (adding in squares), Bonett & Price 2012 (imaginary sentences); the question is Clark's,
    1973, with seeds for his subjects and sentences for his words.
    """
    right_a, right_b = _checked(right_a, right_b, "(num_seeds, num_sentences)", 2)
    _check_confidence(confidence)
    differences = right_a.astype(np.int8) - right_b.astype(np.int8)  # (num_seeds, num_sentences)
    difference = float(differences.mean())
    degrees = len(differences) - 1
    if degrees == 0:
        return Difference(difference, None, None, None, NOT_SHOWN)
    imaginary = np.tile(np.array([1, -1], np.int8), (len(differences), 1))
    differences = np.concatenate([differences, imaginary], axis=1)
    centre = float(differences.mean())
    variances = _variances_of_mean(differences)
    half = _half_width(1 - confidence, student_t_quantile(1 - confidence, degrees), *variances)
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    verdict = BETTER if low > 0 else WORSE if high < 0 else NOT_SHOWN
    return Difference(difference, low, high, _p_value(abs(centre), degrees, *variances), verdict)


def _variances_of_mean(differences):
    """What seeds and sentences bring into the mean's variance: (from_seeds, from_sentences, of_sentences_alone).

    `from_seeds` includes the interaction. `of_sentences_alone` is what averages over these very seeds vary by.

    Args:
        differences: int, (num_seeds, num_sentences), both at least 2.
    """
    num_seeds, num_sentences = differences.shape
    by_seed, by_sentence = differences.mean(axis=1), differences.mean(axis=0)
    mean = by_seed.mean()
    seeds = num_sentences * np.sum((by_seed - mean) ** 2)
    sentences = num_seeds * np.sum((by_sentence - mean) ** 2)
    total = np.count_nonzero(differences) - differences.size * mean**2  # squares of -1, 0 and 1 are their count
    interaction = max(0.0, total - seeds - sentences)
    # Mean squares, each over the number of cells: the variances of a mean.
    of_seeds = seeds / (num_seeds - 1) / differences.size
    of_sentences = sentences / (num_sentences - 1) / differences.size
    of_interaction = interaction / (num_seeds - 1) / (num_sentences - 1) / differences.size
    return float(of_seeds), float(max(0.0, of_sentences - of_interaction)), float(of_sentences)


def _half_width(tail, t, from_seeds, from_sentences, of_sentences_alone):
    """Half of the interval that leaves out `tail`; `t` is Student's quantile of it."""
    z_squared = normal_quantile(tail) ** 2
    return math.sqrt(max(t * t * from_seeds + z_squared * from_sentences, z_squared * of_sentences_alone))


def _p_value(distance, degrees, *variances):
    """The tail that an interval leaves out whose `_half_width` is `distance`."""

    def reaches(t):
        tail = student_t_tail(t, degrees)
        return tail < sys.float_info.min or _half_width(tail, t, *variances) >= distance

    return student_t_tail(_smallest(reaches), degrees)


def holm(p_values):
    """Adjusts p-values of many comparisons, so that the chance of any false find stays below the level.

    Args:
        p_values: float, (num_comparisons,); may be empty.

    Returns:
        float, (num_comparisons,), in the order given; each at least as large as it was, at most 1.

    Raises:
        ValueError: a value outside 0 to 1.

    Source: Holm 1979.
    """
    p_values = np.asarray(p_values, np.float64)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f"p_values must be numbers from 0 to 1, (num_comparisons,); got {p_values}")
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def drift(groups, orders, speeds, draws=10_000, seed=0):
    """Did the machine become slower or faster while the runs were made?

    The slope of log speed over the order of the runs, each group's means taken out, and how many shuffles of the speeds
    within their groups give a slope as steep. A drift between groups that were run one after the other is not seen:
    deal the groups' runs out in turns.

    Args:
        groups: (num_runs,); runs of one group should be equally fast: one model on one backend.
        orders: float, (num_runs,); the place of each run in the order in which runs were made.
        speeds: float, (num_runs,); in any unit, above 0.
        draws: how many shuffles.
        seed: decides the shuffles.

    Returns:
        A Drift.

    Raises:
        ValueError: no runs, other shapes, or a speed that is not above 0.
    """
    groups, orders, speeds = np.asarray(groups), np.asarray(orders, np.float64), np.asarray(speeds, np.float64)
    _check_runs(groups, orders, speeds)
    generator = np.random.default_rng(seed)
    slope, shuffled, spread = 0.0, np.zeros(draws), 0.0
    for group in np.unique(groups):
        places, logs = orders[groups == group], np.log(speeds[groups == group])
        if np.ptp(places) == 0:
            continue
        places, logs = places - places.mean(), logs - logs.mean()
        slope += float(places @ logs)
        shuffled += generator.permuted(np.tile(logs, (draws, 1)), axis=1) @ places
        spread += float(places @ places)
    if spread == 0:
        return Drift(None, None)
    # A shuffle that restores the order counts, though it may add in another order.
    as_steep = np.count_nonzero(np.abs(shuffled) >= abs(slope) * (1 - 1e-9))
    return Drift(math.expm1(slope / spread), (1 + as_steep) / (1 + draws))


def never_converged(best_accuracy, majority_fraction, num_sentences, confidence=0.95):
    """True if a run may have learned nothing: its accuracy's interval is not above the majority class's share.

    Args:
        best_accuracy: of any epoch, on the validation sentences.
        majority_fraction: part of these sentences that are of the most frequent class.
        num_sentences: how many they are.
        confidence: of the accuracy's `binomial_interval`.

    Raises:
        ValueError: a fraction outside 0 to 1, or no sentences.
    """
    for name, value in (("best_accuracy", best_accuracy), ("majority_fraction", majority_fraction)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be from 0 to 1; got {value}")
    low, _ = binomial_interval(round(best_accuracy * num_sentences), num_sentences, confidence)
    return low <= majority_fraction


def normal_quantile(tail):
    """The z that a standard normal value is further from 0 than, on either side, with probability `tail`.

    Args:
        tail: above 0, below 1; 0.05 gives 1.96.
    """
    return -NormalDist().inv_cdf(tail / 2)


@functools.cache
def student_t_quantile(tail, degrees):
    """The t that a value of Student's distribution is further from 0 than, on either side, with probability `tail`.

    Args:
        tail: above 0, below 1.
        degrees: degrees of freedom, above 0.
    """
    return _smallest(lambda t: student_t_tail(t, degrees) <= tail)


def student_t_tail(t, degrees):
    """The probability that a value of Student's distribution is further from 0 than `t`, on either side.

    Args:
        t: any number.
        degrees: degrees of freedom, above 0.

    Source: DLMF 8.17 with Abramowitz & Stegun 26.5.27.
    """
    squared = t * t  # where this overflows, x is 0, and y is not looked at
    return _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + squared), squared / (degrees + squared))


def _smallest(reached):
    """The smallest number from 0 on at which `reached`, once True, stays True; by bisection, to the last digit."""
    if reached(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while not reached(high):
        low, high = high, 2 * high
    middle = (low + high) / 2
    while low < middle < high:
        low, high = (low, middle) if reached(middle) else (middle, high)
        middle = (low + high) / 2
    return high


def _incomplete_beta(a, b, x, y):
    """The regularized incomplete beta function I_x(a, b).

    Args:
        a, b: above 0.
        x: from 0 to 1.
        y: 1 - x, without the rounding.

    Source: DLMF 8.17.22 and, for the other side, 8.17.4.
    """
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_fraction(b, a, y, x)
    return _beta_fraction(a, b, x, y)


def _beta_fraction(a, b, x, y):
    """I_x(a, b) by its continued fraction, which converges fast up to the mean, x = a / (a + b), or so.

    Source: DLMF 8.17.22, evaluated by Lentz's method (Thompson & Barnett 1986).
    """
    if x == 0:
        return 0.0
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)
    fraction, upper, lower = 1.0, 1.0, 0.0
    change = math.inf
    half = 0
    # Not to the last digit: rounding might keep it from ever standing still.
    while abs(change) > 1e-14 * fraction:
        odd = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        half += 1
        even = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        change = -fraction
        for coefficient in (odd, even):
            lower = 1 / (1 + coefficient * lower)
            upper = 1 + coefficient / upper
            fraction *= upper * lower
        change += fraction
    return math.exp(logarithm) / a / fraction


def _checked(right_a, right_b, shape, axes):
    right_a, right_b = np.asarray(right_a), np.asarray(right_b)
    types = {right_a.dtype, right_b.dtype}
    if types != {np.dtype(bool)} or right_a.shape != right_b.shape or right_a.ndim != axes or not right_a.size:
        raise ValueError(
            f"right_a and right_b must be bool, {shape}, of one shape and not empty; "
            f"got {right_a.dtype} {right_a.shape} and {right_b.dtype} {right_b.shape}"
        )
    return right_a, right_b


def _check_runs(groups, orders, speeds):
    shapes = {groups.shape, orders.shape, speeds.shape}
    if len(shapes) > 1 or groups.ndim != 1 or not len(groups):
        raise ValueError(
            "groups, orders and speeds must have an entry a run, (num_runs,), and at least one run; "
            f"got {groups.shape}, {orders.shape} and {speeds.shape}"
        )
    if not (np.isfinite(orders).all() and np.isfinite(speeds).all() and (speeds > 0).all()):
        raise ValueError(f"orders must be finite, speeds finite and above 0; got {orders} and {speeds}")


def _check_confidence(confidence):
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be above 0 and below 1; got {confidence}")
