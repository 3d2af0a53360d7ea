"""SVG: elements, marks, and labels that keep out of each other's way. Every drawing has a title and a description.

A drawing is 360 units wide, so that its text of 12 units can be read on a screen of 320 pixels. Colours come from
the classes in templates/plot.css, which know a light and a dark scheme.
"""

import html
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

WIDTH = 360
# Where the axes of a plot begin and end.
LEFT, RIGHT = 40.0, WIDTH - 6.0
TEXT_SIZE = 12.0
# As wide as bold text of 12 units is.
BOLD_SIZE = 13.5
SERIES = 6
DASHES = ("none", "6 3", "2 2.5", "9 3 2 3", "4 2", "1 3")
MARGIN = 10.0
VIEW = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
NAME_SPACE = "http://www.w3.org/2000/svg"
STYLE = Path(__file__).parent / "templates" / "plot.css"


@dataclass(frozen=True)
class Plot:
    """A drawing and the figures in it.

    Attributes:
        name: of its file, without the ending.
        heading, rows: the same as a table of texts.
    """

    name: str
    title: str
    description: str
    svg: str
    heading: Sequence
    rows: Sequence


def element(name, *content, **attributes):
    """An element as text. Attributes: `class_`, `stroke_width` as class, stroke-width; content is markup already."""
    pairs = [(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None]
    opening = "".join(f' {key}="{_attribute(value)}"' for key, value in pairs)
    inner = "".join(content)
    return f"<{name}{opening}>{inner}</{name}>" if inner else f"<{name}{opening}/>"


def _attribute(value):
    return html.escape(value) if isinstance(value, str) else coordinate(value)


def coordinate(value):
    """A number with two decimals at most; the same on every machine."""
    shown = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if shown == "-0" else shown


def svg(identity, title, description, body, width=WIDTH, height=200.0, class_="plot"):
    """A drawing with a title and a description that readers of a screen are given.

    Args:
        identity: its name within a page, [a-z0-9-].
        body: [element, …].
    """
    return element(
        "svg",
        element("title", html.escape(title), id=f"{identity}-title"),
        element("desc", html.escape(description), id=f"{identity}-description"),
        *body,
        class_=class_,
        viewBox=f"0 0 {coordinate(width)} {coordinate(height)}",
        role="img",
        aria_labelledby=f"{identity}-title {identity}-description",
    )


def standalone(drawing):
    """A drawing as a file of its own: with its name space, its colours, and a ground with a margin to stand on."""
    before, width, height, after = VIEW.split(drawing, maxsplit=1)
    sizes = {"x": -MARGIN, "y": -MARGIN, "width": float(width) + 2 * MARGIN, "height": float(height) + 2 * MARGIN}
    shown = {name: coordinate(size) for name, size in sizes.items()}
    opening = f'viewBox="{" ".join(shown.values())}" width="{shown["width"]}" height="{shown["height"]}"'
    style = element("style", html.escape(_style(), quote=False))
    ground = element("rect", class_="ground", **sizes)
    words, end, marks = after.partition("</desc>")
    return f'{before}{opening} xmlns="{NAME_SPACE}"{words}{end}{style}{ground}{marks}\n'


@cache
def _style():
    return STYLE.read_text(encoding="utf-8")


def text(x, y, content, class_=None, anchor=None):
    """A line of text that stands on y."""
    return element("text", html.escape(content), x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1, y1, x2, y2, class_):
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points, class_, dashes="none"):
    """A line through points [(x, y), …]."""
    steps = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points)
    return element("polyline", points=steps, class_=class_, stroke_dasharray=None if dashes == "none" else dashes)


def marker(series, x, y, name=""):
    """The mark of a series, in its shape and colour; with a name it tells it to a pointer that rests on it.

    Shape and colour change together, and beyond six series the pairing shifts, so that no two of 36 look alike.
    """
    shape = _shapes(x, y)[(series + series // SERIES) % SERIES]
    title = element("title", html.escape(name)) if name else ""
    return element("g", title, shape, class_=f"mark {colour(series)}")


def colour(series):
    """The class that colours a series."""
    return f"series-{series % SERIES}"


def dashes(series):
    """How the line of a series is broken."""
    return DASHES[(series + series // SERIES) % SERIES]


def _shapes(x, y):
    """Circle, square, triangle, diamond, triangle on its tip, star; all of about one area."""
    return (
        element("circle", cx=x, cy=y, r=4.5),
        element("rect", x=x - 4, y=y - 4, width=8.0, height=8.0),
        _polygon((x, y - 5.4), (x + 5.2, y + 3.9), (x - 5.2, y + 3.9)),
        _polygon((x, y - 5.8), (x + 5.8, y), (x, y + 5.8), (x - 5.8, y)),
        _polygon((x, y + 5.4), (x + 5.2, y - 3.9), (x - 5.2, y - 3.9)),
        _polygon(*(_star(x, y, corner) for corner in range(10))),
    )


def _star(x, y, corner):
    radius, angle = (6.2, 2.8)[corner % 2], math.pi * (corner / 5 - 0.5)
    return x + radius * math.cos(angle), y + radius * math.sin(angle)


def _polygon(*points):
    return element("polygon", points=" ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points))


def frame(x_axis, y_axis, label=None):
    """Grid, ticks and base line of a plot between two axes."""
    bottom, body = y_axis.start, []
    for value, name in y_axis.ticks:
        body += [line(x_axis.start, y_axis(value), x_axis.end, y_axis(value), "grid")]
        body += [text(x_axis.start - 5, y_axis(value) + 4, name, "tick", "end")]
    free = 0.0
    for value, name in x_axis.ticks:
        half = text_width(name) / 2
        middle = min(max(x_axis(value), half + 2), WIDTH - half - 2)
        body += [line(x_axis(value), bottom, x_axis(value), bottom + 4, "base")]
        if middle - half >= free:
            body += [text(middle, bottom + 16, name, "tick", "middle")]
            free = middle + half + 6
    body += [line(x_axis.start, bottom, x_axis.end, bottom, "base")]
    if label:
        body += [text(x_axis.end, bottom + 31, label, "muted", "end")]
    return body


def text_width(content, size=TEXT_SIZE):
    """About how wide a line of text is; no font is at hand to measure it."""
    return sum(size * (1.0 if unicodedata.east_asian_width(sign) in "WF" else 0.56) for sign in content)


def shortened(content, width, size=TEXT_SIZE):
    """Text that fits a width, its middle left out where it must be: names often differ at their ends only."""
    content = " ".join(content.split())
    if text_width(content, size) <= width:
        return content
    short = "…"
    for kept in range(1, len(content)):
        longer = f"{content[: kept - kept // 2]}…{content[len(content) - kept // 2 :]}"
        if text_width(longer, size) > width:
            break
        short = longer
    return short


def legend(names, y):
    """What each series looks like, in as many lines as it takes: (elements, height).

    Args:
        names: {series: name}.
    """
    drawn, x, top = [], 0.0, y
    for series, name in names.items():
        shown = shortened(name, WIDTH - 40)
        width = 32 + text_width(shown) + 12
        if x > 0 and x + width > WIDTH:
            x, y = 0.0, y + 17
        drawn.append(path([(x, y), (x + 24, y)], f"line {colour(series)}", dashes(series)))
        drawn += [marker(series, x + 12, y), text(x + 30, y + 4, shown)]
        x += width
    return drawn, y - top + 17 if names else 0.0


def place(labelled, bounds, obstacles=()):
    """Finds a place for each label beside one of its points, where it covers no other label and no mark.

    Args:
        labelled: [(label, [(x, y), …]), …].
        bounds: (left, top, right, bottom), which labels keep within.
        obstacles: [(left, top, right, bottom), …] to keep out of where that can be.

    Returns:
        [((left, baseline), (x, y) of its point, far) or None, …]: `far` where a line must lead to the label; None
        where no place was left.
    """
    taken = [(x - 6, y - 6, x + 6, y + 6) for _, points in labelled for x, y in points]
    places = []
    for label, points in labelled:
        spots = [(_box(point, label, offset), point, offset[0] > 12) for offset in _offsets() for point in points]
        spots = [spot for spot in spots if _inside(spot[0], bounds) and not _touches(spot[0], taken)]
        best = next((spot for spot in spots if not _touches(spot[0], obstacles)), spots[0] if spots else None)
        if best:
            taken.append(best[0])
        places.append(best and ((best[0][0], best[0][3] - 3), best[1], best[2]))
    return places


def _offsets():
    """Where a label may stand: (distance, angle), the best first."""
    return [(distance, math.pi * eighth / 4) for distance in (9, 20, 34, 50, 68) for eighth in (0, 4, 7, 1, 5, 3, 2, 6)]


def _box(point, label, offset):
    """The box of a label at a distance from a point: (left, top, right, bottom)."""
    (x, y), (distance, angle) = point, offset
    width, height = text_width(label), TEXT_SIZE + 2
    x, y = x + distance * math.cos(angle), y - distance * math.sin(angle)
    left = x - width / 2 + round(math.cos(angle), 6) * width / 2
    top = y - height / 2 - round(math.sin(angle), 6) * height / 2
    return left, top, left + width, top + height


def _inside(box, bounds):
    return box[0] >= bounds[0] and box[1] >= bounds[1] and box[2] <= bounds[2] and box[3] <= bounds[3]


def _touches(box, others):
    return any(
        box[0] < right and left < box[2] and box[1] < bottom and top < box[3] for left, top, right, bottom in others
    )
