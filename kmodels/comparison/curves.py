"""Learning curves: a panel a model, over epochs and over time."""

from statistics import fmean

from kmodels.comparison import axes, wording
from kmodels.comparison.drawing import (
    BOLD_SIZE,
    LEFT,
    RIGHT,
    WIDTH,
    Plot,
    colour,
    dashes,
    frame,
    legend,
    marker,
    path,
    shortened,
    svg,
    text,
)
from kmodels.comparison.drawing import element as drawn
from kmodels.comparison.series import families, series, shown

MARKED_POINTS = 12


def curves(comparison, figure, over):
    """A figure of the epochs over their numbers or over time: a panel a model, thin a run, thick the mean of runs.

    Args:
        figure: "validation_accuracy" or "validation_loss".
        over: "epochs" or "time".
    """
    runs = {run["name"]: run for run in comparison["runs"]}
    lines = {
        group["name"]: [_curve(runs[name], figure, over) for name in group["runs"]] for group in comparison["groups"]
    }
    points = [point for group in lines.values() for curve in group for point in curve.values()]
    if not points:
        return None
    numbers, names = series(comparison)
    label = figure.replace("_", " ")
    title = f"{label.capitalize()} over {over}"
    panels = {
        model: groups
        for model, groups in families(comparison).items()
        if any(any(lines[group["name"]]) for group in groups)
    }
    signs, top = legend(shown([group for groups in panels.values() for group in groups], numbers, names), 32)
    body, top = [text(0, 14, title, "title"), *signs], top + 34
    for model, groups in panels.items():
        body += _panel(
            model,
            [(numbers[group["name"]], *_means(group, runs, lines)) for group in groups],
            points,
            top,
            figure,
            over,
        )
        top += 166
    body.append(text(RIGHT, top - 6, _over_label(points, over), "muted", "end"))
    description = (
        f"The {label} after each epoch, over {over}, in {wording.several(len(panels), 'panel')}: "
        f"{', '.join(panels)}. Thin lines are runs, thick ones the mean of a group's finished runs."
    )
    name = f"{figure.partition('_')[2]}-over-{over}"
    drawing = svg(name, title, description, body, height=top + 2)
    return Plot(name, title, description, drawing, *_curve_table(comparison, runs, lines, label, over))


def _curve(run, figure, over):
    """{epoch: (epoch or seconds since the start, figure)} of a run, as far as both were measured."""
    found, seconds = {}, 0.0
    for epoch in sorted(run["history"], key=lambda epoch: epoch["epoch"]):
        if over == "time":
            if epoch["epoch_seconds"] is None:
                break
            seconds += epoch["epoch_seconds"]
        if epoch[figure] is not None:
            found[epoch["epoch"]] = (seconds if over == "time" else epoch["epoch"], epoch[figure])
    return found


def _means(group, runs, lines):
    """(curves of all its runs, mean of the finished ones over the epochs that each of them reached)."""
    found = [curve for curve in lines[group["name"]] if curve]
    finished = [
        curve
        for name, curve in zip(group["runs"], lines[group["name"]])
        if curve and runs[name]["status"] == "finished"
    ]
    shared = sorted(set.intersection(*map(set, finished))) if finished else []
    means = {epoch: tuple(fmean(values) for values in zip(*(curve[epoch] for curve in finished))) for epoch in shared}
    return found, means


def _panel(model, drawn_series, points, top, figure, over):
    """A model's curves: [element, …] in a strip 166 units high."""
    bottom = top + 126
    x_axis = _over_axis(points, over)
    values = [y for _, y in points]
    y_axis = (
        axes.accuracy_axis(values, [], bottom, top + 22)
        if figure.endswith("accuracy")
        else axes.loss_axis(values, bottom, top + 22)
    )
    body = [text(0, top + 10, shortened(model, WIDTH, BOLD_SIZE), "panel"), *frame(x_axis, y_axis)]
    for number, runs, mean in drawn_series:
        thick = [(x_axis(x), y_axis(y)) for x, y in mean.values()]
        thin = [[(x_axis(x), y_axis(y)) for x, y in curve.values()] for curve in runs if len(runs) > 1 or not mean]
        lines = [path(curve, "thin") for curve in thin if len(curve) > 1]
        lines += [path(thick, "line", dashes(number))] if len(thick) > 1 else []
        body.append(drawn("g", *lines, class_=colour(number)))
        ends = thick or [curve[-1] for curve in thin]
        body += [marker(number, *point) for point in (ends if len(ends) <= MARKED_POINTS else ends[-1:])]
    return body


def _over_axis(points, over):
    positions = [x for x, _ in points]
    if over == "time":
        return axes.cost_axis(positions, [], LEFT, RIGHT, time=True)
    return axes.epoch_axis(positions, LEFT, RIGHT)


def _over_label(points, over):
    label = "time since the start of training" if over == "time" else "epoch, from 0"
    return axes.scaled(label, _over_axis(points, over))


def _curve_table(comparison, runs, lines, label, over):
    """The curves as a table: (heading, rows). The mean of a group's finished runs, and each run that did not finish."""
    rows = []
    for group in wording.ranked(comparison["groups"]):
        stopped = [
            (name, curve)
            for name, curve in zip(group["runs"], lines[group["name"]])
            if runs[name]["status"] != "finished"
        ]
        for name, curve in [(group["name"], _means(group, runs, lines)[1]), *stopped]:
            for epoch, (x, y) in curve.items():
                time = [wording.duration(x)] if over == "time" else []
                rows.append((name, str(epoch), *time, f"{y:.4f}" if abs(y) < 1e6 else f"{y:.3g}"))
    return ("group or run", "epoch, from 0", *(["time"] if over == "time" else []), label), rows
