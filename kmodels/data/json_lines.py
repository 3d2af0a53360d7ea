"""Rows of JSON Lines files: one JSON object a line, with the text and the label under two of its keys."""

import json

from kmodels.data.columns import listed, nearest_hint, shown
from kmodels.errors import InputError


def json_rows(path, lines, choose_columns, require_label):
    """Yields (line_number, text, label) of a JSON Lines file; the first object's keys decide which are read.

    Args:
        path: Path, for messages.
        lines: the file's lines, str.
        choose_columns: function of the first object's keys and their place to (text_index, label_index or None).
        require_label: False: an empty, null or missing label is None, not an error.
    """
    keys = None
    for line_number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}:{line_number}"
        record = _json_object(line, where)
        if keys is None:
            columns = list(record)
            indices = choose_columns(columns, where)
            keys = [None if index is None else columns[index] for index in indices]
        text_key, label_key = keys
        text = _json_text(record, text_key, where)
        label = None if label_key is None else _json_label(record, label_key, require_label, where)
        if "\\" in line:  # only an escape can bring in half a surrogate pair, which no tokenizer takes
            _check_encodable(text, where)
            _check_encodable(label or "", where)
        yield line_number, text, label


def _unique_keys(pairs):
    """Makes a dict of a JSON object's pairs; json.loads would silently keep the last of two equal keys."""
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("it has the same key twice")
    return record


_JSON_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys)


def _json_object(line, where):
    """Parses one line that must hold one JSON object."""
    try:
        record = _JSON_DECODER.decode(line)
    except (ValueError, RecursionError) as error:  # ValueError: JSONDecodeError, a repeated key, an endless integer
        raise InputError(
            f"{where}: expected one whole JSON object on the line, but it doesn't parse "
            f"({shown(str(error), quote=False)}); write one object a line"
        ) from error
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected a JSON object, got {shown(record)}; write one object a line")
    return record


def _json_text(record, key, where):
    if key not in record:
        raise _missing_key(record, key, where)
    text = record[key]
    if not isinstance(text, str):
        raise InputError(f"{where}: expected a string as {key!r}, got {shown(text)}; put the sentence in quotes")
    return text


def _json_label(record, key, require_label, where):
    """Returns the label as a string, or None where there is none and none is required."""
    if require_label and key not in record:
        raise _missing_key(record, key, where)
    label = record.get(key)
    if isinstance(label, str):
        label = label.strip()
    if isinstance(label, (bool, int)):
        return json.dumps(label)
    if isinstance(label, str) and label:
        return label
    if not require_label and (label is None or label == ""):
        return None
    raise InputError(
        f"{where}: expected a non-empty string, an integer or a boolean as {key!r}, got {shown(label)}; "
        "give each row the name or number of one class"
    )


def _missing_key(record, key, where):
    return InputError(
        f"{where}: expected the key {key!r}, as in the first line; the keys here are {listed(record)}"
        f"{nearest_hint([key], list(record))}; give every line the same keys"
    )


def _check_encodable(text, where):
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: expected whole characters, found half a surrogate pair (\\u{ord(text[error.start]):04x}); "
            "write it as a pair of \\u escapes or as UTF-8"
        ) from error
