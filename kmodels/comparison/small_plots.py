"""Drawings within a line of the report: the interval of a difference, the probabilities that a sentence was given."""

from kmodels.comparison import wording
from kmodels.comparison.drawing import WIDTH, line, marker, shortened, svg, text, text_width
from kmodels.comparison.drawing import element as drawn
from kmodels.comparison.series import families, series

INTERVAL_WIDTH = 120.0


def reach(pairs):
    """How far the intervals of all pairs go from zero; they are drawn to one scale."""
    ends = [abs(pair[key]) for pair in pairs for key in ("difference", "low", "high") if pair[key] is not None]
    return max(ends, default=0.0) or 1.0


def interval(pair, farthest, number):
    """A difference with its interval about a line at zero; None where there is no difference.

    Args:
        farthest: what the half width of the drawing stands for.
        number: of the pair in the report, for its name in the page.
    """
    if pair["difference"] is None:
        return None
    middle = INTERVAL_WIDTH / 2

    def place(value):
        return middle + value / farthest * (middle - 6)

    body = [line(middle, 1, middle, 19, "base")]
    if pair["low"] is not None and pair["high"] is not None:
        body.append(line(place(pair["low"]), 10, place(pair["high"]), 10, "error"))
        body += [line(place(end), 6, place(end), 14, "error") for end in (pair["low"], pair["high"])]
    body.append(drawn("circle", cx=place(pair["difference"]), cy=10.0, r=3.5, class_="mark"))
    title = f"{pair['a']} against {pair['b']}"
    description = (
        f"Difference {wording.difference(pair['difference'])}, "
        f"95 % interval {wording.difference(pair['low'])} to {wording.difference(pair['high'])}."
    )
    return svg(f"pair-{number}", title, description, body, INTERVAL_WIDTH, 20.0, "plot small")


def probabilities(sentence, comparison, number):
    """The probability that each group gave the true label of a sentence: a row a model, a mark a group.

    Args:
        sentence: an entry of comparison["disagreements"].
        number: of the sentence in the report, for its name in the page.
    """
    numbers, _ = series(comparison)
    given = sentence["probabilities"]
    rows = {
        model: [group for group in groups if group["name"] in given] for model, groups in families(comparison).items()
    }
    rows = {model: groups for model, groups in rows.items() if groups}
    if not rows:
        return None
    start, end = min(max(map(text_width, rows)) + 16, 200.0), WIDTH - 8.0
    body = []
    for tick in (0.0, 0.5, 1.0):
        x = start + tick * (end - start)
        body += [text(x, 12, f"{tick:g}", "tick", "middle"), line(x, 17, x, 19.0 + 18 * len(rows), "grid")]
    for row, (model, groups) in enumerate(rows.items()):
        y = 28.0 + 18 * row
        body.append(text(0, y + 4, shortened(model, start - 14)))
        body.append(line(start, y, end, y, "grid"))
        body += [
            marker(numbers[group["name"]], start + given[group["name"]] * (end - start), y, group["name"])
            for group in groups
        ]
    title = f"Probability of the true label, row {sentence['row']}"
    description = (
        f"From {min(given.values()):.2f} to {max(given.values()):.2f} over {wording.several(len(given), 'group')}."
    )
    return svg(f"sentence-{number}", title, description, body, height=24.0 + 18 * len(rows))


def legend(comparison):
    """What the marks of `probabilities` stand for: [(a mark as a drawing, name), …]."""
    _, names = series(comparison)
    return [
        (svg(f"series-{number}", name, "mark", [marker(number, 8, 8)], 16, 16, "plot key"), name)
        for number, name in names.items()
    ]
