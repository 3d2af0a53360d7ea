"""Writes the tables in README.md, in docs/ and in results/README.md from the records in results/.

    python benchmarks/tables.py

A table stands between the lines <!-- table: NAME --> and <!-- end of table -->; all else in a file stays.
"""

import json
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
RESULTS = ROOT / "results"
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
    yield "model", "starts from", "runs (backends)", "best dev accuracy: mean (range)", "the seed's run", "parameters"
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


def full_size():
    """A row for each model and backend of results/full_size.json."""
    yield "model", "parameters", "backend", "precision", "batch", "peak host MiB"
    for row in read("full_size.json"):
        shape = f"{row['batch_size']} × {row['length']}"
        parameters = f"{row['num_parameters'] / 1e6:.1f} M"
        yield f"`{row['model']}`", parameters, row["backend"], row["precision"], shape, f"{row['peak_host_MB']:,.0f}"


def kill():
    """A row for each backend of results/kill.json."""
    yield "backend", "kills", "before the first new step was saved", "inside a save", "same bits as undisturbed"
    for row in read("kill.json")["rows"]:
        bits = "yes" if row["same_bits"] else "no"
        yield row["backend"], row["kills"], row["before_training"], row["inside_saves"], bits


def checkpoint_cost():
    """A row for each architecture of results/checkpoint_cost.json."""
    yield "model", "MiB", "training waits: median (range)", "until it is on the disk"
    for row in read("checkpoint_cost.json")["rows"]:
        least, most = row["wait_seconds_range"]
        wait = f"{row['wait_seconds']:.2f} s ({least:.2f} to {most:.2f})"
        yield f"`{row['model']}`", f"{row['mebibytes']:,.0f}", wait, f"{row['disk_seconds']:.2f} s"


def deterministic_cost():
    """A row for each backend and model of results/deterministic_cost.json."""
    yield "backend", "model", "speed with it, of that without: median (range)"
    for row in read("deterministic_cost.json")["rows"]:
        least, most = row["speed_ratio_range"]
        yield row["backend"], f"`{row['model']}`", f"{row['speed_ratio']:.2f} ({least:.2f} to {most:.2f})"


def expected_scaling():
    """A row for each of two encoders and number of devices: what links of three speeds leave of a device's time."""
    from benchmarks.full_size import SIZES
    from benchmarks.scaling import LINKS, efficiency

    yield "model", "devices", *(f"{link}, an update after 1 / 8 batches" for link in LINKS)
    parameters = {row["model"]: row["num_parameters"] for row in read("full_size.json")}
    for model in ("bert_base_pool", "roberta_pool"):
        in_tables = SIZES[model]["vocabulary_size"] * SIZES[model]["dim"]
        for devices in (8, 64, 512):
            cells = []
            for bandwidth in LINKS.values():
                sizes = (parameters[model] - in_tables, 4 * parameters[model], 32 * 32, devices, bandwidth)
                cells.append(f"{efficiency(*sizes):.0%} / {efficiency(*sizes, accumulation=8):.0%}")
            yield f"`{model}`", devices, *cells


def measured_scaling():
    """A row for each model and backend of results/scaling.json."""
    yield "model", "backend", "one worker, sentences/s", "two", "ratio: median (range)", "MB exchanged a step"
    for row in read("scaling.json")["rows"]:
        least, most = row["ratio_range"]
        ratio = f"{row['ratio']:.2f} ({least:.2f} to {most:.2f})"
        speeds = (f"{row[name]:,.0f}" for name in ("one_per_second", "two_per_second"))
        yield f"`{row['model']}`", row["backend"], *speeds, ratio, f"{row['bytes_per_step'] / 1e6:,.1f}"


def prediction():
    """A row for each number format and order of the lines of results/predict.json."""
    yield "number format", "lines", "kmodels: backend, sentences/s", "pipeline: batch, order, sentences/s", "ratio"
    for row in read("predict.json")["pipeline"]["rows"]:
        ours, theirs = (statistics.median(row[f"{side}_per_second"]) for side in ("kmodels", "pipeline"))
        pipeline = f"{row['pipeline_batch_size']}, {row['order']}, {theirs:,.0f}"
        yield row["precision"], f"{row['lines']:,}", f"{row['backend']}, {ours:,.0f}", pipeline, f"{row['ratio']:.2f}"


def prediction_memory():
    """A row for each number of lines of results/predict.json."""
    yield "lines", "seconds", "most MiB", "MiB after 10 %", "50 %", "90 %"
    for row in read("predict.json")["memory"]["rows"]:
        resident = (f"{row['tenths_MiB'][tenth - 1]:,.0f}" for tenth in (1, 5, 9))
        yield f"{row['lines']:,}", f"{row['seconds']:,.0f}", f"{row['peak_MiB']:,.0f}", *resident


def same_everywhere():
    """A row for each backend and format of results/same_everywhere.json, a column for each run."""
    rows = read("same_everywhere.json")["rows"]
    runs = {(row["model"], row["trained_on"]): {} for row in rows}
    for row in rows:
        difference, others = row["largest_difference"], row["other_labels"]
        runs[row["model"], row["trained_on"]][row["where"]] = f"{difference:.1e}, {others} of {row['sentences']}"
    _, *places = dict.fromkeys(row["where"] for row in rows)
    yield "", *(f"`{model}`, trained on {backend}" for model, backend in runs)
    for place in places:
        yield place, *(found[place] for found in runs.values())


def serving():
    """A row for each kind of load of results/serve.json."""
    yield (
        "connections",
        "sentences a request",
        "sentences/s",
        "part of predict_proba",
        "p50 ms",
        "p99 ms",
        "lost or wrong",
    )
    for row in read("serve.json")["loads"]:
        speed, part = f"{row['sentences_per_second']:,.0f}", f"{row['part_of_predict_proba']:.0%}"
        faults = sum(row[name] for name in ("unanswered", "wrong", "socket_errors"))
        times = (f"{row[name]:,.0f}" for name in ("p50_ms", "p99_ms"))
        yield row["connections"], row["sentences_per_request"], speed, part, *times, f"{faults} of {row['requests']:,}"


def speed_aims():
    """A row for each aim that results/speed.json has figures for."""
    from benchmarks import targets

    yield "what", "aim", "measured: median (range)", "reached"
    for row in targets.rows(read("speed.json")):
        yield row.cells()


def speed_sides():
    """A row for each side of the turns in results/speed.json that train: medians."""
    yield (
        "work",
        "side",
        "s to the last step",
        "s to the figures on dev",
        "sentences/s, steady",
        "real tokens",
        "s to the first step",
        "peak MiB",
        "dev accuracy",
    )
    found = read("speed.json")
    for part in (name for name in ("words", "encoder", "peak") if name in found):
        turns = found[part]["turns"]
        for name in turns[0]:
            keys = ("seconds", "whole_seconds", "steady_per_second", "first_step_seconds", "peak_MiB")
            seconds, whole, steady, first, peak = (statistics.median(turn[name][key] for turn in turns) for key in keys)
            accuracy = turns[0][name]["accuracy"]
            shown = "" if accuracy is None or part == "peak" else f"{accuracy:.3f}"
            real = turns[0][name].get("real_token_fraction")
            shares = f"{steady:,.0f}", f"{real:.0%}" if real else ""
            yield part, name, f"{seconds:,.1f}", f"{whole:,.1f}", *shares, f"{first:.1f}", f"{peak:,.0f}", shown


def read(name):
    """The value in a JSON file of results/."""
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


TABLES = {
    "best per model": best_per_model,
    "every run": every_run,
    "grid": grid,
    "full size": full_size,
    "gpu runs": gpu_runs,
    "two workers": two_workers,
    "kill": kill,
    "checkpoint cost": checkpoint_cost,
    "deterministic cost": deterministic_cost,
    "expected scaling": expected_scaling,
    "measured scaling": measured_scaling,
    "prediction": prediction,
    "same everywhere": same_everywhere,
    "serving": serving,
    "speed aims": speed_aims,
    "speed sides": speed_sides,
    "prediction memory": prediction_memory,
}


def markdown(rows):
    """Rows, the first of them the heading, as a Markdown table."""
    heading, *body = [[str(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [heading, ["---"] * len(heading), *body])


def filled(text):
    """A document with each of its tables made anew."""

    def table(match):
        return f"<!-- table: {match[1]} -->\n\n{markdown(TABLES[match[1]]())}\n\n<!-- end of table -->"

    return re.sub(r"<!-- table: ([\w ]+) -->.*?<!-- end of table -->", table, text, flags=re.DOTALL)


def documents():
    """The files that hold tables."""
    return [
        ROOT / "README.md",
        *(ROOT / "docs" / name for name in ("export.md", "performance.md", "reliability.md", "scaling.md")),
        RESULTS / "README.md",
    ]


if __name__ == "__main__":
    for path in documents():
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
