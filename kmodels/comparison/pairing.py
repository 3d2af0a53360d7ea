"""Groups against each other, on the same seeds and the same sentences."""

import itertools
from dataclasses import asdict

import numpy as np

from kmodels.comparison import wording
from kmodels.statistics.pairs import NOT_SHOWN, holm, mcnemar, paired_difference

MOST_DISAGREEMENTS = 20
LEVEL = 0.05


def pairs(groups, runs, predictions):
    """Differences after Holm, and how many pairs they are corrected for.

    Every pair of groups that share two seeds or more is tested, and corrected for as one of these. Shown are those
    within a model, those within a backend, and those with the best group: which these are, the figures themselves
    decide, so to correct for the shown ones alone would promise too much.

    Args:
        groups, runs: as `kmodels.comparison.schema` describes them.
        predictions: {name of a run: kmodels.comparison.reading.Predictions}.

    Returns:
        ([pair as kmodels.comparison.schema describes it, …], number of pairs that were tested).
    """
    seeds = {run["name"]: run["seed"] for run in runs}
    found = [_pair(a, b, seeds, predictions) for a, b in itertools.combinations(groups, 2)]
    tested = [pair for pair in found if pair and pair["p_value"] is not None]
    for pair, p_value in zip(tested, holm([pair["p_value"] for pair in tested])):
        pair["p_value"] = float(p_value)
        if p_value >= LEVEL:
            pair["verdict"] = NOT_SHOWN
    best = wording.ranked(groups)[:1]
    shown = [
        a["model"] == b["model"] or a["backend"] == b["backend"] or a in best or b in best
        for a, b in itertools.combinations(groups, 2)
    ]
    return [pair for pair, is_shown in zip(found, shown) if pair and is_shown], len(tested)


def _pair(a, b, seeds, predictions):
    """The difference of two groups; None if no seed was run in both on the same sentences."""
    right_a, right_b = _right_on_same_seeds(a, b, seeds, predictions)
    if not len(right_a):
        return None
    of_two_runs = asdict(mcnemar(right_a[0], right_b[0])) if len(right_a) == 1 else None
    return {"a": a["name"], "b": b["name"], **asdict(paired_difference(right_a, right_b)), "mcnemar": of_two_runs}


def _right_on_same_seeds(a, b, seeds, predictions):
    """Two bool arrays (num_seeds, num_sentences): where the runs of both groups with the same seeds are right."""
    by_seed = [{seeds[name]: predictions.get(name) for name in reversed(group["runs"])} for group in (a, b)]
    shared = sorted(seed for seed in by_seed[0] if seed is not None and seed in by_seed[1])
    both = [[found[seed] for found in by_seed] for seed in shared]
    both = [two for two in both if None not in two and two[0].truth == two[1].truth]
    both = [two for two in both if both[0][0].truth == two[0].truth]
    return tuple(np.array([two[side].is_right for two in both]) for side in (0, 1))


def disagreements(groups, predictions, texts):
    """The sentences on which groups are furthest apart, by the mean probability of the true label.

    Args:
        groups, predictions: as of `pairs`.
        texts: [sentence, …]; None to show their numbers only.

    Returns:
        [sentence as kmodels.comparison.schema describes it, …]; none where runs were validated on different sentences.
    """
    means = {}
    for group in groups:
        of_runs = [predictions[name].of_truth for name in group["runs"] if name in predictions]
        if of_runs:
            means[group["name"]] = of_runs
    if len(means) < 2 or len({found.truth for found in predictions.values()}) > 1:
        return []
    table = np.array([np.mean(of_runs, axis=0) for of_runs in means.values()])  # (num_groups, num_sentences)
    apart = np.argsort(table.min(axis=0) - table.max(axis=0), kind="stable")
    truth = next(iter(predictions.values())).truth
    return [
        {
            "row": int(row),
            "text": texts[row] if texts is not None else None,
            "label": truth[row],
            "probabilities": {name: float(values[row]) for name, values in zip(means, table)},
        }
        for row in apart[:MOST_DISAGREEMENTS]
    ]
