"""Chooses the columns of a file with the text and the label, and puts names and values into words for messages."""

import difflib

from kmodels.errors import InputError

TEXT_COLUMNS = ("sentence", "text", "review", "content")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target")


def column_indices(columns, where, text_column, label_column, require_label, advice=None):
    """Finds the text column and the label column of a file.

    Args:
        columns: list of str, the names there are.
        where: path and line of the names, for messages.
        text_column, label_column, require_label: see `kmodels.data.files.read_rows`.
        advice: what to do about a column that is not there; None: to name another with its flag.

    Returns:
        (text_index, label_index): indices into columns; label_index is None where labels are not read.

    Raises:
        InputError: a column is not there, or one column would be both.
    """
    text_index = _column_index(columns, text_column, TEXT_COLUMNS, where, advice or "name one with --text_column")
    if label_column is None and not require_label:
        return text_index, None
    label_index = _column_index(columns, label_column, LABEL_COLUMNS, where, advice or "name one with --label_column")
    if text_index == label_index:
        raise InputError(
            f"{where}: expected text and label in two columns, got {columns[text_index]!r} for both; "
            "change --text_column or --label_column"
        )
    return text_index, label_index


def _column_index(columns, wanted, defaults, where, advice):
    """Returns the index of the wanted column, or without one that of the first default there is."""
    candidates = defaults if wanted is None else (wanted,)
    for name in candidates:
        if name in columns:
            return columns.index(name)
    choice = "a column named " + " or ".join(map(repr, candidates))
    hint = nearest_hint(candidates, columns)
    if len(columns) == 1 and any(separator in columns[0] for separator in ",;\t"):
        hint = "; .tsv separates its fields by tabs, .csv by commas"
    raise InputError(f"{where}: expected {choice}; the columns are {listed(columns)}{hint}; {advice}")


def nearest_hint(wanted, columns):
    """Returns "; did you mean 'Label'?" where a column's name is close to a wanted one, else ""."""
    by_lower = {name.lower(): name for name in columns}
    for name in wanted:
        for match in difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7):
            return f"; did you mean {shown(by_lower[match])}?"
    return ""


# Words for messages


def shown(value, quote=True, max_characters=60):
    """Returns a value on one line, cut short: a whole review would bury the message.

    With quote=False a string is shown without quotes around it.
    """
    text = repr(value) if quote or not isinstance(value, str) else value.replace("\n", " ")
    return text if len(text) <= max_characters else text[:max_characters] + "…"


def listed(names, max_names=10):
    """Returns names quoted, separated by commas, and cut short for a message of one line."""
    names = list(names)
    first_names = ", ".join(shown(name) for name in names[:max_names])
    num_more = len(names) - max_names
    return f"{first_names} and {num_more} more" if num_more > 0 else first_names or "none"
