"""From a comparison to report.html, RESULTS.md and the plots: pure functions, and one that writes."""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from kmodels import records
from kmodels.comparison import markdown, plots, schema, small_plots, wording
from kmodels.comparison.drawing import standalone
from kmodels.errors import RunError

PAGE = "report.html"
RESULTS = "RESULTS.md"
PLOTS = "plots"
TEMPLATES = Path(__file__).parent / "templates"
# More pairs than this, and those without the best group are folded away.
OPEN_PAIRS = 12


@dataclass(frozen=True)
class Cell:
    """A cell of a table in the page: its text, what it is sorted by, and a smaller second line."""

    text: object
    value: object = None
    note: str = ""


def write(comparison, folder):
    """Writes report.html, RESULTS.md and plots/*.svg into a folder, each file whole or not at all.

    Args:
        comparison: dict as kmodels.comparison.schema describes.

    Returns:
        The page's path.

    Raises:
        InputError: the comparison does not fit its format.
        RunError: a file can't be written.
    """
    comparison = schema.checked(comparison)
    folder = Path(folder)
    drawn = plots.all_plots(comparison)
    files = {f"{PLOTS}/{plot.name}.svg": standalone(plot.svg) for part in drawn.values() for plot in part}
    files |= {RESULTS: markdown.results(comparison, drawn), PAGE: page(comparison, drawn)}
    _make_folder(folder / PLOTS)
    for name, text in files.items():
        records.write_text(folder / name, text)
    # A plot of an earlier report for which there are no figures now.
    for path in sorted((folder / PLOTS).glob("*.svg")):
        if path.stem in plots.NAMES and f"{PLOTS}/{path.name}" not in files:
            path.unlink()
    return folder / PAGE


def _make_folder(path):
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path} can't be made: {error.strerror}") from error


def page(comparison, drawn):
    """The text of report.html.

    Args:
        comparison: checked (kmodels.comparison.schema).
        drawn: {part: [Plot, …]} of kmodels.comparison.plots.all_plots.
    """
    runs = comparison["runs"]
    script = (TEMPLATES / "sort.js").read_text(encoding="utf-8")
    return _template().render(
        comparison=comparison,
        title=comparison["title"] or "Comparison",
        commands=wording.commands(comparison),
        facts=facts(comparison),
        environment=environment(runs),
        answer=wording.answer(comparison),
        ranking=ranking(comparison),
        plots={part: [_inline(plot) for plot in several] for part, several in drawn.items()},
        pairs=pairs(comparison),
        sentences=sentences(comparison),
        key=[(Markup(mark), name) for mark, name in small_plots.legend(comparison)],
        ended=[run for run in runs if run["status"] != "finished"],
        runs=every_run(comparison),
        script=Markup(script),
        # The page runs this script and no other, whatever a label or a sentence says.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@cache
def _template():
    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["breakable"] = breakable
    return environment.get_template("report.html.jinja")


def breakable(name):
    """A name that may be broken over lines after its hyphens and underscores."""
    return Markup(re.sub("([_-])", r"\1<wbr>", str(escape(name))))


def _inline(plot):
    return {"plot": plot, "svg": Markup(plot.svg)}


def facts(comparison):
    """What was compared and on what: [(name, text), …]."""
    data, runs, groups = comparison["dataset"], comparison["runs"], comparison["groups"]
    finished = sum(run["status"] == "finished" for run in runs)
    majority = data["majority_fraction"]
    sizes = [
        f"{data[key]:,} {words}"
        for key, words in (("train_sentences", "sentences to train on"), ("validation_sentences", "to validate on"))
        if data[key] is not None
    ]
    found = [
        ("Data", ", ".join([*([data["name"]] if data["name"] else []), *sizes])),
        ("Labels", ", ".join(data["label_names"])),
        ("Always the commonest label", "" if majority is None else f"accuracy {wording.accuracy(majority)}"),
        ("Models", ", ".join(dict.fromkeys(group["model"] for group in wording.ranked(groups)))),
        ("Backends", ", ".join(sorted({group["backend"] for group in groups}))),
        ("Precisions", ", ".join(sorted({group["precision"] for group in groups if group["precision"]}))),
        ("Runs", f"{finished} of {len(runs)} finished" if runs else ""),
    ]
    return [(name, text) for name, text in found if text]


def environment(runs):
    """Versions and machine: [(name, [(value, which runs), …]), …]; which runs is "" where a value holds for all."""
    found: dict[str, dict[str, set]] = {}
    for run in runs:
        for name, value in run["environment"].items():
            found.setdefault(name, {}).setdefault(value, set()).add(run["backend"])
    return [
        (name, [(value, ", ".join(sorted(backends)) if len(values) > 1 else "") for value, backends in values.items()])
        for name, values in found.items()
        if name != "backend"
    ]


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


def sentences(comparison):
    """The sentences that models disagree on, each with its drawing and its table of probabilities."""
    found = []
    for number, sentence in enumerate(comparison["disagreements"]):
        drawing = small_plots.probabilities(sentence, comparison, number)
        rows = sorted(sentence["probabilities"].items(), key=lambda item: (-item[1], item[0]))
        rows = [(name, f"{probability:.3f}") for name, probability in rows]
        found.append({"sentence": sentence, "drawing": drawing and Markup(drawing), "rows": rows})
    return found


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
            Cell((measured["training_duration"] or wording.MISSING).partition(".")[0]),
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


def _plain(value):
    return wording.MISSING if value is None else str(value)
