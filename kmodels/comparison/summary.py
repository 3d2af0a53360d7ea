"""From the runs in a folder to a comparison: what was compared, on what, and what can be said about it.

The result is described in `kmodels.comparison.schema`.
"""

from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

from kmodels import records
from kmodels.architectures import ARCHITECTURES
from kmodels.comparison import caveats, groups, pairing, protocol, reading, runner, schema
from kmodels.errors import InputError
from kmodels.statistics.intervals import binomial_interval, mean_interval


def summarize(output_dir, title=None, command=None, texts=None):
    """The comparison of all runs in a folder.

    Args:
        output_dir: a folder of runs, as `kmodels compare` leaves them or made one by one.
        title: of the report; default: the folder's name.
        command: the command lines that made the runs, one a line.
        texts: [(validation sentence, name of its label), …], to show where models disagree; None: numbers only.

    Returns:
        A dict as `kmodels.comparison.schema` has it.

    Raises:
        InputError: no runs there, a record is damaged, or the texts are not those that the runs were validated on.
    """
    folder = Path(output_dir)
    runs = _runs(folder)
    finished = [run for run in runs if run["status"] == runner.FINISHED]
    predictions = _predictions(folder, finished)
    texts = _checked_texts(texts, predictions)
    in_turns = protocol.in_turns(runs)
    found = [_group(name, several, predictions) for name, several in groups.grouped(finished).items()]
    pairs, num_tested_pairs = pairing.pairs(found, runs, predictions)
    return {
        "format": schema.FORMAT,
        "title": title or folder.resolve().name,
        "created": _last_end(folder),
        "command": command,
        "dataset": _dataset(runs, predictions),
        "protocol": protocol.same(runs, in_turns),
        "differs_all_the_same": protocol.differs(runs),
        "in_turns": in_turns,
        "seed_results": _seed_results(runs),
        "runs": [{key: value for key, value in run.items() if key != "config"} for run in runs],
        "groups": found,
        "pairs": pairs,
        "num_tested_pairs": num_tested_pairs,
        "disagreements": pairing.disagreements(found, predictions, texts),
        "warnings": caveats.warnings(runs, found, predictions, in_turns),
    }


def _runs(folder):
    found = reading.runs(folder)
    if not found:
        raise InputError(f"{folder} holds no runs: none of its folders has {records.CONFIG}")
    return found


def _predictions(folder, finished):
    """{name of a run: kmodels.comparison.reading.Predictions} of those that wrote them."""
    found = {run["name"]: reading.predictions(folder / run["name"]) for run in finished}
    return {name: each for name, each in found.items() if each is not None}


def _checked_texts(texts, predictions):
    """The sentences alone, if they have the labels that the runs were validated on; the records hold no texts."""
    if texts is None:
        return None
    labels = tuple(label for _, label in texts)
    for name, found in predictions.items():
        if found.truth != labels:
            others = "in another order or with other labels" if len(labels) == len(found.truth) else f"{len(labels):,}"
            raise InputError(
                f"--texts needs the sentences that the runs were validated on; {name} had {len(found.truth):,}, now "
                f"they are {others}; give the same data, or leave --texts out"
            )
    return [text for text, _ in texts]


def _last_end(folder):
    """When the last run's process ended, UTC; None if the runs were not made by `kmodels compare`."""
    ends = [
        datetime.fromisoformat(outcome.started) + timedelta(seconds=outcome.seconds)
        for outcome in runner.read_outcomes(folder).values()
    ]
    return max(ends).strftime(runner.MOMENT) if ends else None


def _seed_results(runs):
    """The accuracies that the architectures set out from, if the runs have the same data."""
    for config in (run["config"] for run in runs if run["config"]):
        if config.get("dataset") != "sst2" or config.get("train_file"):
            return {}
    return {name: each.seed_accuracy for name, each in ARCHITECTURES.items() if each.seed_accuracy}


def _dataset(runs, predictions):
    """What the records say of the data; of sentences and labels, where all runs have the same."""
    names = {_data_name(groups.settings(run)) for run in runs if run["config"]}
    found = {"name": ", ".join(sorted(names)) or None}
    if len({each.truth for each in predictions.values()}) != 1:
        return found
    first = next(iter(predictions.values()))
    return found | {
        "validation_sentences": len(first.labels),
        "label_names": list(first.label_names),
        "majority_fraction": first.majority_fraction,
    }


def _data_name(settings):
    file = settings.get("validation_file")
    return Path(file).name if file else settings["dataset"]


def _group(name, runs, predictions):
    metrics = [run["metrics"] for run in runs]
    accuracy = _mean([each["best_validation_accuracy"] for each in metrics])
    sizes = {len(predictions[run["name"]].labels) for run in runs if run["name"] in predictions}
    size = sizes.pop() if len(sizes) == 1 else None
    return {
        "name": name,
        "model": runs[0]["model"],
        "backend": runs[0]["backend"],
        "precision": runs[0]["precision"],
        "runs": [run["name"] for run in runs],
        "accuracy": accuracy,
        "dev_interval": list(binomial_interval(round(accuracy["mean"] * size), size)) if size else None,
        "training_seconds": _mean([reading.seconds(each["training_duration"]) for each in metrics]),
        "samples_per_second": _mean([each.get("samples_per_second") for each in metrics]),
        "peak_host_MiB": _mean([each["peak_worker_0_memory_MB"] for each in metrics]),
        "peak_device_MiB": _mean([each.get("peak_gpu_0_memory_MB") for each in metrics]),
        "fraction_of_peak": _median([each.get("fraction_of_peak") for each in metrics]),
    }


def _mean(values):
    """A `kmodels.statistics.intervals.Mean` as a dict; None if one of the values was not measured."""
    return None if None in values else asdict(mean_interval(values))


def _median(values):
    """The median, which one run whose matrix product was disturbed does not move; None if a value was not measured."""
    return None if None in values else median(values)
