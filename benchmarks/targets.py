"""What figures of benchmarks/speed.py say of each aim that was set for kmodels' speed: a row a ratio, time or part."""

import statistics
from typing import NamedTuple

WORD_MODELS = ("textcnn", "bilstm")
BACKENDS = ("jax", "tensorflow", "torch")
PRECISIONS = {"float32": "float32", "mixed_bfloat16": "bfloat16"}  # kmodels' names and Trainer's


class Row(NamedTuple):
    """One aim.

    Attributes:
        what: is measured.
        bound: it should be; at least this, or at most.
        values: of the turns.
        unit: "×", "s", "MiB", "" for a part of one.
        at_least: False if the bound is from above.
    """

    what: str
    bound: float
    values: list
    unit: str = "×"
    at_least: bool = True

    @property
    def reached(self):
        middle = statistics.median(self.values)
        return middle >= self.bound if self.at_least else middle <= self.bound

    @property
    def aim(self):
        return f"{'at least' if self.at_least else 'at most'} {self._shown(self.bound)}{self.unit and ' ' + self.unit}"

    @property
    def measured(self):
        """The median, the range, and whether the aim is missed, as text."""
        middle, least, most = (self._shown(of(self.values)) for of in (statistics.median, min, max))
        spread = f" ({least} to {most})" if len(self.values) > 1 else ""
        return middle + spread + ("" if self.reached else ", **missed**")

    def _shown(self, value):
        if self.unit == "":
            return f"{value:.1%}"
        return f"{value:.2f}" if self.unit != "MiB" else f"{value:,.0f}"


def rows(found):
    """Every Row that `found`, the content of such a file, has figures for."""
    parts = {"encoder": encoder, "words": words, "peak": peak, "start": start, "tokens": tokens, "memory": memory}
    for name, part in parts.items():
        if name in found:
            yield from part(found[name]["turns"])


def encoder(turns):
    """Fine-tuning beside transformers' Trainer and KerasHub's classifier, as far as these had their turns."""
    ours, trainers = _names(turns, "kmodels"), _names(turns, "Trainer")
    on_gpu = "NVIDIA" in turns[0][ours[0]]["environment"]["device"]
    if trainers:
        best = [_least(turn, trainers, "seconds") / _least(turn, ours, "seconds") for turn in turns]
        yield Row("best backend ÷ Trainer at its best precision, end to end", 2.0 if on_gpu else 1.2, best)
    for name in ours:
        _, backend, precision = name.split()
        trainer = f"Trainer {PRECISIONS[precision]}"
        if trainer in trainers:
            ratios = [_cells_per_second(turn[name]) / _cells_per_second(turn[trainer]) for turn in turns]
            yield Row(f"{backend} ÷ Trainer, steady steps, same padding, {PRECISIONS[precision]}", 1.0, ratios)
    guide = "BertTextClassifier float32"
    if guide in turns[0]:
        ratios = [_most(turn, ours, "steady_per_second") / turn[guide]["steady_per_second"] for turn in turns]
        yield Row("best backend ÷ KerasHub's BertTextClassifier as its guide has it, steady steps", 10, ratios)
    yield from _batches("six-layer encoder", turns, ours)


def words(turns):
    """The models over words beside PyTorch by hand."""
    for model in WORD_MODELS:
        ours, by_hand = _names(turns, f"{model}, kmodels"), f"{model}, PyTorch by hand"
        best = [turn[by_hand]["seconds"] / _least(turn, ours, "seconds") for turn in turns]
        yield Row(f"{model}: best backend ÷ PyTorch by hand, end to end", 2.0, best)
        torch = [turn[by_hand]["seconds"] / turn[f"{model}, kmodels torch"]["seconds"] for turn in turns]
        yield Row(f"{model}: torch ÷ PyTorch by hand, end to end", 1.0, torch)
        steady = [turn[f"{model}, kmodels torch"]["steady_per_second"] for turn in turns]
        steady = [each / turn[by_hand]["steady_per_second"] for each, turn in zip(steady, turns, strict=True)]
        yield Row(f"{model}: torch ÷ PyTorch by hand, steady steps", 1.0, steady)
        yield from _batches(model, turns, ours)
    for backend in BACKENDS:
        times = [turn[f"textcnn, kmodels {backend}"]["first_step_seconds"] for turn in turns]
        yield Row(f"textcnn on {backend}: from the process's start to its first step's end", 6, times, "s", False)


def peak(turns):
    """BERT base's shapes beside the device's own matrix product."""
    for name in _names(turns, "kmodels"):
        _, backend, precision = name.split()
        bound = 0.85 if precision == "float32" and backend != "torch" else 0.6
        parts = [turn[name]["fraction_of_peak"] for turn in turns]
        yield Row(f"BERT base on {backend}, {PRECISIONS[precision]}: part of the matrix-product rate", bound, parts, "")


def start(turns):
    """BERT base from the process's start to its first step's end."""
    for backend in BACKENDS:
        times = [turn[f"kmodels {backend}"]["first_step_seconds"] for turn in turns]
        what = f"BERT base on {backend}: from the process's start to its first step's end"
        first, later = (times[:1], times[1:]) if backend == "jax" else (times, [])
        yield Row(what, 25, first, "s", False)
        if later:
            yield Row(f"{what}, compiled before", 12, later, "s", False)


def tokens(turns):
    """SST-2's 67,349 sentences to token ids."""
    for name in turns[0]:
        what = name.partition(",")[0]
        yield Row(f"SST-2 to {what}, first time", 2.5, [turn[name]["first_seconds"] for turn in turns], "s", False)
        cached = [turn[name]["cached_seconds"] for turn in turns]
        yield Row(f"SST-2 to {what}, from the cache", 0.1, cached, "s", False)


def memory(turns):
    """Peak host memory over a process that does nothing but Keras's `fit` of the model."""
    for name in turns[0]:
        if "kmodels" in name:
            bare = name.replace("kmodels", "bare")
            more = [turn[name]["peak_MiB"] - turn[bare]["peak_MiB"] for turn in turns]
            yield Row(f"{name.replace(', kmodels', ' on')}: host memory over Keras's bare fit", 150, more, "MiB", False)


def _batches(what, turns, names):
    real = [min(turn[name]["real_token_fraction"] for name in names) for turn in turns]
    yield Row(f"{what}: tokens that are real", 0.9, real, "")
    waiting = [max(turn[name]["input_fraction"] for name in names) for turn in turns]
    yield Row(f"{what}: assembling batches, part of a steady step", 0.02, waiting, "", False)


def _cells_per_second(figures):
    """Speed by tokens and padding, so that who pads less is not the faster one for that."""
    return figures["steady_per_second"] / figures["real_token_fraction"]


def _names(turns, beginning):
    return [name for name in turns[0] if name.startswith(beginning)]


def _least(turn, names, key):
    return min(turn[name][key] for name in names)


def _most(turn, names, key):
    return max(turn[name][key] for name in names)
