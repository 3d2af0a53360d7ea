"""The report's plots: accuracy against cost, bars of throughput and memory; kmodels.comparison.curves has the others.

Each is a pure function from a checked comparison (kmodels.comparison.schema) to a Plot, or None where nothing that it
shows was measured.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kmodels.comparison import axes, wording
from kmodels.comparison.curves import curves
from kmodels.comparison.drawing import (
    BOLD_SIZE,
    LEFT,
    RIGHT,
    WIDTH,
    Plot,
    colour,
    frame,
    legend,
    line,
    marker,
    path,
    place,
    shortened,
    svg,
    text,
    text_width,
)
from kmodels.comparison.drawing import element as drawn
from kmodels.comparison.series import families, family, series, shown


@dataclass(frozen=True)
class Cost:
    """A figure of a group that costs or gains something: its key, file name, words, and how its values are said."""

    key: str
    name: str
    title: str
    label: str
    say: Callable[[float], str]
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
    top, bottom = 52.0 + height, 276.0 + height
    accuracies, costs = [group["accuracy"] for group in groups], [group[cost.key] for group in groups]
    x_axis = axes.cost_axis([figure["mean"] for figure in costs], _intervals(costs), LEFT, RIGHT, cost.time)
    y_axis = axes.accuracy_axis([figure["mean"] for figure in accuracies], _intervals(accuracies), bottom, top)
    points = [(x_axis(group[cost.key]["mean"]), y_axis(group["accuracy"]["mean"])) for group in groups]
    body = [text(0, 14, title, "title"), *signs, text(0, top - 10, "validation accuracy", "muted")]
    body += frame(x_axis, y_axis, axes.scaled(cost.label, x_axis))
    by_family: dict[str, list] = {}
    for group, point in zip(groups, points):
        by_family.setdefault(family(group), []).append(point)
    body += [path(sorted(found), "link") for found in by_family.values() if len(found) > 1]
    obstacles = []
    for group in groups:
        bars_of, boxes = _error_bars(group, cost, x_axis, y_axis)
        body += [drawn("g", *bars_of, class_=colour(numbers[group["name"]]))] if bars_of else []
        obstacles += boxes
    body += [marker(numbers[group["name"]], *point, group["name"]) for group, point in zip(groups, points)]
    body += _labels(by_family, (LEFT + 2, top - 4, WIDTH - 2.0, bottom), obstacles)
    description = (
        f"Mean validation accuracy upwards, {cost.title} to the right, for {wording.several(len(groups), 'group')}; "
        "a line links one model's backends. Bars are 95 % intervals; one without a cap goes on beyond the plot."
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


def _error_bars(group, cost, x_axis, y_axis):
    """The 95 % intervals of a group, both ways: ([element, …], the boxes they take).

    An end that lies within the plot has a cap.
    """
    x, y = x_axis(group[cost.key]["mean"]), y_axis(group["accuracy"]["mean"])
    parts, boxes = [], []
    for low, high in _intervals([group["accuracy"]]):
        parts.append(line(x, y_axis(low), x, y_axis(high), "error"))
        parts += [line(x - 3, y_axis(end), x + 3, y_axis(end), "error") for end in (low, high) if y_axis.holds(end)]
        boxes.append((x - 3, y_axis(high), x + 3, y_axis(low)))
    for low, high in _intervals([group[cost.key]]):
        parts.append(line(x_axis(low), y, x_axis(high), y, "error"))
        parts += [line(x_axis(end), y - 3, x_axis(end), y + 3, "error") for end in (low, high) if x_axis.holds(end)]
        boxes.append((x_axis(low), y - 3, x_axis(high), y + 3))
    return parts, boxes


def _labels(points, bounds, obstacles):
    """The name of each family beside one of its marks, where there is a place for it.

    Args:
        points: {family: [(x, y), …]}.
    """
    labels = [shortened(name, 190) for name in points]
    body = []
    for label, spot in zip(labels, place(list(zip(labels, points.values())), bounds, obstacles)):
        if spot is None:
            continue
        (left, baseline), (x, y), far = spot
        if far:
            end = min(max(x, left), left + text_width(label))
            body.append(line(x, y, end, baseline + (2 if baseline < y else -9), "leader"))
        body.append(text(left, baseline, label, "label"))
    return body


def bars(comparison, cost):
    """A figure of each group as a bar, with its 95 % interval; groups of a family stand together."""
    grouped = {name: [group for group in groups if group[cost.key]] for name, groups in families(comparison).items()}
    grouped = {name: groups for name, groups in grouped.items() if groups}
    if not grouped:
        return None
    numbers, names = series(comparison)
    title = cost.label[0].upper() + cost.label[1:]
    figures = [group[cost.key] for groups in grouped.values() for group in groups]
    most = max(figure["mean"] for figure in figures)
    longest = max([most, *(high for _, high in _intervals(figures))])
    start = min(max(60.0, *(text_width(names[number]) + 24 for number in numbers.values())), 150.0)
    axis = axes.linear(0.0, min(longest, 1.5 * most) or 1.0, start, 296.0)
    body, y = [text(0, 14, title, "title")], 38.0
    for name, groups in grouped.items():
        body.append(text(0, y, shortened(name, WIDTH, BOLD_SIZE), "panel"))
        for group in groups:
            y += 19
            body += _bar(group[cost.key], axis, y, numbers[group["name"]], names[numbers[group["name"]]], cost.say)
        body.append(line(axis.start, y + 9 - 19 * len(groups), axis.start, y + 6, "base"))
        y += 26
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
    whiskers = [line(axis(low), y - 4, axis(high), y - 4, "whisker") for low, high in _intervals([figure])]
    value = max([end, *(axis(high) for _, high in _intervals([figure]))])
    return [
        marker(number, 6, y - 4),
        text(16, y, shortened(name, start - 20)),
        drawn(
            "g",
            drawn("rect", x=start, y=y - 11, width=max(end - start, 0.5), height=14.0, class_="bar"),
            *whiskers,
            class_=colour(number),
        ),
        text(value + 5, y, say(figure["mean"]), "label"),
    ]
