"""What a reader must know before the figures: the warnings of a comparison."""

from collections import Counter

from kmodels.comparison import groups as grouping
from kmodels.comparison import runner, wording
from kmodels.comparison.pairing import LEVEL
from kmodels.statistics.drift import drift
from kmodels.statistics.intervals import never_converged

OUT_OF_TURN = "The groups' runs were not made in turns, so their times are of different hours of the machine."


def warnings(runs, groups, predictions, in_turns):
    """[sentence, …].

    Args:
        runs: as of `kmodels.comparison.reading.runs`.
        groups: as `kmodels.comparison.schema` describes them.
        predictions: {name of a run: kmodels.comparison.reading.Predictions}.
        in_turns: as of `kmodels.comparison.protocol.in_turns`.
    """
    found = [
        _few_seeds(groups),
        _unfinished(runs),
        _seeds_twice(runs, groups),
        _other_sentences(predictions),
        _drifted([run for run in runs if run["status"] == runner.FINISHED]),
        OUT_OF_TURN if in_turns is False else None,
        *(_learned_nothing(run, predictions.get(run["name"])) for run in runs),
        _devices(runs),
    ]
    return [sentence for sentence in found if sentence]


def _few_seeds(groups):
    few = [group["name"] for group in groups if group["accuracy"]["count"] < 3]
    if not few:
        return None
    names = "all" if len(few) == len(groups) > 1 else _named(few)
    return f"Fewer than three seeds, so little can be said of differences: {names}."


def _unfinished(runs):
    ended = [run["name"] for run in runs if run["status"] != runner.FINISHED]
    return f"Not in the comparison, for they did not finish: {_named(ended)}." if ended else None


def _seeds_twice(runs, groups):
    seeds = {run["name"]: run["seed"] for run in runs}
    twice = []
    for group in groups:
        counts = Counter(seeds[name] for name in group["runs"])
        twice += [name for name in group["runs"] if counts[seeds[name]] > 1]
    return f"Runs of one group and one seed, which a mean over seeds counts twice: {_named(twice)}." if twice else None


def _other_sentences(predictions):
    counts = Counter(found.truth for found in predictions.values())
    if len(counts) < 2:
        return None
    (usual, _), *_ = counts.most_common()
    others = [name for name, found in predictions.items() if found.truth != usual]
    return f"Not validated on the same sentences as the others, so don't compare their accuracy: {_named(others)}."


def _drifted(finished):
    group_of = {run["name"]: name for name, several in grouping.grouped(finished).items() for run in several}
    timed = [run for run in finished if run["order"] is not None and run["metrics"].get("samples_per_second")]
    if not timed:
        return None
    names, orders = [group_of[run["name"]] for run in timed], [run["order"] for run in timed]
    found = drift(names, orders, [run["metrics"]["samples_per_second"] for run in timed])
    if found.p_value is None or found.p_value >= LEVEL:
        return None
    change = f"{100 * found.change_per_run_fraction:+.1f} %"
    return f"The machine drifted: from run to run its speed changed by {change}; compare times with care."


def _learned_nothing(run, found):
    if found is None:
        return None
    accuracy = run["metrics"]["best_validation_accuracy"]
    if not never_converged(accuracy, found.majority_fraction, len(found.labels)):
        return None
    return (
        f"{run['name']} may have learned nothing: it is not shown to be better than always answering with the most "
        "frequent label."
    )


def _devices(runs):
    devices = wording.devices(runs)
    if len(devices) < 2:
        return None
    return f"Runs of different devices: {', '.join(sorted(map(str, devices)))}; don't compare their times."


def _named(names, at_most=6):
    """a, b; the rest of a long list as a number."""
    return ", ".join(names[:at_most]) + (f" and {len(names) - at_most} more" if len(names) > at_most else "")
