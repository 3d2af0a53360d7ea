"""Sentences as they come: lines of text, TSV, CSV or JSON Lines from a pipe or a file, in constant memory.

Whatever has come is handed on before the next read may block, so that a slow pipe gets its answers at once. A bad line
keeps its place and says what is wrong with it; the rest goes on.
"""

import csv
from pathlib import Path
from typing import NamedTuple

from kmodels.data.columns import column_indices, listed
from kmodels.data.delimited import MAX_FIELD_CHARACTERS
from kmodels.data.files import BYTE_ORDER_MARK, MAX_LINE_BYTES
from kmodels.data.json_lines import json_rows
from kmodels.errors import InputError

FORMATS = ("text", "tsv", "csv", "jsonl")
_SUFFIXES = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}

BLOCK_BYTES = 2**16  # of one read, about a thousand sentences


class Row(NamedTuple):
    """A sentence, or what is wrong with its line.

    Attributes:
        line: number of the line where it begins, from 1.
        text: the sentence; None if the line is bad.
        error: what was expected, what came, what to do; None if the line is good.
    """

    line: int
    text: str | None
    error: str | None = None


def format_of(path):
    """The format that a file's name ends in: one of FORMATS; text if the ending is none of theirs."""
    return _SUFFIXES.get(Path(path).suffix.lower(), "text")


def read_rows(read, file_format, give, text_column=None, name="stdin"):
    """Reads a stream to its end, and gives its rows on before each read.

    Formats are those of `kmodels.data.files.read_rows`, and text: a sentence a line, an empty line an empty sentence.

    Args:
        read: function of a number of bytes that waits for at least one and returns at most so many; b"" at the end.
        file_format: one of FORMATS.
        give: function that takes a list of `Row`, in the order of the input.
        text_column: column (JSON: key) with the sentence; by default the first present of TEXT_COLUMNS.
        name: of the stream, for messages.

    Raises:
        InputError: a read fails, or there is no such column.
    """
    rows: list[Row] = []

    def hand_on():
        if rows:
            give(rows.copy())
            rows.clear()

    columns = _Columns(text_column, name)
    for row in _READERS[file_format](_decoded(_lines(read, hand_on, name)), columns):
        rows.append(row)
    hand_on()


# Lines


def _lines(read, before_reading, name):
    """Yields lines of bytes, line ends included; of a line that is too long, the beginning."""
    begun, most = bytearray(), MAX_LINE_BYTES + 1
    while True:
        before_reading()
        try:
            block = read(BLOCK_BYTES)
        except OSError as error:
            raise InputError(f"{name} can't be read: {error.strerror}") from error
        if not block:
            break
        *ends, rest = block.split(b"\n")  # bytes.splitlines would also cut at a CR
        for end in ends:
            begun += end[: most - len(begun)]
            yield bytes(begun) + b"\n"
            begun.clear()
        begun += rest[: most - len(begun)]
    if begun:
        yield bytes(begun)


def _decoded(lines):
    """Yields a Row for each line of bytes: its text, line end included, or what is wrong with it."""
    for number, line in enumerate(lines, start=1):
        error = text = None
        if len(line) > MAX_LINE_BYTES:
            error = f"expected lines of at most {MAX_LINE_BYTES} bytes, found a longer one; split it"
        elif b"\0" in line:
            error = "expected text, found a NUL byte: it is binary or UTF-16; save it as UTF-8 text"
        else:
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as wrong:
                error = (
                    f"expected UTF-8, found the byte 0x{line[wrong.start]:02x} as byte {wrong.start + 1} of the line; "
                    "save the file as UTF-8"
                )
        if number == 1 and text:
            text = text.removeprefix(BYTE_ORDER_MARK)
        yield Row(number, text, error)


# Formats


class _Columns:
    """Which column holds the sentence. A column that is not there ends the stream: no line would have one."""

    def __init__(self, text_column, name):
        self.text_column = text_column
        self.name = name
        self.names = None
        self.text_index = None

    def choose(self, names, line):
        """Takes the columns that a header or a first object on this line names."""
        where = f"{self.name}:{line}"
        try:
            index, _ = column_indices(names, where, self.text_column, None, require_label=False)
        except InputError as error:
            raise _NoColumn(str(error)) from error
        if names.count(names[index]) > 1:
            raise _NoColumn(
                f"{where}: expected every column name once, got {names[index]!r} more than once; rename one"
            )
        self.names, self.text_index = names, index


class _NoColumn(InputError):
    """The stream has no column to read."""


def _text_rows(lines, columns):
    for row in lines:
        yield row if row.text is None else Row(row.line, _without_line_end(row.text))


def _tsv_rows(lines, columns):
    advice = "separate fields by one tab, and replace tabs and newlines within a sentence by spaces"
    return _table_rows(_tsv_records(lines), columns, advice)


def _csv_rows(lines, columns):
    advice = "separate fields by commas, and put a sentence that holds a comma in double quotes"
    return _table_rows(_csv_records(lines), columns, advice)


def _table_rows(records, columns, advice):
    """Yields the rows of (line, fields, error) with the header first."""
    for line, fields, error in records:
        is_blank = not error and (not fields or (len(fields) == 1 and not fields[0].strip()))
        if columns.names is None:
            if error:
                raise InputError(f"{columns.name}:{line}: {error}")
            if not is_blank:
                columns.choose([field.strip() for field in fields], line)
        elif error:
            yield Row(line, None, error)
        elif len(fields) == len(columns.names):
            yield Row(line, fields[columns.text_index])
        elif not is_blank:
            expected = f"expected {len(columns.names)} fields ({listed(columns.names)})"
            yield Row(line, None, f"{expected}, got {len(fields)}; {advice}")


def _tsv_records(lines):
    """Yields (line, fields or None, error or None)."""
    for row in lines:
        yield row.line, None if row.error else _without_line_end(row.text).split("\t"), row.error


def _csv_records(lines):
    """Yields (line where it begins, fields or None, error or None); no fields for a blank line."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARACTERS))
    errors = []

    def texts():
        for row in lines:
            if row.error:
                errors.append(row.error)
            yield "\n" if row.error else row.text

    reader = csv.reader(texts(), strict=True)
    while True:
        line, fields = reader.line_num + 1, None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            errors.append(
                f"expected a row of CSV, found a quoting mistake in the row that starts here ({error}); "
                "put a field in double quotes, and double those within it"
            )
        yield line, fields, errors[0] if errors else None
        errors.clear()


def _json_lines_rows(lines, columns):
    for row in lines:
        if row.error:
            yield row
        elif row.text.strip():
            yield _json_row(row, columns)


def _json_row(row, columns):
    """The Row of a line that must hold a JSON object."""

    def choose(keys, _):
        if columns.names is None:
            columns.choose(keys, row.line)
        key = columns.names[columns.text_index]
        if key not in keys:
            raise InputError(f":1: expected the key {key!r}, as in the first line; the keys here are {listed(keys)}")
        return keys.index(key), None

    try:
        [(_, text, _)] = json_rows("", [row.text], choose, require_label=False)
    except _NoColumn:
        raise
    except InputError as error:
        return Row(row.line, None, str(error).removeprefix(":1: "))  # of the line alone; its number is ours
    return Row(row.line, text)


def _without_line_end(text):
    return text.removesuffix("\n").removesuffix("\r")


_READERS = {"text": _text_rows, "tsv": _tsv_rows, "csv": _csv_rows, "jsonl": _json_lines_rows}
