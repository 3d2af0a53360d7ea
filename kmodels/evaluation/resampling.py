"""Intervals of figures that have no formula for one: from resampled sentences (the bootstrap)."""

import numpy as np

from kmodels.evaluation import metrics

CONFIDENCE = 0.95
RESAMPLES = 2000
RESAMPLING_SEED = 0

ROUNDING = 1e-12  # an interval that is not wider is none


def resampled_figures(labels, predicted, losses, confidences, num_classes):
    """The figures of RESAMPLES sets of sentences, drawn from these with replacement: {name: float64, (RESAMPLES,)}.

    "calibrated" is the calibration error of these very sentences, had each been right with its confidence.
    """
    num_sentences, is_right = len(labels), predicted == labels
    bins = metrics.calibration_bins(confidences)
    generator = np.random.Generator(np.random.PCG64(RESAMPLING_SEED))
    right, support, claims = np.zeros((3, RESAMPLES, num_classes))
    loss, error, calibrated = np.zeros((3, RESAMPLES))
    for number in range(RESAMPLES):
        times = np.bincount(generator.integers(num_sentences, size=num_sentences), minlength=num_sentences)
        right[number] = np.bincount(labels, times * is_right, num_classes)
        support[number] = np.bincount(labels, times, num_classes)
        claims[number] = np.bincount(predicted, times, num_classes)
        loss[number] = times @ losses / num_sentences
        error[number] = np.abs(np.bincount(bins, times * (is_right - confidences))).sum() / num_sentences
        by_luck = generator.random(num_sentences) < confidences
        calibrated[number] = np.abs(np.bincount(bins, by_luck - confidences)).sum() / num_sentences
    return {
        "macro_f1": metrics.macro_f1(right, support, claims),
        "matthews_correlation": metrics.matthews_correlation(right, support, claims),
        "loss": loss,
        "expected_calibration_error": error,
        "calibrated": calibrated,
    }


def interval(drawn):
    """The ends between which CONFIDENCE of the resampled figures lie; None where they are all the same."""
    low, high = _ends(drawn)
    return (low, high) if high - low > ROUNDING else None


def calibration_interval(value, drawn, calibrated):
    """The interval of a calibration error, which chance makes larger, and resampling larger again.

    So the resampled errors lie about as far above the measured one as that lies above the true one. The lower end is
    their upper one, mirrored at the measured error (the basic bootstrap); 0 where a calibrated classifier is as likely
    to reach the measured error as CONFIDENCE allows. The upper end lies half their width above it.

    Source: Davison & Hinkley 1997, section 5.2; Bröcker & Smith 2007 (what a calibrated classifier reaches).
    """
    low, high = _ends(drawn)
    if high - low <= ROUNDING:
        return None
    mirrored = 0.0 if value <= _ends(calibrated)[1] else max(0.0, min(value, 2 * value - high))
    return mirrored, min(1.0, value + (high - low) / 2)


def _ends(drawn):
    return tuple(map(float, np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])))
