"""What a few values tell of what they were drawn from: intervals of a mean and of a share."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special


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
    check_confidence(confidence)
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
    check_confidence(confidence)
    z_squared = normal_quantile(1 - confidence) ** 2
    centre = (successes + z_squared / 2) / (trials + z_squared)
    spread = successes * (1 - successes / trials) + z_squared / 4
    half = math.sqrt(z_squared * spread) / (trials + z_squared)
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


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
    return -float(special.ndtri(tail / 2))


def student_t_quantile(tail, degrees):
    """The t that a value of Student's distribution is further from 0 than, on either side, with probability `tail`.

    Args:
        tail: above 0, below 1.
        degrees: degrees of freedom, above 0.
    """
    return -float(special.stdtrit(degrees, tail / 2))


def student_t_tail(t, degrees):
    """The probability that a value of Student's distribution is further from 0 than `t`, on either side.

    Args:
        t: any number.
        degrees: degrees of freedom, above 0.
    """
    return 2 * float(special.stdtr(degrees, -abs(t)))


def check_confidence(confidence):
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be above 0 and below 1; got {confidence}")
