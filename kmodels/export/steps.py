"""The steps of an export, each a function of a job: {"run", "format", "target", "probes"}, a folder, a name, two files.

`kmodels.export.processes` starts them: "logits" and "write" on a backend, "check" with nothing but the file's runtime.
"""

import functools
import importlib
import json
from pathlib import Path

import numpy as np

from kmodels import inference, records
from kmodels.export import probes


def run(job, names):
    """Runs the steps of these names, one after the other, of the job in a JSON file."""
    for name in names:
        STEPS[name](records.read_object(job))


def logits(job):
    """Writes sentences and the run's logits for them."""
    classifier = _classifier(job["run"])
    tokenizer = classifier.tokenizer
    batches = probes.make(tokenizer.vocabulary_size, classifier.config.max_length, tokenizer.padding_id)
    expected = [np.asarray(classifier.model.predict_on_batch(batch), np.float32) for batch in batches]
    probes.write(job["probes"], batches, expected)


def write(job):
    """Writes the model."""
    _format(job).write(_classifier(job["run"]).model, Path(job["target"]))


def check(job):
    """Reads the model, and prints what was found as JSON: {"difference", "batch"}. RunError if logits differ."""
    call, batch_size = _format(job).read(Path(job["target"]))
    batches, expected = probes.read(job["probes"])
    difference = probes.compare(call, batch_size, batches, expected, Path(job["target"]).name)
    print(json.dumps({"difference": difference, "batch": batch_size}))


STEPS = {"logits": logits, "write": write, "check": check}


def _format(job):
    return importlib.import_module(f"kmodels.export.{job['format']}")


@functools.cache
def _classifier(run):
    return inference.load_for_export(run)
