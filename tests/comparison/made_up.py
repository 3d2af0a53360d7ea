"""A comparison that nobody ran: 2 models × 3 backends × 3 seeds, a failed and an unfinished run, and hostile texts."""

import json
import math
from statistics import fmean, stdev

EVIL = "<img src=x onerror=\"document.title='hacked'\">"
EVIL_TEXTS = (
    EVIL,
    "</script><script>document.title='hacked'</script>",
    "</title></svg><svg onload=\"document.title='hacked'\">",
    "javascript:document.title='hacked'",
    "a | b || c",
    "`code` ```fence``` ~~~",
    "NUL \0 and \x1b[31m and \ud800 half a pair",
    "[link](javascript:alert(1)) ![image](http://example.invalid/x.png) www.example.invalid",
    "{{ 7 * 7 }} {% raw %} ]]> --> & &lt; \" '",
    "* item\n# heading\n\n- other",
)
MODELS = {"textcnn": (0.83, 60.0, 2500.0), "bilstm": (0.845, 700.0, 900.0)}
BACKENDS = {"jax": (0.0, 1.0, 1.3), "tensorflow": (0.004, 1.3, 1.2), "torch": (-0.003, 2.1, 0.8)}
SEEDS = (1, 2, 3)


def comparison():
    """The whole of it, harmless texts only."""
    runs = [run(model, backend, seed) for model in MODELS for backend in BACKENDS for seed in SEEDS]
    groups = [group(model, backend, runs) for model in MODELS for backend in BACKENDS]
    for order, each in enumerate(runs):
        each["order"] = order
    for seed, status, error in ((4, "failed", "the loss was not finite at epoch 1, step 20"), (5, "unfinished", None)):
        stopped = run("textcnn", "jax", seed) | {"status": status, "error": error, "metrics": None, "order": 15 + seed}
        stopped["history"] = stopped["history"][:2]
        runs.append(stopped)
        groups[0]["runs"].append(stopped["name"])
    names = [each["name"] for each in groups]
    return {
        "format": 1,
        "title": "TextCNN and BiLSTM on three backends",
        "created": "2026-01-01T10:00:00Z",
        "command": "kmodels compare --models=textcnn,bilstm --backends=jax,tensorflow,torch --seeds=1,2,3",
        "dataset": {
            "name": "sst2",
            "train_sentences": 67349,
            "validation_sentences": 872,
            "label_names": ["negative", "positive"],
            "majority_fraction": 0.509,
        },
        "protocol": ["One process a run, one framework in it.", "The same initial weights and batches for each seed."],
        "differs_all_the_same": ["Attention kernels: each backend brings its own."],
        "seed_results": {"textcnn": 0.8073, "bilstm": 0.8291},
        "runs": runs,
        "groups": groups,
        "pairs": [pair(a, b, groups) for number, a in enumerate(names) for b in names[number + 1 :]],
        "disagreements": [
            {
                "row": row,
                "text": sentence,
                "label": ("negative", "positive")[row % 2],
                "probabilities": {name: abs(math.sin(row + 2 * place)) for place, name in enumerate(names)},
            }
            for row, sentence in (
                (17, "a gorgeous , witty , seductive movie ."),
                (
                    204,
                    "it 's a charming and often affecting journey that no one will remember by the end of the week .",
                ),
                (511, None),
            )
        ],
        "warnings": ["2 of 20 runs did not finish.", "The machine was shared while textcnn-torch-seed-2 ran."],
    }


def run(model, backend, seed):
    """A run that finished, as an entry of "runs"."""
    accuracy, seconds, speed = MODELS[model]
    shift, slower, memory = BACKENDS[backend]
    luck = math.sin(7 * seed + 3 * slower)
    top = accuracy + shift + 0.004 * luck
    epochs = [epoch(number, top, seconds * slower * (1 + 0.04 * luck) / 8) for number in range(8)]
    best = max(epochs, key=lambda line: line["validation_accuracy"])
    return {
        "name": f"{model}-{backend}-seed-{seed}",
        "model": model,
        "backend": backend,
        "seed": seed,
        "precision": "float32",
        "status": "finished",
        "error": None,
        "order": None,
        "started": f"2026-01-01T1{seed}:00:00Z",
        "environment": {
            "backend": backend,
            "device": "AMD EPYC",
            "cores": 2,
            "keras": "3.15.1",
            backend: "2.1.0",
            "python": "3.11.7",
        },
        "metrics": {
            "best_epoch": best["epoch"],
            "best_validation_accuracy": best["validation_accuracy"],
            "best_validation_loss": best["validation_loss"],
            "training_duration": "0:01:02.123456",
            "peak_worker_0_memory_MB": 800 * memory + 20 * seed,
            "samples_per_second": speed / slower * (1 + 0.03 * luck),
            "compile_seconds": 3.2,
            "num_parameters": 2516866,
        },
        "history": epochs,
    }


def epoch(number, top, seconds):
    """A line of a history that rises, then overfits."""
    return {
        "epoch": number,
        "training_loss": 0.69 * math.exp(-0.5 * number),
        "training_accuracy": 1 - 0.4 * math.exp(-0.5 * number),
        "validation_loss": 1.3 - top + 0.03 * (number - 2) ** 2 * (top / 0.83) ** 8,
        "validation_accuracy": top - 0.08 * math.exp(-number) - 0.001 * number,
        "epoch_seconds": seconds,
    }


def group(model, backend, runs):
    """The finished runs of a model on a backend, as an entry of "groups"."""
    found = [each for each in runs if (each["model"], each["backend"]) == (model, backend)]
    metrics = [each["metrics"] for each in found]
    accuracy = figure([each["best_validation_accuracy"] for each in metrics])
    return {
        "name": f"{model}-{backend}",
        "model": model,
        "backend": backend,
        "precision": "float32",
        "runs": [each["name"] for each in found],
        "accuracy": accuracy,
        "dev_interval": [accuracy["mean"] - 0.025, accuracy["mean"] + 0.024],
        "training_seconds": figure([sum(line["epoch_seconds"] for line in each["history"]) for each in found]),
        "samples_per_second": figure([each["samples_per_second"] for each in metrics]),
        "peak_host_MiB": figure([each["peak_worker_0_memory_MB"] for each in metrics]),
        "peak_device_MiB": None,
        "fraction_of_peak": 0.31 if model == "bilstm" else None,
    }


def figure(values):
    """A figure over runs."""
    mean = fmean(values)
    if len(values) == 1:
        return {"count": 1, "mean": mean, "standard_deviation": None, "low": None, "high": None}
    half = 2.48 * stdev(values)
    return {
        "count": len(values),
        "mean": mean,
        "standard_deviation": stdev(values),
        "low": mean - half,
        "high": mean + half,
    }


def pair(a, b, groups):
    """Two groups against each other, as an entry of "pairs"."""
    means = {each["name"]: each["accuracy"]["mean"] for each in groups}
    difference = means[a] - means[b]
    verdict = "no difference shown" if abs(difference) < 0.01 else "better" if difference > 0 else "worse"
    return {
        "a": a,
        "b": b,
        "difference": difference,
        "low": difference - 0.01,
        "high": difference + 0.01,
        "p_value": min(1.0, math.exp(-abs(difference) * 400)),
        "verdict": verdict,
    }


def one_run():
    """A comparison of one finished run."""
    found = comparison()
    found["runs"] = found["runs"][:1]
    found["groups"] = [group("textcnn", "jax", found["runs"])]
    return found | {"pairs": [], "disagreements": []}


def long_names():
    """Groups of one model on two backends, told apart by settings whose names and values are long."""
    settings = "learning_rate=0.0003, ema_momentum=0.999, validation_file=reviews-of-the-year-2024-final.tsv and 3 more"
    text = json.dumps(comparison())
    for model in MODELS:
        for backend in BACKENDS:
            base = f'"{model}-{backend}"'
            text = text.replace(base, f'"bert_base_{model}-{backend} ({settings}{len(model)})"')
    return json.loads(text)


def hostile():
    """The same comparison, every text in it hostile, every name a different one."""
    found = comparison()
    names = {}

    def evil(text, place):
        if text not in names:
            names[text] = f"{EVIL_TEXTS[len(names) % len(EVIL_TEXTS)]} {place} {len(names)}"
        return names[text]

    return _replaced(found, evil, "")


KEPT = ("status", "verdict")


def _replaced(value, evil, place):
    if isinstance(value, str):
        return value if place in KEPT else evil(value, place)
    if isinstance(value, list):
        return [_replaced(entry, evil, place) for entry in value]
    if isinstance(value, dict):
        named = place in ("seed_results", "probabilities", "environment")
        return {evil(key, place) if named else key: _replaced(entry, evil, key) for key, entry in value.items()}
    return value
