"""What runs left in their folders, checked: a damaged record is refused with its path, not met later as a traceback."""

import re
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from kmodels import records
from kmodels.comparison import runner, schema
from kmodels.comparison.checks import amount, fraction, in_file, listing, mapping, optional, record, scalar, text, whole
from kmodels.errors import InputError

DURATION = re.compile(r"(?:(\d{1,9}) days?, )?(\d{1,2}):(\d\d):(\d\d(?:\.\d{1,6})?)")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a run's best epoch gives for the sentences that it was validated on.

    Attributes:
        label_names: (num_classes,) of str.
        labels: int, (num_sentences,); the true class of each.
        probabilities: float, (num_sentences, num_classes).
    """

    label_names: tuple
    labels: np.ndarray
    probabilities: np.ndarray

    @cached_property
    def truth(self):
        """The name of each sentence's true label: (num_sentences,) of str. Equal for runs of the same sentences."""
        return tuple(self.label_names[label] for label in self.labels)

    @cached_property
    def is_right(self):
        """bool, (num_sentences,): where the most probable label is the true one."""
        return self.probabilities.argmax(axis=1) == self.labels

    @property
    def of_truth(self):
        """float, (num_sentences,): the probability of the true label."""
        return self.probabilities[np.arange(len(self.labels)), self.labels]

    @property
    def majority_fraction(self):
        """The part of the sentences that has the most frequent label."""
        return max(Counter(self.truth).values()) / len(self.labels)


def seconds(duration):
    """The seconds in str(timedelta): "1 day, 0:00:01.5" → 86401.5; None if a text is no duration."""
    found = DURATION.fullmatch(duration)
    if found is None:
        return None
    days, *clock = found.groups("0")
    hours, minutes, rest = map(float, clock)
    return 86400 * int(days) + 3600 * hours + 60 * minutes + rest


def runs(folder):
    """The runs in a folder, by name; those that failed before they had a folder come from runs.json.

    Args:
        folder: pathlib.Path.

    Returns:
        [{…}, …]: each as `kmodels.comparison.schema` describes it, and besides its `config`, {} if it left none.

    Raises:
        InputError: a record is damaged.
    """
    outcomes = runner.read_outcomes(folder)
    made = sorted(outcomes.values(), key=lambda outcome: (outcome.started, outcome.order, outcome.name))
    # Each call of compare counts its own runs from 0; a folder may hold those of several.
    places = {outcome.name: place for place, outcome in enumerate(made)}
    names = {path.parent.name for path in folder.glob(f"*/{records.CONFIG}")}
    return [_run(folder / name, outcomes.get(name), places.get(name)) for name in sorted(names | set(outcomes))]


def predictions(folder):
    """The Predictions in a run's folder; None if there are none.

    Raises:
        InputError: they are damaged.
    """
    path = folder / records.PREDICTIONS
    if not path.is_file():
        return None
    content = records.read_object(path)
    names = in_file(path, PREDICTIONS, content)["label_names"]
    try:
        labels, probabilities = np.asarray(content.get("labels")), np.asarray(content.get("probabilities"), np.float64)
    except (TypeError, ValueError):  # rows of different lengths, or no numbers
        labels = probabilities = np.empty(0)
    shapes_fit = labels.ndim == 1 and labels.size and probabilities.shape == (len(labels), len(names))
    if not shapes_fit or labels.dtype.kind not in "iu" or not 0 <= labels.min() <= labels.max() < len(names):
        raise InputError(
            f"{path} must hold labels, a number from 0 to {len(names) - 1} for each sentence, and probabilities, as "
            f"many rows of {len(names)} numbers; it holds others"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise InputError(f"{path} must hold probabilities from 0 to 1; it holds others")
    return Predictions(tuple(names), labels, probabilities)


def _run(folder, outcome, place):
    known = asdict(outcome) if outcome else {}
    finished = records.is_finished(folder)
    record = _finished(folder) if finished else None
    config = _config(folder)
    status, error = known.get("status", runner.UNFINISHED), known.get("error")
    if status == runner.FINISHED:
        status, error = runner.UNFINISHED, f"its folder no longer holds {records.METRICS}"
    return {
        "name": folder.name,
        "model": config.get("model") or known["model"],
        "backend": config.get("backend") or known["backend"],
        "seed": config.get("seed", known.get("seed")),
        "precision": config.get("precision"),
        "status": runner.FINISHED if finished else status,
        "error": None if finished else error,
        "order": place,
        "started": known.get("started"),
        "cores": known.get("cores"),
        "environment": record.environment if record else {},
        "metrics": record.metrics if record else None,
        "history": record.history if record else _history(folder),
        "config": config,
    }


def _finished(folder):
    found = records.read(folder)
    in_file(folder / records.METRICS, metrics, found.metrics)
    in_file(folder / records.ENVIRONMENT, mapping(scalar), found.environment)
    in_file(folder / records.HISTORY, listing(schema.EPOCH), found.history)
    return found


def _config(folder):
    path = folder / records.CONFIG
    if not path.is_file():
        return {}
    config = records.read_object(path)
    in_file(path, CONFIG, config)
    return config


def _history(folder):
    path = folder / records.HISTORY
    found = records.read_history(path) if path.is_file() else []
    in_file(path, listing(schema.EPOCH), found)
    return found


def duration(value, where):
    """A check: the text of a timedelta."""
    if seconds(text(value, where)) is None:
        raise InputError(f"{where.removeprefix('.')} must be a duration, H:MM:SS; got {value!r:.40}")
    return value


def metrics(value, where):
    """A check: what every finished run measured, and the rest where it was measured."""
    schema.METRICS(value, where)
    return NEEDED(value, where)


NEEDED = record(
    best_validation_accuracy=fraction,
    training_duration=duration,
    peak_worker_0_memory_MB=amount,
    fraction_of_peak=optional(amount),
)
CONFIG = record(model=text, backend=text, seed=optional(whole), precision=optional(text))
PREDICTIONS = record(label_names=listing(text))
