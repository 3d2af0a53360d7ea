"""kmodels export: a trained model in another format, checked against the run before it is there."""

import signal
import sys

from kmodels import commandline, export
from kmodels.errors import InputError
from kmodels.export import steps

HELP = f"""\
Writes a trained model in another format, with its tokenizer and a page that says how to call it (docs/export.md).

    kmodels export RUN --format=onnx --output=model.onnx

The file is read again by its own runtime and must give the run's logits; otherwise nothing is left and the exit status
is 1. It doesn't matter on which backend the run was trained.

  --format=NAME           one of {", ".join(export.FORMATS)}
  --output=PATH           the model: .onnx, a folder, .pt2, .tflite or .xml; tokenizer.json and a page go beside it
  --overwrite             replace what an earlier export left there
"""
USAGE = "export needs one run's folder: kmodels export RUN --format=NAME --output=PATH"
FLAGS = {"format": "", "output": "", "overwrite": False}


def run(arguments):
    own, rest = commandline.own_flags(arguments, **FLAGS, job="", steps="")
    if own.help:
        print(HELP, end="")
    elif own.job:  # a step of an export, in the process that `kmodels.export.processes` started for it
        steps.run(own.job, own.steps.split(","))
    else:
        _export(own, rest)


def _export(own, rest):
    folder = commandline.one_folder(rest, FLAGS, USAGE)
    if not own.format or not own.output:
        raise InputError(f"export needs --{'output' if own.format else 'format'}; see kmodels export --help")
    # Not at once: the temporary folder goes first.
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        done = export.export(folder, own.format, own.output, own.overwrite)
    finally:
        signal.signal(signal.SIGTERM, before)
    print(f"{done.path}: {done.config.model} in float32, built on {done.backend}{_how_else(done)}")
    print(f"its logits are within {max(done.difference, 1e-7):.0e} of the run's; how to call it: {done.page}")


def _how_else(done):
    """What is otherwise than in training, in words."""
    notes = []
    if done.backend != done.config.backend:
        notes.append(f"trained on {done.config.backend}")
    if done.config.precision != "float32":
        notes.append(f"trained in {done.config.precision}")
    if done.batch:
        notes.append(f"for batches of {done.batch}")
    return f" ({', '.join(notes)})" if notes else ""
