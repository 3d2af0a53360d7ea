"""How good a classifier is on labelled sentences: its figures and their intervals, from its probabilities alone.

Everything here is arithmetic on arrays. A figure that is not defined is None, never NaN.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kmodels.errors import InputError
from kmodels.evaluation import metrics, resampling, table
from kmodels.evaluation.metrics import CALIBRATION_BINS
from kmodels.evaluation.resampling import CONFIDENCE
from kmodels.statistics.intervals import binomial_interval

FIGURES = ("accuracy", "macro_f1", "matthews_correlation", "loss", "expected_calibration_error")


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
            "resamples": resampling.RESAMPLES,
            "resampling_seed": resampling.RESAMPLING_SEED,
            "calibration_bins": CALIBRATION_BINS,
            "classes": [asdict(figures) for figures in self.classes],
            "confusion_matrix": self.confusion_matrix.tolist(),
        }

    def __str__(self) -> str:
        return table.text(self, CONFIDENCE, CALIBRATION_BINS)


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
    matrix = metrics.confusion_matrix(labels, predicted, len(label_names))
    counts = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    confidences, is_right = probabilities.max(axis=1), predicted == labels
    losses = metrics.cross_entropies(probabilities, labels)
    values = {
        "accuracy": float(is_right.mean()),
        "macro_f1": float(metrics.macro_f1(*counts)),
        "matthews_correlation": float(metrics.matthews_correlation(*counts)),
        "loss": float(losses.mean()),
        "expected_calibration_error": float(metrics.calibration_error(confidences, is_right)),
    }
    drawn = resampling.resampled_figures(labels, predicted, losses, confidences, len(label_names))
    intervals = {name: resampling.interval(drawn[name]) for name in ("macro_f1", "matthews_correlation", "loss")}
    intervals["accuracy"] = binomial_interval(int(is_right.sum()), len(labels), CONFIDENCE)
    error = "expected_calibration_error"
    intervals[error] = resampling.calibration_interval(values[error], drawn[error], drawn["calibrated"])
    return Evaluation(
        label_names=tuple(label_names),
        num_sentences=len(labels),
        intervals={name: intervals[name] for name in FIGURES},
        classes=_class_figures(label_names, *counts),
        confusion_matrix=matrix,
        **values,
    )


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
