"""Reads sentences, with or without labels, from TSV, CSV and JSON Lines files, one row at a time."""

import functools
import os
from pathlib import Path

from kmodels.data.columns import LABEL_COLUMNS, TEXT_COLUMNS, column_indices, listed
from kmodels.data.delimited import csv_rows, tsv_rows
from kmodels.data.json_lines import json_rows
from kmodels.errors import InputError

__all__ = ["LABEL_COLUMNS", "TEXT_COLUMNS", "listed", "read_rows"]

READERS = {".tsv": tsv_rows, ".csv": csv_rows, ".jsonl": json_rows, ".ndjson": json_rows, ".json": json_rows}

BYTE_ORDER_MARK = "\ufeff"
# A binary file may be one endless line: stop before memory does.
MAX_LINE_BYTES = 2**24


def read_rows(path, text_column=None, label_column=None, require_label=True, column_advice=None):
    """Yields the rows of a TSV, CSV or JSON Lines file; the suffix says which it is.

    - TSV: a header line, fields separated by tabs, no quoting (a `"` is an ordinary character), as GLUE writes it.
    - CSV: a header line, fields separated by commas, quoted as in RFC 4180; a quoted sentence may hold newlines.
    - JSON Lines: one JSON object a line, no header; the first object's keys decide which columns are read.

    All are UTF-8, with or without a byte order mark; lines end in LF or CRLF. Lines are numbered from 1 as an editor
    shows them. Blank lines are skipped, with one exception: in a TSV file of a single column a blank line is the only
    way to write an empty sentence, so there it is one. An empty text is a sentence without tokens. White space around
    column names and labels is dropped; texts are kept as they are.

    Args:
        path: .tsv, .csv, .jsonl, .ndjson or .json (JSON Lines as well); a leading ~ is the home folder.
        text_column: column (JSON: key) with the sentence; by default the first present of TEXT_COLUMNS.
        label_column: column with the class; by default the first present of LABEL_COLUMNS.
        require_label: True: every row must have a label. False: labels are read only where `label_column` is given,
            and a row with an empty, null or missing one has the label None.
        column_advice: the end of the message about a column that is not there; None: to name one with --text_column
            or --label_column.

    Yields:
        (line_number, text, label): int, from 1, where the row begins; str; str or None. JSON integers and booleans
        come as the string that JSON writes for them: "3", "true".

    Raises:
        InputError: the file can't be read, has no rows, lacks a column, or has a row that doesn't fit.
    """
    path = Path(os.path.expanduser(path))
    row_reader = _row_reader(path)
    choose_columns = functools.partial(
        column_indices,
        text_column=text_column,
        label_column=label_column,
        require_label=require_label,
        advice=column_advice,
    )
    has_rows = False
    for row in row_reader(path, _text_lines(path), choose_columns, require_label):
        has_rows = True
        yield row
    if not has_rows:
        raise InputError(f"{path}: expected at least one row of text, found none; check that it was written to its end")


def _row_reader(path):
    """Returns the function of READERS for the file's suffix."""
    suffix = path.suffix.lower()
    if suffix in READERS:
        return READERS[suffix]
    raise InputError(
        f"{path}: expected a file that ends in {', '.join(READERS)}, got {suffix or 'no suffix'!r}; "
        "rename it, or convert it to TSV: a header line such as sentence<TAB>label, then one sentence a line"
    )


def _open(path):
    """Opens a file for reading bytes; says in one line why it can't be opened."""
    try:
        return open(path, "rb")
    except OSError as error:
        # Asked by path, not by exception: opening a folder is a PermissionError on Windows.
        if os.path.isdir(path):
            reason = "this is a folder; name a file in it"
        elif isinstance(error, FileNotFoundError):
            reason = "there is no such file; check the path"
        elif isinstance(error, PermissionError):
            reason = "you have no permission to read it; change its mode or its owner"
        else:
            reason = f"it can't be opened: {error.strerror or error}"
        raise InputError(f"{path}: expected a readable file, but {reason}") from error


def _text_lines(path):
    """Yields the file's lines as str, line ends included, without the byte order mark.

    Only LF ends a line: str.splitlines would also cut at U+0085, U+2028 and others, which sentences may hold.
    """
    with _open(path) as file:
        lines = iter(functools.partial(file.readline, MAX_LINE_BYTES + 1), b"")
        for line_number, line in enumerate(lines, start=1):
            text = _decode(line, f"{path}:{line_number}")
            if line_number == 1:  # only now: a mark taken off before would let a line of 3 bytes too many pass
                text = text.removeprefix(BYTE_ORDER_MARK)
            if line_number == 1 and "\r" in text.removesuffix("\n").removesuffix("\r"):
                raise InputError(f"{path}:1: expected lines that end in LF or CRLF, found a lone CR; convert line ends")
            yield text


def _decode(line, where):
    """Decodes one line of UTF-8."""
    if b"\0" in line:
        raise InputError(f"{where}: expected text, found a NUL byte: it is binary or UTF-16; save it as UTF-8 text")
    if len(line) > MAX_LINE_BYTES:
        raise InputError(f"{where}: expected lines of at most {MAX_LINE_BYTES} bytes, found a longer one; split it")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: expected UTF-8, found the byte 0x{line[error.start]:02x} as byte {error.start + 1} of the line; "
            "save the file as UTF-8"
        ) from error
