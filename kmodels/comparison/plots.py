"""The report's plots: accuracy against cost, bars of throughput and memory; kmodels.comparison.curves has the others.

Each is a pure function from a checked comparison (kmodels.comparison.schema) to a Plot, or None where nothing that it
shows was measured.
"""

from dataclasses import dataclass

from kmodels.comparison import axes, wording
from kmodels.comparison.curves import curves
from kmodels.comparison.drawing import (
    LEFT,
    RIGHT,
    WIDTH,
    Plot,
    colour,
    frame,
    legend,
    line,
    marker,
    place,
    shortened,
    svg,
    text,
    text_width,
)
from kmodels.comparison.drawing import element as drawn
from kmodels.comparison.series import models, series, shown


@dataclass(frozen=True)
class Cost:
    """A figure of a group that costs or gains something: its key, file name, words, and how its values are said."""

    key: str
    name: str
    title: str
    label: str
    say: object
    time: bool = False


TIME = Cost("training_seconds", "time", "training time", "training time", wording.duration, time=True)
HOST = Cost("peak_host_MiB", "host-memory", "host memory", "peak host memory, MiB", wording.count)
DEVICE = Cost("peak_device_MiB", "device-memory", "device memory", "peak device memory, MiB", wording.count)
SPEED = Cost("samples_per_second", "throughput", "throughput", "sentences per second in training", wording.count)
# The files that a report may hold.
NAMES = (
    *(f"accuracy-against-{cost.name}" for cost in (TIME, HOST, DEVICE)),
    *(f"{figure}-over-{over}" for figure in ("accuracy", "loss") for over in ("epochs", "time")),
    *(cost.name for cost in (SPEED, HOST, DEVICE)),
)


def all_plots(comparison):
    """Every plot for which there are figures, by the part of the report that shows it: {part: [Plot, …]}."""
    parts = {
        "cost": [accuracy_against(comparison, cost) for cost in (TIME, HOST, DEVICE)],
        "curves": [
            curves(comparison, figure, over)
            for figure in ("validation_accuracy", "validation_loss")
            for over in ("epochs", "time")
        ],
        "bars": [bars(comparison, cost) for cost in (SPEED, HOST, DEVICE)],
    }
    return {part: [plot for plot in plots if plot] for part, plots in parts.items()}


def accuracy_against(comparison, cost):
    """Mean validation accuracy against a Cost: a mark a group, with its 95 % intervals both ways."""
    groups = [group for group in wording.ranked(comparison["groups"]) if group["accuracy"] and group[cost.key]]
    if not groups:
        return None
    numbers, names = series(comparison)
    title = f"Accuracy against {cost.title}"
    signs, height = legend(shown(groups, numbers, names), 32)
    top, bottom = 44.0 + height, 268.0 + height
    x_axis = axes.cost_axis([group[cost.key]["mean"] for group in groups], LEFT, RIGHT, cost.time)
    accuracies = [group["accuracy"] for group in groups]
    y_axis = axes.accuracy_axis([figure["mean"] for figure in accuracies], _intervals(accuracies), bottom, top)
    points = [(x_axis(group[cost.key]["mean"]), y_axis(group["accuracy"]["mean"])) for group in groups]
    body = [text(8, 14, title, "title"), *signs, text(8, top - 10, "validation accuracy", "muted")]
    body += frame(x_axis, y_axis, axes.scaled(cost.label, x_axis))
    for group in groups:
        body += _error_bars(group, cost, x_axis, y_axis, numbers[group["name"]])
    body += [marker(numbers[group["name"]], *point, group["name"]) for group, point in zip(groups, points)]
    body += _labels(groups, points, (LEFT + 2, top, WIDTH - 2.0, bottom))
    description = (
        f"Mean validation accuracy upwards, {cost.title} to the right, for {wording.several(len(groups), 'group')}; "
        "bars are 95 % intervals over runs, and those without a cap go on beyond the plot. The table holds the figures."
    )
    rows = [
        (group["name"], wording.spread(group["accuracy"], wording.accuracy), wording.spread(group[cost.key], cost.say))
        for group in groups
    ]
    drawing = svg(f"accuracy-against-{cost.name}", title, description, body, height=bottom + 36)
    return Plot(f"accuracy-against-{cost.name}", title, description, drawing, ("group", "accuracy", cost.label), rows)


def _intervals(figures):
    """[(low, high), …] of those figures that have an interval."""
    return [(figure["low"], figure["high"]) for figure in figures if None not in (figure["low"], figure["high"])]


def _error_bars(group, cost, x_axis, y_axis, number):
    """The 95 % intervals of a group, both ways; an end that lies within the plot has a cap."""
    x, y = x_axis(group[cost.key]["mean"]), y_axis(group["accuracy"]["mean"])
    parts = []
    for low, high in _intervals([group["accuracy"]]):
        parts.append(line(x, y_axis(low), x, y_axis(high), "error"))
        parts += [line(x - 3, y_axis(end), x + 3, y_axis(end), "error") for end in (low, high) if y_axis.holds(end)]
    for low, high in _intervals([group[cost.key]]):
        parts.append(line(x_axis(low), y, x_axis(high), y, "error"))
        parts += [line(x_axis(end), y - 3, x_axis(end), y + 3, "error") for end in (low, high) if x_axis.holds(end)]
    return [drawn("g", *parts, class_=colour(number))] if parts else []


def _labels(groups, points, bounds):
    """The model's name beside each mark, where there is a place for it."""
    labels = [shortened(group["model"], 110) for group in groups]
    places = place([(*point, label) for point, label in zip(points, labels)], bounds)
    body = []
    for (x, y), label, spot in zip(points, labels, places):
        if spot and spot[2]:
            end = min(max(x, spot[0]), spot[0] + text_width(label))
            body.append(line(x, y, end, spot[1] + (2 if spot[1] < y else -9), "leader"))
        if spot:
            body.append(text(spot[0], spot[1], label, "label"))
    return body


def bars(comparison, cost):
    """A figure of each group as a bar, with its 95 % interval; groups of a model stand together."""
    grouped = {model: [group for group in groups if group[cost.key]] for model, groups in models(comparison).items()}
    grouped = {model: groups for model, groups in grouped.items() if groups}
    if not grouped:
        return None
    numbers, names = series(comparison)
    title = cost.label[0].upper() + cost.label[1:]
    figures = [group[cost.key] for groups in grouped.values() for group in groups]
    axis = axes.linear(0.0, max(figure["mean"] for figure in figures) or 1.0, 100.0, 296.0)
    body, y = [text(8, 14, title, "title")], 38.0
    for model, groups in grouped.items():
        body.append(text(8, y, shortened(model, WIDTH - 16), "panel"))
        for group in groups:
            y += 19
            body += _bar(group[cost.key], axis, y, numbers[group["name"]], names[numbers[group["name"]]], cost.say)
        y += 26
    body.append(line(axis.start, 26, axis.start, y - 20, "base"))
    description = f"A bar for each of {wording.several(len(figures), 'group')}: {cost.label}, mean over runs."
    rows = [
        (group["name"], wording.spread(group[cost.key], cost.say), str(group[cost.key]["count"]))
        for groups in grouped.values()
        for group in groups
    ]
    drawing = svg(cost.name, title, description, body, height=y - 10)
    return Plot(cost.name, title, description, drawing, ("group", cost.label, "runs"), rows)


def _bar(figure, axis, y, number, name, say):
    """A row of a bar chart around the height y: mark, name, bar, interval, value."""
    start, end = axis.start, axis(figure["mean"])
    whiskers = [line(axis(low), y - 4, axis(high), y - 4, "error") for low, high in _intervals([figure])]
    value = max([end, *(axis(high) for _, high in _intervals([figure]))])
    return [
        marker(number, 14, y - 4),
        text(24, y, shortened(name, start - 30)),
        drawn(
            "g",
            drawn("rect", x=start, y=y - 11, width=max(end - start, 0.5), height=14.0, class_="bar"),
            *whiskers,
            class_=colour(number),
        ),
        text(value + 5, y, say(figure["mean"]), "label"),
    ]
