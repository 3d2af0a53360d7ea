"""The tables of report.html, cell by cell: the ranking, the paired differences, every run."""

from dataclasses import dataclass

from markupsafe import Markup

from kmodels.comparison import small_plots, wording
from kmodels.comparison.reading import seconds

# More pairs than this, and those without the best group are folded away.
OPEN_PAIRS = 12


@dataclass(frozen=True)
class Cell:
    """A cell of a table in the page: its text, what it is sorted by, and a smaller second line."""

    text: object
    value: object = None
    note: str = ""


def ranking(comparison):
    """The ranked table: {"heading": [text, …], "rows": [[Cell, …], …]}; a figure measured nowhere has no column."""
    groups = wording.ranked(comparison["groups"])
    standing = wording.standings(comparison)
    several = len({group["precision"] for group in groups}) > 1
    columns = {
        "Group": [_group_cell(group, several) for group in groups],
        "Accuracy": [_accuracy_cell(group, standing.get(group["name"])) for group in groups],
        "95 % over runs": [_interval_cell(group["accuracy"]) for group in groups],
        "95 % over sentences": [_range_cell(group["dev_interval"]) for group in groups],
        "Set out from": [
            _number_cell(comparison["seed_results"].get(group["model"]), wording.accuracy) for group in groups
        ],
        "Training time": [_spread_cell(group["training_seconds"], wording.duration) for group in groups],
        "Sentences/s": [_spread_cell(group["samples_per_second"], wording.count) for group in groups],
        "Host MiB": [_spread_cell(group["peak_host_MiB"], wording.count) for group in groups],
        "Device MiB": [_spread_cell(group["peak_device_MiB"], wording.count) for group in groups],
        "Of peak": [_number_cell(group["fraction_of_peak"], wording.percent) for group in groups],
    }
    columns = {name: cells for name, cells in columns.items() if any(cell.text != wording.MISSING for cell in cells)}
    return {"heading": list(columns), "rows": list(zip(*columns.values()))}


def _group_cell(group, several_precisions):
    runs = wording.several(group["accuracy"]["count"], "run") if group["accuracy"] else "no finished run"
    return Cell(group["name"], None, f"{group['precision'] or '?'}, {runs}" if several_precisions else runs)


def _accuracy_cell(group, standing):
    notes = {"best": "the best", "worse": "worse than the best", "better": "better in a pair"}
    text = wording.spread(group["accuracy"], wording.accuracy)
    return Cell(text, wording.mean(group, "accuracy"), notes.get(standing, standing or ""))


def _interval_cell(figure):
    return _range_cell(None if figure is None else (figure["low"], figure["high"]))


def _range_cell(ends):
    low, high = ends or (None, None)
    return Cell(wording.interval(low, high), low)


def _number_cell(value, say):
    return Cell(say(value), value)


def _spread_cell(figure, say):
    if figure is None:
        return Cell(wording.MISSING)
    note = "" if figure["standard_deviation"] is None else f"± {wording.deviation_of(figure, say)}"
    return Cell(say(figure["mean"]), figure["mean"], note)


def pairs(comparison):
    """Paired differences: {"open": [row, …], "folded": [row, …], "reach": text, "of_two_runs": bool}.

    A row is (pair, texts, drawing); `of_two_runs` says that some have a test of two runs alone.
    """
    found = comparison["pairs"]
    farthest = small_plots.reach(found)
    rows = [_pair_row(pair, farthest, number) for number, pair in enumerate(found)]
    shared = {"reach": f"{farthest:.2g}", "of_two_runs": any(pair["mcnemar"] for pair in found)}
    if len(rows) <= OPEN_PAIRS:
        return {"open": rows, "folded": []} | shared
    best = wording.ranked(comparison["groups"])[0]["name"]
    with_best = [best in (row["pair"]["a"], row["pair"]["b"]) for row in rows]
    return {
        "open": [row for row, first in zip(rows, with_best) if first],
        "folded": [row for row, first in zip(rows, with_best) if not first],
    } | shared


def _pair_row(pair, farthest, number):
    drawing = small_plots.interval(pair, farthest, number)
    return {
        "pair": pair,
        "difference": Cell(wording.difference(pair["difference"]), pair["difference"]),
        "interval": wording.interval_of_difference(pair["low"], pair["high"]),
        "p": Cell(wording.p_value(pair["p_value"]), pair["p_value"]),
        "mcnemar": Cell(wording.mcnemar(pair["mcnemar"]), pair["mcnemar"] and pair["mcnemar"]["p_value"]),
        "drawing": drawing and Markup(drawing),
    }


def every_run(comparison):
    """A row a run, in the order in which they were made: {"heading": …, "rows": …}."""
    last = len(comparison["runs"])
    runs = sorted(comparison["runs"], key=lambda run: (last if run["order"] is None else run["order"], run["name"]))
    heading = [
        "Run",
        "Order",
        "Started",
        "Status",
        "Best epoch",
        "Accuracy",
        "Loss",
        "Time",
        "Compiling",
        "Host MiB",
        "Device MiB",
    ]
    rows = []
    for run in runs:
        measured = run["metrics"] or dict.fromkeys(METRICS)
        cells = [
            Cell(run["name"]),
            _number_cell(run["order"], _plain),
            Cell(run["started"] or wording.MISSING),
            Cell(run["status"]),
            _number_cell(measured["best_epoch"], _plain),
            _number_cell(measured["best_validation_accuracy"], wording.accuracy),
            _number_cell(measured["best_validation_loss"], wording.accuracy),
            _duration_cell(measured["training_duration"]),
            _number_cell(measured["compile_seconds"], wording.duration),
            _number_cell(measured["peak_worker_0_memory_MB"], wording.count),
            _number_cell(measured["peak_gpu_0_memory_MB"], wording.count),
        ]
        rows.append(cells)
    return {"heading": heading, "rows": rows}


METRICS = (
    "best_epoch",
    "best_validation_accuracy",
    "best_validation_loss",
    "training_duration",
    "compile_seconds",
    "peak_worker_0_memory_MB",
    "peak_gpu_0_memory_MB",
)


def _duration_cell(duration):
    if duration is None:
        return Cell(wording.MISSING)
    return Cell(duration.partition(".")[0], seconds(duration))


def _plain(value):
    return wording.MISSING if value is None else str(value)
