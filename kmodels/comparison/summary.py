"""From the runs in a folder to a comparison: what was compared, on what, and what can be said about it.

The result is described in `kmodels.comparison.schema`.
"""

import itertools
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from kmodels import records
from kmodels.architectures import ARCHITECTURES
from kmodels.comparison import grid, runner, wording
from kmodels.errors import InputError
from kmodels.statistics.drift import drift
from kmodels.statistics.intervals import binomial_interval, mean_interval, never_converged
from kmodels.statistics.pairs import NOT_SHOWN, holm, mcnemar, paired_difference

FORMAT = 1
PROTOCOL = (
    "Each run is a fresh process that loads one framework; memory is that process's own high-water mark.",
    "The same seed gives the same initial weights and the same batches in the same order on every backend.",
    "Number formats are set, not left to a framework: float32 products are float32 (no TF32) unless the runs say else.",
    "Every run has the same number of cores and threads.",
    "First batches are timed apart, as compilation; speeds are of all others, real tokens only.",
    "The order of the runs is drawn, and every model and backend has a run before one has its next.",
    "Accuracy is of the epoch with the lowest validation loss, unless the runs name another monitor.",
)
DIFFERS = (
    "Dropout masks: each backend draws its own numbers.",
    "Kernels: the LSTM's and the attention's are each framework's own, fused where it fuses them.",
    "JAX compiles each length once and keeps it on disk; TensorFlow traces once; PyTorch runs step by step.",
)
MOST_DISAGREEMENTS = 20
LEVEL = 0.05


def summarize(output_dir, title=None, command=None, texts=None):
    """The comparison of all runs in a folder.

    Args:
        output_dir: a folder of runs, as `kmodels compare` leaves them or made one by one.
        title: of the report; default: the folder's name.
        command: the command line that made the runs.
        texts: the validation sentences, to be shown where models disagree; None to show their numbers only.

    Returns:
        A dict that `kmodels.comparison.schema` describes.

    Raises:
        InputError: no runs there, or a record is damaged.
    """
    folder = Path(output_dir)
    runs = _runs(folder)
    if not runs:
        raise InputError(f"{folder} holds no runs: none of its folders has {records.CONFIG}")
    finished = [run for run in runs if run["status"] == runner.FINISHED]
    predictions = {run["name"]: _read_predictions(folder / run["name"]) for run in finished}
    predictions = {name: found for name, found in predictions.items() if found is not None}
    groups = _groups(finished, _validation_size(predictions))
    dataset = _dataset(runs, predictions)
    return {
        "format": FORMAT,
        "title": title or folder.resolve().name,
        "created": _last_end(folder),
        "command": command,
        "dataset": dataset,
        "protocol": list(PROTOCOL),
        "differs_all_the_same": list(DIFFERS),
        "seed_results": _seed_results(folder, runs),
        "runs": runs,
        "groups": groups,
        "pairs": _pairs(groups, predictions),
        "disagreements": _disagreements(groups, predictions, texts),
        "warnings": list(_warnings(runs, groups, dataset)),
    }


def _last_end(folder):
    """When the last run's process ended, UTC; None if the runs were not made by `kmodels compare`."""
    ends = [
        datetime.fromisoformat(outcome.started) + timedelta(seconds=outcome.seconds)
        for outcome in runner.read_outcomes(folder).values()
    ]
    return f"{max(ends):%Y-%m-%dT%H:%M:%SZ}" if ends else None


def _seed_results(folder, runs):
    """The accuracies that the architectures set out from, if the runs have the same data."""
    configs = [folder / run["name"] / records.CONFIG for run in runs]
    for config in map(records.read_object, filter(Path.is_file, configs)):
        if config.get("dataset") != "sst2" or config.get("train_file"):
            return {}
    return {name: each.seed_accuracy for name, each in ARCHITECTURES.items() if each.seed_accuracy}


def _runs(folder):
    """What each run left, by name; runs that failed before they had a folder come from runs.json."""
    outcomes = runner.read_outcomes(folder)
    names = {path.parent.name for path in folder.glob(f"*/{records.CONFIG}")}
    return [_run(folder / name, outcomes.get(name)) for name in sorted(names | set(outcomes))]


def _run(folder, outcome):
    finished = records.is_finished(folder)
    record = records.read(folder) if finished else None
    config = record.config if record else {}
    if not config and (folder / records.CONFIG).is_file():
        config = records.read_object(folder / records.CONFIG)
    known = asdict(outcome) if outcome else {}
    has_history = (folder / records.HISTORY).is_file()
    return {
        "name": folder.name,
        "model": config.get("model") or known["model"],
        "backend": config.get("backend") or known["backend"],
        "seed": config.get("seed", known.get("seed")),
        "precision": config.get("precision"),
        "status": runner.FINISHED if finished else known.get("status", runner.UNFINISHED),
        "error": None if finished else known.get("error"),
        "order": known.get("order"),
        "started": known.get("started"),
        "environment": record.environment if record else {},
        "metrics": record.metrics if record else None,
        "history": record.history if record else records.read_history(folder / records.HISTORY) if has_history else [],
    }


def _read_predictions(folder):
    path = folder / records.PREDICTIONS
    if not path.is_file():
        return None
    content = records.read_object(path)
    return {
        "label_names": content["label_names"],
        "labels": np.array(content["labels"]),
        "probabilities": np.array(content["probabilities"]),
    }


def _validation_size(predictions):
    return next((len(found["labels"]) for found in predictions.values()), None)


def _dataset(runs, predictions):
    """What can be said of the data from the records alone."""
    if not predictions:
        return {"name": "validation"}
    found = next(iter(predictions.values()))
    counts = np.bincount(found["labels"], minlength=len(found["label_names"]))
    return {
        "name": "validation",
        "validation_sentences": len(found["labels"]),
        "label_names": list(found["label_names"]),
        "majority_fraction": float(counts.max() / counts.sum()),
    }


def _groups(finished, validation_size):
    """Runs that differ in nothing but the seed, and their means."""
    groups: dict = {}
    for run in finished:
        groups.setdefault(grid.group_of(run["name"]), []).append(run)
    return [_group(name, runs, validation_size) for name, runs in groups.items()]


def _group(name, runs, validation_size):
    metrics = [run["metrics"] for run in runs]
    accuracy = _mean([each["best_validation_accuracy"] for each in metrics])
    interval = None
    if validation_size:
        interval = binomial_interval(round(accuracy["mean"] * validation_size), validation_size)
    return {
        "name": name,
        "model": runs[0]["model"],
        "backend": runs[0]["backend"],
        "precision": runs[0]["precision"],
        "runs": [run["name"] for run in runs],
        "accuracy": accuracy,
        "dev_interval": list(interval) if interval else None,
        "training_seconds": _mean([_seconds(each["training_duration"]) for each in metrics]),
        "samples_per_second": _mean([each.get("samples_per_second") for each in metrics]),
        "peak_host_MiB": _mean([each["peak_worker_0_memory_MB"] for each in metrics]),
        "peak_device_MiB": _mean([each.get("peak_gpu_0_memory_MB") for each in metrics]),
        "fraction_of_peak": (_mean([each.get("fraction_of_peak") for each in metrics]) or {}).get("mean"),
    }


def _mean(values):
    """A `kmodels.statistics.intervals.Mean` as a dict; None if one of the values was not measured."""
    return None if None in values else asdict(mean_interval(values))


def _seconds(duration):
    """The seconds in str(timedelta): "1 day, 0:00:01.5" → 86401.5."""
    days, _, clock = duration.rpartition(", ")
    hours, minutes, seconds = clock.split(":")
    whole = timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    return whole.total_seconds() + 86400 * (int(days.split()[0]) if days else 0)


def _pairs(groups, predictions):
    """Differences on the same seeds and sentences, after Holm: within a model, within a backend, and from the best."""
    found = []
    best = wording.ranked(groups)[:1]
    for a, b in itertools.combinations(groups, 2):
        if a["model"] != b["model"] and a["backend"] != b["backend"] and a not in best and b not in best:
            continue
        right_a, right_b = _right_on_same_seeds(a, b, predictions)
        if len(right_a):
            difference = paired_difference(right_a, right_b)
            of_two_runs = asdict(mcnemar(right_a[0], right_b[0])) if len(right_a) == 1 else None
            found.append({"a": a["name"], "b": b["name"], **asdict(difference), "mcnemar": of_two_runs})
    tested = [pair for pair in found if pair["p_value"] is not None]
    if tested:
        for pair, p_value in zip(tested, holm([pair["p_value"] for pair in tested])):
            pair["p_value"] = float(p_value)
            if p_value >= LEVEL:
                pair["verdict"] = NOT_SHOWN
    return found


def _right_on_same_seeds(a, b, predictions):
    """Two bool arrays (num_seeds, num_sentences): where the runs of both groups with the same seeds are right."""
    by_seed = [{name.removeprefix(group["name"]): name for name in group["runs"]} for group in (a, b)]
    shared = [seed for seed in by_seed[0] if seed in by_seed[1]]
    pairs = [[predictions.get(names[seed]) for names in by_seed] for seed in shared]
    pairs = [pair for pair in pairs if None not in pair and np.array_equal(pair[0]["labels"], pair[1]["labels"])]
    return tuple(np.array([_is_right(pair[side]) for pair in pairs]) for side in (0, 1))


def _is_right(predictions):
    return predictions["probabilities"].argmax(axis=1) == predictions["labels"]


def _disagreements(groups, predictions, texts):
    """The sentences on which groups are furthest apart, by the mean probability of the true label."""
    means = {}
    for group in groups:
        of_runs = [predictions[name] for name in group["runs"] if name in predictions]
        if of_runs:
            rows = np.arange(len(of_runs[0]["labels"]))
            means[group["name"]] = np.mean([each["probabilities"][rows, each["labels"]] for each in of_runs], axis=0)
    if len(means) < 2 or len({len(values) for values in means.values()}) > 1:
        return []
    first = next(iter(predictions.values()))
    table = np.array(list(means.values()))  # (num_groups, num_sentences)
    apart = np.argsort(table.min(axis=0) - table.max(axis=0), kind="stable")
    return [
        {
            "row": int(row),
            "text": texts[row] if texts is not None else None,
            "label": first["label_names"][first["labels"][row]],
            "probabilities": {name: float(values[row]) for name, values in means.items()},
        }
        for row in apart[:MOST_DISAGREEMENTS]
    ]


def _named(names, at_most=6):
    """a, b; the rest of a long list as a number."""
    return ", ".join(names[:at_most]) + (f" and {len(names) - at_most} more" if len(names) > at_most else "")


def _warnings(runs, groups, dataset):
    """What a reader must know before the figures."""
    few = [group["name"] for group in groups if group["accuracy"]["count"] < 3]
    if few:
        names = "all" if len(few) == len(groups) > 1 else _named(few)
        yield f"Fewer than three seeds, so little can be said of differences: {names}."
    ended = [run["name"] for run in runs if run["status"] != runner.FINISHED]
    if ended:
        yield f"Not in the comparison, for they did not finish: {_named(ended)}."
    timed = [run for run in runs if run["order"] is not None and (run["metrics"] or {}).get("samples_per_second")]
    if timed:
        names = [grid.group_of(run["name"]) for run in timed]
        found = drift(names, [run["order"] for run in timed], [run["metrics"]["samples_per_second"] for run in timed])
        if found.p_value is not None and found.p_value < LEVEL:
            change = f"{100 * found.change_per_run_fraction:+.1f} %"
            yield f"The machine drifted: from run to run its speed changed by {change}; compare times with care."
    if "majority_fraction" in dataset:
        for run in runs:
            accuracy, size = (run["metrics"] or {}).get("best_validation_accuracy"), dataset["validation_sentences"]
            if accuracy and never_converged(accuracy, dataset["majority_fraction"], size):
                yield f"{run['name']} may have learned nothing: it is no better than the most frequent label."
    devices = wording.devices(runs)
    if len(devices) > 1:
        yield f"Runs of different devices: {', '.join(sorted(map(str, devices)))}; don't compare their times."
