"""RESULTS.md: the comparison in GitHub's Markdown."""

import re

from kmodels.comparison import wording

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
SPECIAL = re.compile(r"[\\`*_\[\]<>#|~@$&]|:(?=[/\w])(?<!\d:)|(?<=ww)w")


def results(comparison, plots):
    """The text of RESULTS.md.

    Args:
        comparison: checked (kmodels.comparison.schema).
        plots: {part: [kmodels.comparison.plots.Plot, …]}.
    """
    parts = [
        f"# {escaped(comparison['title'] or 'Comparison')}",
        _made(comparison),
        " ".join(escaped(sentence) for sentence in wording.answer(comparison)),
        _section("Warnings", _bullets(comparison["warnings"])),
        _section("Accuracy and cost", _ranking(comparison)),
        _section("Paired differences", _pairs(comparison)),
        _section("Runs that did not finish", _ended(comparison)),
        _section("Plots", _plots(plots)),
        _section("The same for every run", _bullets(comparison["protocol"])),
        _section("What differs all the same", _bullets(comparison["differs_all_the_same"])),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text):
    """Text that Markdown shows as it is, on one line: neither markup, nor HTML, nor a link, nor a list."""
    text = SPECIAL.sub(_harmless, " ".join(text.split()))
    return re.sub(r"^(\d+)(?=[.)])|^(?=[-+])", r"\1\\", text)


def _harmless(match):
    sign = match[0]
    # The w of www can't be escaped by a backslash, and would begin a link.
    return "&#119;" if sign == "w" else "&lt;" if sign == "<" else "&amp;" if sign == "&" else "\\" + sign


def name(text):
    """A name as code where it is a plain one, else escaped."""
    return f"`{text}`" if PLAIN_NAME.fullmatch(text) else escaped(text)


def table(heading, rows):
    """A Markdown table; cells are Markdown already."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _section(heading, body):
    return f"## {heading}\n\n{body}" if body else ""


def _bullets(sentences):
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences)


def _made(comparison):
    """The commands in a fence longer than any within it, and the date."""
    commands = "\n".join(wording.commands(comparison))
    if not commands:
        return escaped(comparison["created"] or "")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", commands)), default=0))
    date = f" on {escaped(comparison['created'])}" if comparison["created"] else ""
    return f"Made{date} by\n\n{fence}\n{commands}\n{fence}"


def _ranking(comparison):
    if not comparison["groups"]:
        return ""
    standing = wording.standings(comparison)
    heading = ("group", "runs", "accuracy", "95 % over runs", "95 % over sentences", "against the best", "set out from")
    costs = ("training time", "sentences/s", "host MiB", "device MiB", "of peak")
    rows = []
    for group in wording.ranked(comparison["groups"]):
        figure = group["accuracy"] or {"count": 0, "low": None, "high": None}
        rows.append(
            (
                name(group["name"]),
                str(figure["count"]),
                wording.spread(group["accuracy"], wording.accuracy),
                wording.interval(figure["low"], figure["high"]),
                wording.interval(*(group["dev_interval"] or (None, None))),
                standing.get(group["name"], wording.MISSING),
                wording.accuracy(comparison["seed_results"].get(group["model"])),
                wording.spread(group["training_seconds"], wording.duration),
                wording.spread(group["samples_per_second"], wording.count),
                wording.spread(group["peak_host_MiB"], wording.count),
                wording.spread(group["peak_device_MiB"], wording.count),
                wording.percent(group["fraction_of_peak"]),
            )
        )
    return table(heading + costs, rows)


def _pairs(comparison):
    heading = ["a", "b", "a − b", "95 % interval", "p", "a is"]
    rows = [
        [
            name(pair["a"]),
            name(pair["b"]),
            wording.difference(pair["difference"]),
            wording.interval_of_difference(pair["low"], pair["high"]),
            wording.p_value(pair["p_value"]).replace("<", "&lt;"),
            pair["verdict"],
        ]
        for pair in comparison["pairs"]
    ]
    of_two_runs = [pair["mcnemar"] for pair in comparison["pairs"]]
    if any(of_two_runs):
        heading.append("right in one run alone")
        for row, found in zip(rows, of_two_runs):
            row.append(wording.mcnemar(found).replace("<", "&lt;"))
    corrected = f"\n\n{escaped(wording.corrected(comparison))}".rstrip()
    return f"{table(heading, rows)}{corrected}" if rows else ""


def _ended(comparison):
    rows = [
        (name(run["name"]), run["status"], escaped(run["error"] or wording.MISSING))
        for run in comparison["runs"]
        if run["status"] != "finished"
    ]
    return table(("run", "status", "error"), rows) if rows else ""


def _plots(plots):
    return "\n\n".join(f"![{plot.title}](plots/{plot.name}.svg)" for part in plots.values() for plot in part)
