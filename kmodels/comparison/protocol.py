"""How the runs of a comparison were made, as far as their records show it; what they do not show is not said."""

from collections import Counter

from kmodels.comparison import runner
from kmodels.comparison.groups import grouped, settings

PROCESSES = "Each run is a fresh process that loads one framework; memory is that process's own high-water mark."
WEIGHTS = "The same seed gives the same initial weights on every backend."
BATCHES = "The same seed gives the same initial weights and the same batches in the same order on every backend."
TIMED = "First batches are timed apart, as compilation; speeds are of all others, real tokens only."
TURNS = "The runs were made in turns: every group had its first before one had its second, and so on."
MONITORS = {
    "accuracy": "Accuracy is of the epoch with the highest validation accuracy.",
    "loss": "Accuracy is of the epoch with the lowest validation loss.",
}
EACH_MONITOR = "Accuracy is of the best epoch by each run's own monitor."
# What decides the batches of a seed, beside the model's own tokens; num_buckets is its own on each backend if left out.
OF_BATCHES = (
    *("num_buckets", "batch_size", "max_length", "max_train_examples", "workers", "vocabulary_size", "preset"),
    *("embeddings", "dataset", "train_file", "text_column", "label_column"),
)
DROPOUT = "Dropout masks: each backend draws its own numbers."
KERNELS = "Kernels: the LSTM's and the attention's are each framework's own, fused where it fuses them."
STEPS = {
    "jax": "JAX compiles each length once and keeps it on disk",
    "tensorflow": "TensorFlow traces once",
    "torch": "PyTorch runs step by step",
}


def same(runs, in_turns):
    """What was the same for all runs: [sentence, …].

    Args:
        runs: as of `kmodels.comparison.reading.runs`.
        in_turns: as of the function of that name.
    """
    finished = [run for run in runs if run["status"] == runner.FINISHED]
    if not finished:
        return []
    found = [
        PROCESSES if all(run["started"] for run in runs) else None,
        BATCHES if _has_same_batches(finished) else WEIGHTS,
        _number_formats(finished),
        _cores(finished),
        TIMED if all(_is_timed(run["metrics"]) for run in finished) else None,
        TURNS if in_turns else None,
        _monitor(finished),
    ]
    return [sentence for sentence in found if sentence]


def differs(runs):
    """What differed between backends all the same: [sentence, …]; nothing if the finished runs have one."""
    backends = sorted({run["backend"] for run in runs if run["status"] == runner.FINISHED})
    if len(backends) < 2:
        return []
    steps = "; ".join(STEPS[name] for name in backends if name in STEPS)
    return [DROPOUT, KERNELS, *([f"{steps}."] if steps else [])]


def in_turns(runs):
    """Did the groups' runs take turns, so that they share the hours of the machine?

    They did if at no time a group with runs to come was more than one run behind another; a run that failed or did not
    finish had its turn. What took its turn again is where it was made last.

    Args:
        runs: as of `kmodels.comparison.reading.runs`.

    Returns:
        True or False; None where there is one group, or a finished run's time is not known.
    """
    if any(run["order"] is None for run in runs if run["status"] == runner.FINISHED):
        return None
    made = sorted((run for run in runs if run["order"] is not None), key=lambda run: run["order"])
    group_of = {run["name"]: name for name, several in grouped(made).items() for run in several}
    left = Counter(group_of.values())
    if len(left) < 2:
        return None
    turns = dict.fromkeys(left, 0)
    for run in made:
        name = group_of[run["name"]]
        turns[name] += 1
        left[name] -= 1
        if any(left[other] and turns[other] < turns[name] - 1 for other in turns):
            return False
    return True


def _has_same_batches(finished):
    """True if runs of a model had the same batches for the same seed, whatever their backend."""
    found: dict = {}
    for run in finished:
        values = settings(run)
        found.setdefault(run["model"], set()).add(tuple(values.get(name) for name in OF_BATCHES))
    return all(len(kinds) == 1 and next(iter(kinds))[0] is not None for kinds in found.values())


def _number_formats(finished):
    found = {run["precision"] for run in finished}
    if found & {None, "auto"}:
        return None
    if found == {"float32"}:
        return "Numbers are float32 in every run, and float32 products are float32 (no TF32)."
    return f"Number formats are set, not left to a framework: {', '.join(sorted(found))}."


def _cores(finished):
    found = {run["cores"] for run in finished}
    if None in found or len(found) > 1:
        return None
    (cores,) = found
    return f"Every run had {'1 core' if cores == 1 else f'{cores} cores'}, and as many threads."


def _is_timed(metrics):
    return metrics.get("compile_seconds") is not None and metrics.get("samples_per_second") is not None


def _monitor(finished):
    found = {settings(run).get("monitor") for run in finished}
    return EACH_MONITOR if len(found) > 1 else MONITORS.get(found.pop())
