"""Writes the tables in README.md, in docs/ and in results/README.md from the records in results/.

    python benchmarks/tables.py

A table stands between the lines <!-- table: NAME --> and <!-- end of table -->; all else in a file stays.
"""

import functools
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import run_tables  # noqa: E402
from benchmarks.run_tables import RESULTS, read  # noqa: E402


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
    """A row for each model, backend and batch size of results/scaling.json."""
    heading = ("one worker, sentences/s", "two", "ratio: median (range)")
    yield "model", "backend", "batch", *heading, "MB exchanged a step", "processor"
    for row in read("scaling.json")["rows"]:
        least, most = row["ratio_range"]
        ratio = f"{row['ratio']:.2f} ({least:.2f} to {most:.2f})"
        speeds = (f"{row[name]:,.0f}" for name in ("one_per_second", "two_per_second"))
        yield (
            f"`{row['model']}`",
            row["backend"],
            row["batch_size"],
            *speeds,
            ratio,
            f"{row['bytes_per_step'] / 1e6:,.1f}",
            row["environment"]["processor"],
        )


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


SPEED = {
    "without AVX-512": "speed_without_avx512.json",
    "with AVX-512, Zen 4": "speed_zen4.json",
    "with AVX-512, Zen 5": "speed.json",
}  # kinds of processors and the files of `benchmarks/speed.py` that they gave


def speed_aims():
    """A row for each aim that was set for kmodels' speed, and what each kind of processor gave."""
    from benchmarks import targets

    yield "what", "aim", *SPEED
    found = [{row.what: row for row in targets.rows(read(name))} for name in SPEED.values()]
    aims = {what: row.aim for each in sorted(found, key=len, reverse=True) for what, row in each.items()}
    for what, aim in aims.items():
        yield what, aim, *(each[what].measured if what in each else "" for each in found)


def beside_others():
    """How many times as fast as others kmodels' fastest backend is, on kinds of processors: medians of ratios."""
    from benchmarks import targets

    yield "kmodels' fastest backend ÷ …", *SPEED
    found = [{row.what: statistics.median(row.values) for row in targets.rows(read(name))} for name in SPEED.values()]
    for what in found[0]:
        if "best backend ÷" in what:
            yield what.replace("best backend ÷ ", ""), *(f"{ratios[what]:.2f}" for ratios in found)


def speed_sides(name):
    """A row for each side of the turns in such a file that train: medians."""
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
    found = read(name)
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


TABLES = {
    "best per model": run_tables.best_per_model,
    "every run": run_tables.every_run,
    "grid": run_tables.grid,
    "full size": full_size,
    "gpu runs": run_tables.gpu_runs,
    "two workers": run_tables.two_workers,
    "kill": kill,
    "checkpoint cost": checkpoint_cost,
    "deterministic cost": deterministic_cost,
    "expected scaling": expected_scaling,
    "measured scaling": measured_scaling,
    "prediction": prediction,
    "same everywhere": same_everywhere,
    "serving": serving,
    "beside others": beside_others,
    "speed aims": speed_aims,
    **{f"speed {kind}": functools.partial(speed_sides, name) for kind, name in SPEED.items()},
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

    return re.sub(r"<!-- table: ([\w ,-]+) -->.*?<!-- end of table -->", table, text, flags=re.DOTALL)


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
