"""kmodels evaluate: how good a trained model is on labelled sentences."""

import contextlib
import json
import sys
from pathlib import Path

from kmodels import commandline, evaluation, inference, prediction, stdout
from kmodels.data import labelled
from kmodels.errors import InputError
from kmodels.prediction.answers import WholeFile

HELP = """\
Tells how good a trained model is on labelled sentences: as JSON, or on a terminal as a table.

    kmodels evaluate RUN --file=dev.tsv
    kmodels evaluate RUN                        on the data that the run was validated on, if it is still there

RUN is the folder that training left, wherever it was moved. Accuracy comes with Wilson's interval; macro F1, Matthews
correlation, loss and calibration error with one from resampled sentences.

  --file=FILE             labelled sentences: .tsv, .csv or .jsonl; the labels are the run's, by name, or by number
                          from 0 where no class has a number as its name
  --text_column=NAME      column of the text; default: the run's, else sentence, text, review or content
  --label_column=NAME     column of the label; default: the run's, else label, labels, class, category or target
  --predictions=FILE      write a JSON line for each sentence: its number from 0, its label, its probabilities
  --backend=NAME          the backend to run on, whatever it was trained on (default: KERAS_BACKEND, else the fastest)
  --json                  JSON on a terminal, too
"""
USAGE = "evaluate needs one run's folder: kmodels evaluate RUN [--file=FILE]"
FLAGS = {"file": "", "text_column": "", "label_column": "", "predictions": "", "backend": "", "json": False}


def run(arguments):
    own, rest = commandline.own_flags(arguments, **FLAGS)
    if own.help:
        print(HELP, end="")
        return
    stdout.check_open()
    folder = commandline.one_folder(rest, FLAGS, USAGE)
    config, label_names = inference.settings_of(folder)
    backend_name = prediction.backend_for(config, own.backend or None)
    columns = own.text_column or None, own.label_column or None
    examples, source = labelled.find(config, label_names, own.file or None, *columns)
    predictions = Path(own.predictions).expanduser() if own.predictions else None
    if predictions:
        _check_place(predictions, Path(source).expanduser())
    with WholeFile(predictions) if predictions else contextlib.nullcontext() as file:
        probabilities = inference.load(folder, backend_name).predict_proba(examples.texts)
        found = evaluation.evaluate(probabilities, examples.labels, label_names)
        if file:
            write_predictions(file, probabilities, examples.labels, label_names)
    about = {"run": str(folder), "model": config.model, "backend": backend_name, "data": source}
    if own.json or not sys.stdout.isatty():
        print(json.dumps(about | {"label_names": list(label_names)} | found.to_json(), indent=2, allow_nan=False))
    else:
        print(f"{folder}: {config.model} on {backend_name}; {source}\n\n{found}")


def write_predictions(file, probabilities, labels, label_names):
    """Writes a JSON line for each sentence.

    {"number": from 0, "label": its name, "probabilities": {name of a class: float32 in its fewest digits}}

    Args:
        file: kmodels.prediction.answers.WholeFile.
        probabilities: float32, (num_sentences, num_classes).
        labels: int, (num_sentences,).
        label_names: the name of each class.

    Raises:
        RunError: the file can't be written.
    """
    for number, (label, row) in enumerate(zip(labels, probabilities)):
        shown = {name: float(str(value)) for name, value in zip(label_names, row)}
        line = {"number": number, "label": label_names[label], "probabilities": shown}
        file.write(json.dumps(line) + "\n")


def _check_place(path, source):
    """Raises InputError, before any work, if a file can't be written there, or is the one that was read."""
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"predictions must be a file in a folder that exists; got {path}")
    if path.exists() and source.exists() and path.samefile(source):
        raise InputError(f"predictions must be another file than the one that is read; got {path} for both")
