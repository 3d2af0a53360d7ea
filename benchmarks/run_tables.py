"""The rows of tables that are made of runs in results/: one function each, the heading first."""

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "results"
MODELS = ("textcnn", "bilstm", "bert_base_pool", "bert_large_pool", "bert_base_lstm", "roberta_pool")


def runs(folders="sst2*/*"):
    """[(config, environment, metrics), …] of the runs in some folders of results/, by model, start and backend."""
    found = []
    for folder in sorted(path.parent for path in RESULTS.glob(f"{folders}/metrics.json")):
        files = ("config", "environment", "metrics")
        found.append(tuple(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in files))
    return sorted(found, key=lambda run: (MODELS.index(run[0]["model"]), start(run[0]), run[0]["backend"]))


def start(config):
    """What a run starts from, in words."""
    if config.get("embeddings"):
        return f"{config['embeddings'].rpartition('/')[2]}'s word vectors"
    return (config["preset"] or "random vectors").rpartition("/")[2]


def best_per_model():
    """A row for each architecture and start: the mean over backends and seeds, beside the seed's figure."""
    seed = read("seed.json")
    groups = {}
    for config, _, metrics in runs():
        groups.setdefault((config["model"], start(config)), []).append((config, metrics))
    yield "model", "starts from", "runs (backends)", "best dev accuracy: mean (range)", "set out from", "parameters"
    for (model, origin), group in groups.items():
        values = [metrics["best_validation_accuracy"] for _, metrics in group]
        backends = ", ".join(sorted({config["backend"] for config, _ in group}))
        mean = sum(values) / len(values)
        accuracy = f"{mean:.4f}" if len(values) == 1 else f"{mean:.4f} ({min(values):.4f} to {max(values):.4f})"
        published = f"{seed[model]['best_validation_accuracy']:.4f}"
        parameters = f"{group[0][1]['num_parameters'] / 1e6:.1f} M"
        yield f"`{model}`", origin, f"{len(group)} ({backends})", accuracy, published, parameters


def every_run():
    """A row for each run in results/sst2*."""
    yield (
        "model",
        "starts from",
        "backend",
        "precision",
        "seed",
        "best epoch",
        "accuracy",
        "loss",
        "peak host MiB",
        "time",
    )
    for config, _, metrics in runs():
        yield (
            f"`{config['model']}`",
            start(config),
            config["backend"],
            config["precision"],
            config["seed"],
            f"{metrics['best_epoch']} of 0 to {metrics['epoch']}",
            f"{metrics['best_validation_accuracy']:.4f}",
            f"{metrics['best_validation_loss']:.4f}",
            f"{metrics['peak_worker_0_memory_MB']:,.0f}",
            metrics["training_duration"].partition(".")[0],
        )


def gpu_runs():
    """A row for each run in results/h100: its memory beside that of the seed's run."""
    yield (
        "model",
        "starts from",
        "backend",
        "precision",
        "batch",
        "peak GPU MiB",
        "by the driver",
        "the seed's",
        "peak host MiB",
        "the seed's",
        "dev accuracy",
    )
    seed = read("seed.json")
    for config, _, metrics in runs("h100/*"):
        theirs = seed[config["model"]]
        memory = (metrics["peak_gpu_0_memory_MB"], metrics["nvml_gpu_0_memory_MB"], theirs["peak_gpu_0_memory_MB"])
        host = (record["peak_worker_0_memory_MB"] for record in (metrics, theirs))
        of = (f"{config[name]}" for name in ("backend", "precision", "batch_size"))
        learned = metrics["best_validation_accuracy"]
        yield (
            f"`{config['model']}`",
            start(config),
            *of,
            *(f"{size:,.0f}" for size in (*memory, *host)),
            f"{learned:.4f}",
        )


def two_workers():
    """A row for each figure of the runs in results/workers, beside that of the seed's run on two workers."""
    found, seed = runs("workers/*"), read("seed.json")["bilstm"]
    yield "figure", *(f"`{config['model']}` on {config['backend']}" for config, _, _ in found), "the seed's"
    records = [*(metrics for _, _, metrics in found), seed]
    formats = {"best_validation_accuracy": ".4f", "best_validation_loss": ".4f", "best_epoch": "", "epoch": ""}
    formats |= {f"peak_worker_{rank}_memory_MB": ",.0f" for rank in (0, 1)}
    for name, style in formats.items():
        yield f"`{name}`", *(f"{record[name]:{style}}" for record in records)
    yield "`training_duration`", *(record["training_duration"].partition(".")[0] for record in records)


def grid():
    """A row for each group of results/sst2, the best first."""
    yield (
        "model",
        "backend",
        "dev accuracy: mean ± s. d.",
        "95 % over sentences",
        "training",
        "peak host MiB",
        "of peak",
    )
    comparison = read("sst2/comparison.json")
    for group in sorted(comparison["groups"], key=lambda group: -group["accuracy"]["mean"]):
        accuracy, (low, high) = group["accuracy"], group["dev_interval"]
        minutes, seconds = divmod(round(group["training_seconds"]["mean"]), 60)
        yield (
            f"`{group['model']}`",
            group["backend"],
            f"{accuracy['mean']:.4f} ± {accuracy['standard_deviation']:.4f}",
            f"{low:.3f} to {high:.3f}",
            f"{minutes} min {seconds:02d} s",
            f"{group['peak_host_MiB']['mean']:,.0f}",
            f"{group['fraction_of_peak']:.0%}",
        )


def read(name):
    """The value in a JSON file of results/."""
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))
