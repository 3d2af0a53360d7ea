"""Two models on the same sentences: does one have more of them right, whatever the seed and the sentences?

An interval is rather too wide than too narrow.
"""

import math
import sys
from dataclasses import dataclass

import numpy as np
from scipy import special

from kmodels.statistics.intervals import check_confidence, normal_quantile, student_t_quantile, student_t_tail

BETTER = "better"
WORSE = "worse"
NOT_SHOWN = "no difference shown"
NOT_TESTED = "not tested"


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
        verdict: BETTER or WORSE, which is said of a; NOT_SHOWN where the interval holds 0; NOT_TESTED where there is
            no interval.
    """

    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    verdict: str


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
    return McNemar(only_a, only_b, min(1.0, 2 * float(special.betainc(more, fewer + 1, 0.5))))


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
        A Difference. With one seed it is NOT_TESTED: no interval, and nothing is shown of the models, however large it
        is; `mcnemar` compares two trained ones.

    Raises:
        ValueError: other shapes or types, no seeds or no sentences.

    Source: Banerjee 1960 (adding in squares), Bonett & Price 2012 (imaginary sentences); the question is Clark's,
    1973, with seeds for his subjects and sentences for his words.
    """
    right_a, right_b = _checked(right_a, right_b, "(num_seeds, num_sentences)", 2)
    check_confidence(confidence)
    differences = right_a.astype(np.int8) - right_b.astype(np.int8)  # (num_seeds, num_sentences)
    difference = float(differences.mean())
    degrees = len(differences) - 1
    if degrees == 0:
        return Difference(difference, None, None, None, NOT_TESTED)
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


def _checked(right_a, right_b, shape, axes):
    right_a, right_b = np.asarray(right_a), np.asarray(right_b)
    types = {right_a.dtype, right_b.dtype}
    if types != {np.dtype(bool)} or right_a.shape != right_b.shape or right_a.ndim != axes or not right_a.size:
        raise ValueError(
            f"right_a and right_b must be bool, {shape}, of one shape and not empty; "
            f"got {right_a.dtype} {right_a.shape} and {right_b.dtype} {right_b.shape}"
        )
    return right_a, right_b
