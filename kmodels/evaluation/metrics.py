"""The figures of a classifier as arithmetic on arrays."""

import numpy as np

CALIBRATION_BINS = 15
# The least probability whose logarithm counts: float32 rounds what is smaller to 0, and one sentence would make the
# loss infinite.
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


def cross_entropies(probabilities, labels):
    """Minus the logarithm of the probability that each sentence's own class got.

    Args:
        probabilities: float, (num_sentences, num_classes); what is below LEAST_PROBABILITY counts as that.
        labels: int, (num_sentences,).

    Returns:
        float64, (num_sentences,), in nats.
    """
    own = np.take_along_axis(np.asarray(probabilities, np.float64), np.asarray(labels)[:, None], axis=1)[:, 0]
    return -np.log(np.maximum(own, LEAST_PROBABILITY))


def confusion_matrix(labels, predicted, num_classes):
    """How often each class was predicted as each: int64, (num_classes, num_classes); row: the label."""
    cells = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def macro_f1(right, support, predicted):
    """The mean of the classes' F1, over classes with a sentence or a prediction.

    Args:
        right: (…, num_classes); sentences of each class that were predicted so.
        support: (…, num_classes); sentences of each class.
        predicted: (…, num_classes); predictions of each class.

    Returns:
        float64, (…).
    """
    both = support + predicted
    scores = np.divide(2.0 * right, both, out=np.zeros(both.shape), where=both > 0)
    return scores.sum(axis=-1) / (both > 0).sum(axis=-1)


def matthews_correlation(right, support, predicted):
    """The correlation of labels and predictions for any number of classes; 0 where all of either are equal.

    Args:
        right, support, predicted: as for `macro_f1`.

    Returns:
        float64, (…), from -1 to 1.

    Source: Gorodkin 2004 (R_K).
    """
    total = support.sum(axis=-1)
    covariance = right.sum(axis=-1) * total - (support * predicted).sum(axis=-1)
    of_labels, of_predictions = (total**2 - (counts**2).sum(axis=-1) for counts in (support, predicted))
    scale = np.sqrt(of_labels * 1.0 * of_predictions)
    return np.divide(covariance, scale, out=np.zeros(scale.shape), where=scale > 0)


def calibration_error(confidences, is_right, num_bins=CALIBRATION_BINS):
    """The mean distance of confidence and accuracy over bins of equal width, weighted by their sentences.

    Args:
        confidences: float, (num_sentences,); the likeliest class's probability.
        is_right: bool, (num_sentences,); whether it was the label.
        num_bins: bins from 0 to 1; each holds its upper end.

    Source: Guo et al. 2017, equation 3.
    """
    gaps = np.bincount(calibration_bins(confidences, num_bins), weights=is_right - confidences)
    return np.abs(gaps).sum() / len(confidences)


def calibration_bins(confidences, num_bins=CALIBRATION_BINS):
    """The number of each confidence's bin, from 0: int, (num_sentences,)."""
    return np.searchsorted(np.linspace(0, 1, num_bins + 1)[1:-1], confidences)
