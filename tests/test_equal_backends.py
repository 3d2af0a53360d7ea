"""The same seed gives the same run on every backend: initial weights, batches and, without dropout, the loss curve."""

import json
import os
import subprocess
import sys

import numpy as np

from kmodels.config import BACKENDS
from tests.reviews import tiny_settings, write_review_files

RUN = """
import json, sys
from kmodels import backend
backend.run_as_command()
backend.choose(backend.resolve())
import keras
import numpy as np
import kmodels

class Watch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses, self.weights = [], []

    def on_train_begin(self, logs=None):
        for weight in self.model.weights:
            values = np.asarray(keras.ops.convert_to_numpy(weight.value), "float64")
            places = np.arange(values.size).reshape(values.shape) / values.size
            self.weights.append([float(values.sum()), float((values * places).sum())])

    def on_epoch_begin(self, epoch, logs=None):
        self.total = 0.0

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"] * (batch + 1) - self.total)
        self.total = logs["loss"] * (batch + 1)

found = {}
for settings in json.loads(sys.argv[1]):
    watch = Watch()
    kmodels.train(callbacks=[watch], **settings)
    found[settings["model"]] = {"losses": watch.losses, "weights": watch.weights}
json.dump(found, sys.stdout)
"""
# Rates at which wrong updates show in the losses of so few steps.
WORDS = {"embedding_dim": 300, "learning_rate": 1e-3}
MODELS = {
    "textcnn": WORDS | {"num_filters": 16},
    "bilstm": WORDS | {"lstm_units": 16},
    "bert_base_pool": {"learning_rate": 1e-4},
    "bert_base_lstm": {"learning_rate": 1e-4, "lstm_units": 16},
    "roberta_pool": {"learning_rate": 1e-4},
}
STEPS = 5 * 12  # epochs and batches


def test_weights_and_loss_curve_are_equal_on_three_backends(tmp_path):
    """One process a backend: starting it and its framework takes longer than these runs."""
    files = write_review_files(tmp_path)
    settings = {"epochs": 5, "batch_size": 8, "dropout": 0, "word_dropout": 0, "seed": 3}
    runs = {}
    for backend in BACKENDS:
        jobs = [
            tiny_settings(model, files, tmp_path / f"{model}-{backend}", **settings | sizes)
            for model, sizes in MODELS.items()
        ]
        environment = os.environ | {"KERAS_BACKEND": backend}
        command = [sys.executable, "-c", RUN, json.dumps(jobs)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        runs[backend] = json.loads(result.stdout.splitlines()[-1])
    for model in MODELS:
        reference = runs["jax"][model]
        assert len(reference["losses"]) == STEPS
        for backend, found in runs.items():
            run, where = found[model], f"{model} on {backend}"
            np.testing.assert_allclose(run["weights"], reference["weights"], rtol=1e-5, atol=1e-4, err_msg=where)
            np.testing.assert_allclose(run["losses"], reference["losses"], rtol=1e-4, err_msg=where)
