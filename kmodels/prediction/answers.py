"""From a stream of sentences to what `kmodels predict` writes: JSON lines, or the file that GLUE's server takes."""

import contextlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from kmodels.errors import InputError, RunError
from kmodels.prediction.background import Background
from kmodels.prediction.windows import Pace, windows

GLUE_HEADER = "index\tprediction\n"


def probabilities_of(reader, classifier, pace=None):
    """Classifies a stream, a window of it at a time; a thread tokenises the next window meanwhile.

    Args:
        reader: kmodels.prediction.background.Background of lists of kmodels.prediction.streaming.Row.
        classifier: kmodels.inference.Classifier.
        pace: kmodels.prediction.windows.Pace, which decides how long windows are.

    Yields:
        (rows, probabilities): [Row, …] in the order of the input; float32, (number of good rows, num_classes).

    Raises:
        InputError: as of kmodels.prediction.streaming.read_rows.
        RunError: the model gives what is no number.
    """
    pace = pace or Pace()

    def tokenize(give):
        for rows in windows(reader, pace):
            texts = [row.text for row in rows if row.text is not None]
            give((rows, classifier.encode(texts)))

    with contextlib.closing(Background(tokenize, most_waiting=1)) as tokenized_windows:
        for rows, tokenized in tokenized_windows:
            start = time.monotonic()
            probabilities = classifier.predictor.probabilities(tokenized)
            if not np.isfinite(probabilities).all():
                raise RunError("the model's probabilities must be numbers; they are not: its weights may be damaged")
            pace.took(len(rows), time.monotonic() - start)
            yield rows, probabilities


def json_lines(rows, probabilities, label_names, top_k=0, threshold=0.0):
    """Yields a JSON line for each row.

    A sentence gives {"label": str, "probability": float}, with "probabilities" beside them if `top_k` asks; a bad line
    gives {"error": str, "line": int}.

    Args:
        rows: [kmodels.prediction.streaming.Row, …].
        probabilities: float32, (number of good rows, num_classes), in their order.
        label_names: the name of each class.
        top_k: how many classes "probabilities" holds, the likeliest first; 0: the key is left out.
        threshold: below this probability the label is null.
    """
    answers = iter(zip(probabilities.argmax(axis=1).tolist(), probabilities))
    for row in rows:
        if row.text is None:
            yield _line({"error": row.error, "line": row.line})
            continue
        number, likely = next(answers)
        label = label_names[number] if likely[number] >= threshold else None
        answer = {"label": label, "probability": _figure(likely[number])}
        if top_k:
            order = (-likely).argsort(kind="stable")[:top_k]
            answer["probabilities"] = {label_names[each]: _figure(likely[each]) for each in order}
        yield _line(answer)


def glue_lines(first_index, probabilities, label_names):
    """Yields a line for each sentence: its number in the file from 0, and the number of its likeliest class.

    The number is the class's name where all classes have whole numbers as names.
    """
    are_numbers = all(name.isdecimal() for name in label_names)
    numbers = label_names if are_numbers else range(len(label_names))
    for index, likeliest in enumerate(probabilities.argmax(axis=1).tolist(), start=first_index):
        yield f"{index}\t{numbers[likeliest]}\n"


def _figure(value):
    """A float32 in the fewest digits that tell it from others."""
    return float(str(value))


def _line(answer):
    return json.dumps(answer, ensure_ascii=False) + "\n"


class WholeFile:
    """A context: a UTF-8 file to write into, which is there in the end if all went well, and not touched otherwise.

    Args:
        path: the file; of a symbolic link, what it leads to is written.

    Raises:
        InputError: it can't be begun.
        RunError: it can't be written or finished.
    """

    def __init__(self, path):
        self.path = Path(os.path.realpath(path))  # renaming onto a link would remove it
        self._beside = self.path.with_name(f".{self.path.name}.new")
        if os.path.exists(path) and not os.path.isfile(path):  # asked of what was given: a pipe's real name is none
            raise InputError(f"{path} can't be written: it is no plain file")
        if _is_stdout(path):  # as /dev/stdout is, and what else is printed would go to the file that is renamed away
            raise InputError(f"{path} can't be written: stdout goes there already")
        try:
            self._file = open(self._beside, "w", encoding="utf-8", newline="\n")  # noqa: SIM115  closed by __exit__
        except OSError as error:
            raise InputError(f"{path} can't be written: {error.strerror}") from error

    def write(self, text):
        with self._reported():
            self._file.write(text)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        try:
            with self._reported(), self._file:
                if kind is None:
                    self._file.flush()
                    os.fsync(self._file.fileno())
            if kind is None:
                with self._reported():
                    os.replace(self._beside, self.path)
        finally:
            self._beside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _reported(self):
        try:
            yield
        except OSError as error:
            raise RunError(f"{self.path} can't be written: {error.strerror}") from error


def _is_stdout(path):
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no such file; no real stdout
        return os.path.samestat(os.stat(path), os.fstat(sys.stdout.fileno()))
    return False
