"""Folders of runs that nobody made, as training leaves them."""

import numpy as np

from kmodels import records
from kmodels.comparison import runner

LABELS = np.arange(200) % 2


def write_run(
    folder,
    model="textcnn",
    backend="jax",
    seed=1,
    accuracy=0.8,
    finished=True,
    predictions=True,
    name=None,
    labels=LABELS,
    label_names=("bad", "good"),
    **config,
):
    """A run's folder as training leaves it, with predictions that have this accuracy. Returns its path."""
    folder = folder / (name or f"{model}-{backend}-seed-{seed}")
    folder.mkdir(parents=True)
    settings = {"model": model, "backend": backend, "seed": seed, "dataset": "sst2", "precision": "float32"} | config
    records.write_json(folder / records.CONFIG, settings)
    line = {"epoch": 0, "training_loss": 0.5, "training_accuracy": 0.7, "epoch_seconds": 2.0}
    records.write_history(folder / records.HISTORY, [line | {"validation_loss": 0.4, "validation_accuracy": accuracy}])
    if not finished:
        return folder
    records.write_json(folder / records.ENVIRONMENT, {"backend": backend, "device": "an imaginary processor"})
    if predictions:
        generator = np.random.default_rng([seed, len(model), len(backend)])
        right = generator.permutation(len(labels)) < accuracy * len(labels)
        guesses = np.where(right, labels, 1 - labels)
        probabilities = np.where(np.arange(2) == guesses[:, None], 0.9, 0.1)
        content = {"label_names": label_names, "labels": labels.tolist(), "probabilities": probabilities.tolist()}
        records.write_json(folder / records.PREDICTIONS, content)
    metrics = {
        "best_epoch": 0,
        "epoch": 0,
        "training_duration": "1 day, 0:01:01.5",
        "best_validation_accuracy": accuracy,
        "best_validation_loss": 0.4,
        "peak_worker_0_memory_MB": 500.0 + seed,
        "samples_per_second": 1000.0,
        "compile_seconds": 3.0,
    }
    records.write_json(folder / records.METRICS, metrics)
    return folder


def write_outcomes(folder, **statuses):
    """runs.json: {name: (status, error)}, in their order; a run is started an hour after the one before."""
    rows = []
    for order, (name, (status, error)) in enumerate(statuses.items()):
        model, backend, _, seed = name.rsplit("-", 3)
        started = f"2026-01-{1 + order // 24:02}T{order % 24:02}:00:00Z"
        outcome = runner.Outcome(name, model, backend, int(seed), order, status, error, started, 1.0, 2)
        rows.append(vars(outcome))
    records.write_json(folder / runner.OUTCOMES, rows)


def change(path, **values):
    """Other values in a JSON object on the disk; None takes a key away."""
    changed = records.read_object(path) | values
    records.write_json(path, {name: value for name, value in changed.items() if value is not None})
