"""An evaluation as a table for a terminal."""

MOST_IN_MATRIX = 10  # classes of a confusion matrix that are shown
MOST_OF_NAME = 24  # characters of a class's name


def text(evaluation, confidence, num_bins):
    """The figures, the classes and the confusion matrix, as lines.

    Args:
        evaluation: kmodels.evaluation.Evaluation.
        confidence: of its intervals.
        num_bins: of its calibration error.
    """
    parts = _figure_lines(evaluation, confidence, num_bins), _class_lines(evaluation), _matrix_lines(evaluation)
    return "\n\n".join("\n".join(lines) for lines in parts)


def _figure_lines(evaluation, confidence, num_bins):
    """A line for each of the five figures, with its interval."""
    names = {
        "accuracy": "accuracy",
        "macro_f1": "macro F1",
        "matthews_correlation": "Matthews correlation",
        "loss": "loss",
        "expected_calibration_error": f"calibration error, {num_bins} bins",
    }
    rows = [["", f"{evaluation.num_sentences:,} sentences", f"{confidence:.0%} interval"]]
    for figure, name in names.items():
        pair = evaluation.intervals[figure]
        shown = "-" if pair is None else f"{pair[0]:.4f} to {pair[1]:.4f}"
        rows.append([name, f"{getattr(evaluation, figure):.4f}", shown])
    return _aligned(rows)


def _class_lines(evaluation):
    """A line for each class."""
    rows = [["class", "precision", "recall", "F1", "sentences"]]
    for each in evaluation.classes:
        parts = ["-" if part is None else f"{part:.4f}" for part in (each.precision, each.recall, each.f1)]
        rows.append([_shown(each.name), *parts, f"{each.support:,}"])
    return _aligned(rows)


def _matrix_lines(evaluation):
    """The confusion matrix, if it is not too wide."""
    names = [_shown(name) for name in evaluation.label_names]
    if len(names) > MOST_IN_MATRIX:
        return [f"confusion matrix: {len(names)} classes, too wide for here; it stands in the JSON"]
    rows = [["label \\ predicted", *names]]
    rows += [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, evaluation.confusion_matrix.tolist())]
    return _aligned(rows)


def _aligned(rows):
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        for row in rows
    ]


def _shown(name):
    """A class's name, short, and without signs that a terminal obeys."""
    name = "".join(sign if sign.isprintable() else "?" for sign in name)
    return name if len(name) <= MOST_OF_NAME else name[: MOST_OF_NAME - 1] + "…"
