"""From a comparison to report.html, RESULTS.md and the plots: pure functions, and one that writes."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from kmodels import records
from kmodels.comparison import markdown, page_tables, plots, schema, small_plots, wording
from kmodels.comparison.drawing import standalone
from kmodels.errors import RunError

PAGE = "report.html"
RESULTS = "RESULTS.md"
PLOTS = "plots"
TEMPLATES = Path(__file__).parent / "templates"


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
        corrected=wording.corrected(comparison),
        facts=facts(comparison),
        environment=environment(runs),
        answer=wording.answer(comparison),
        ranking=page_tables.ranking(comparison),
        plots={part: [_inline(plot) for plot in several] for part, several in drawn.items()},
        pairs=page_tables.pairs(comparison),
        sentences=sentences(comparison),
        key=[(Markup(mark), name) for mark, name in small_plots.legend(comparison)],
        ended=[run for run in runs if run["status"] != "finished"],
        runs=page_tables.every_run(comparison),
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
    """A name that may be broken over lines after its hyphens, underscores and equals signs."""
    return Markup(re.sub("([_=-])", r"\1<wbr>", str(escape(name))))


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


def sentences(comparison):
    """The sentences that models disagree on, each with its drawing and its table of probabilities."""
    found = []
    for number, sentence in enumerate(comparison["disagreements"]):
        drawing = small_plots.probabilities(sentence, comparison, number)
        rows = sorted(sentence["probabilities"].items(), key=lambda item: (-item[1], item[0]))
        rows = [(name, f"{probability:.3f}") for name, probability in rows]
        found.append({"sentence": sentence, "drawing": drawing and Markup(drawing), "rows": rows})
    return found
