"""How good a classifier is on labelled sentences: its figures and their intervals, from its probabilities alone.

Everything here is arithmetic on arrays. A figure that is not defined is None, never NaN.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kmodels import evaluation_table
from kmodels.comparison.statistics import binomial_interval
from kmodels.errors import InputError

CONFIDENCE = 0.95
CALIBRATION_BINS = 15
RESAMPLES = 2000
RESAMPLING_SEED = 0
FIGURES = ("accuracy", "macro_f1", "matthews_correlation", "loss", "expected_calibration_error")

ROUNDING = 1e-12  # an interval that is not wider is none
# The least probability whose logarithm counts: float32 rounds what is smaller to 0, and one sentence would make the
# loss infinite.
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class ClassFigures:
    """One class's figures, as parts of 1.

    Attributes:
        name: the class's name.
        precision: of the sentences predicted as this class, the part that is; None where none was.
        recall: of the class's sentences, the part that was predicted so; None where it has none.
        f1: harmonic mean of the two; None where the class has no sentence and no prediction.
        support: number of its sentences.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a classifier reached on labelled sentences. Printed, it is a table.

    Attributes:
        label_names: the name of each class.
        num_sentences: how many there were.
        accuracy: part of the sentences whose likeliest class is right.
        macro_f1: mean of the classes' F1; a class without sentences and without predictions does not count.
        matthews_correlation: from -1 to 1, for any number of classes; 0 where all labels or all predictions are equal.
        loss: mean cross-entropy, in nats.
        expected_calibration_error: how far confidence and accuracy lie apart, in 15 bins of equal width.
        intervals: {name of one of these five figures: (low, high), or None where resampling changes nothing}.
        classes: a ClassFigures for each class.
        confusion_matrix: int64, (num_classes, num_classes); row: the label, column: the prediction.
    """

    label_names: tuple[str, ...]
    num_sentences: int
    accuracy: float
    macro_f1: float
    matthews_correlation: float
    loss: float
    expected_calibration_error: float
    intervals: dict[str, tuple[float, float] | None]
    classes: tuple[ClassFigures, ...]
    confusion_matrix: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """All of it as a dict that json can write, and how the intervals were made."""
        return {
            "num_sentences": self.num_sentences,
            **{name: getattr(self, name) for name in FIGURES},
            "intervals": {name: None if pair is None else list(pair) for name, pair in self.intervals.items()},
            "confidence": CONFIDENCE,
            "resamples": RESAMPLES,
            "resampling_seed": RESAMPLING_SEED,
            "calibration_bins": CALIBRATION_BINS,
            "classes": [asdict(figures) for figures in self.classes],
            "confusion_matrix": self.confusion_matrix.tolist(),
        }

    def __str__(self) -> str:
        return evaluation_table.text(self, CONFIDENCE, CALIBRATION_BINS)


def evaluate(probabilities: Any, labels: Any, label_names: Sequence[str]) -> Evaluation:
    """The figures of a classifier on labelled sentences.

    Args:
        probabilities: float, (num_sentences, num_classes); each row sums to 1.
        labels: int, (num_sentences,); the number of each sentence's class.
        label_names: the name of each class.

    Raises:
        InputError: other shapes, no sentences, a label that is no class, or probabilities that are none.

    >>> found = evaluate([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]], [0, 1, 1], ["bad", "good"])
    >>> round(found.accuracy, 3), round(found.loss, 3)
    (0.667, 0.742)
    >>> found.confusion_matrix.tolist()
    [[1, 0], [1, 1]]
    """
    probabilities, labels = _checked(probabilities, labels, len(label_names))
    predicted = probabilities.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, len(label_names))
    counts = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    confidences, is_right = probabilities.max(axis=1), predicted == labels
    losses = cross_entropies(probabilities, labels)
    values = {
        "accuracy": float(is_right.mean()),
        "macro_f1": float(macro_f1(*counts)),
        "matthews_correlation": float(matthews_correlation(*counts)),
        "loss": float(losses.mean()),
        "expected_calibration_error": float(calibration_error(confidences, is_right)),
    }
    drawn = _resampled_figures(labels, predicted, losses, confidences, len(label_names))
    intervals = {name: _interval(drawn[name]) for name in ("macro_f1", "matthews_correlation", "loss")}
    intervals["accuracy"] = binomial_interval(int(is_right.sum()), len(labels), CONFIDENCE)
    error = "expected_calibration_error"
    intervals[error] = _calibration_interval(values[error], drawn[error], drawn["calibrated"])
    return Evaluation(
        label_names=tuple(label_names),
        num_sentences=len(labels),
        intervals={name: intervals[name] for name in FIGURES},
        classes=_class_figures(label_names, *counts),
        confusion_matrix=matrix,
        **values,
    )


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


def _class_figures(label_names, right, support, predicted):
    """A ClassFigures for each class, from its three counts."""
    return tuple(
        ClassFigures(
            name,
            precision=hits / claims if claims else None,
            recall=hits / sentences if sentences else None,
            f1=2 * hits / (sentences + claims) if sentences + claims else None,
            support=sentences,
        )
        for name, hits, sentences, claims in zip(label_names, right.tolist(), support.tolist(), predicted.tolist())
    )


def _resampled_figures(labels, predicted, losses, confidences, num_classes):
    """The figures of RESAMPLES sets of sentences, drawn from these with replacement: {name: float64, (RESAMPLES,)}.

    "calibrated" is the calibration error of these very sentences, had each been right with its confidence.
    """
    num_sentences, is_right = len(labels), predicted == labels
    bins = calibration_bins(confidences)
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
        "macro_f1": macro_f1(right, support, claims),
        "matthews_correlation": matthews_correlation(right, support, claims),
        "loss": loss,
        "expected_calibration_error": error,
        "calibrated": calibrated,
    }


def _interval(drawn):
    """The ends between which CONFIDENCE of the resampled figures lie; None where they are all the same."""
    low, high = _ends(drawn)
    return (low, high) if high - low > ROUNDING else None


def _calibration_interval(value, drawn, calibrated):
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


def _checked(probabilities, labels, num_classes):
    """Both as arrays, float64 and int64. Raises InputError for what they can't be."""
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if probabilities.ndim != 2 or probabilities.shape[1] != num_classes:
        raise InputError(
            f"probabilities must be (num_sentences, {num_classes}), a column a class; got {probabilities.shape}"
        )
    if labels.shape != probabilities.shape[:1]:
        raise InputError(f"there must be a label for each of the {len(probabilities)} sentences; got {labels.shape}")
    if not len(labels):
        raise InputError("an evaluation needs at least one sentence; got none")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= num_classes:
        raise InputError(f"labels must be whole numbers from 0 to {num_classes - 1}; got {labels!r:.80}")
    sums = probabilities.sum(axis=1)
    wrong = ~((probabilities >= 0).all(axis=1) & (np.abs(sums - 1) < 1e-3))  # a NaN is neither
    if wrong.any():
        number = int(wrong.argmax())
        raise InputError(
            f"probabilities must be from 0 to 1 and sum to 1; those of sentence {number} sum to {sums[number]}"
        )
    return probabilities, labels.astype(np.int64)
