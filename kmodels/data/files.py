"""Reads sentences, with or without labels, from TSV, CSV and JSON Lines files, one row at a time.

- TSV: a header line, fields separated by tabs, no quoting (a `"` is an ordinary character), as GLUE writes it.
- CSV: a header line, fields separated by commas, quoted as in RFC 4180; a quoted sentence may hold newlines.
- JSON Lines: one JSON object a line, no header; the first object's keys decide which columns are read.

All are UTF-8, with or without a byte order mark; lines end in LF or CRLF. Lines are numbered from 1 as an editor shows
them. Blank lines are skipped, with one exception: in a TSV file of a single column a blank line is the only way to
write an empty sentence, so there it is one. An empty text is a sentence without tokens. White space around column
names and labels is dropped; texts are kept as they are.
"""

import codecs
import csv
import difflib
import functools
import json
import os
from pathlib import Path

from kmodels.errors import InputError

TEXT_COLUMNS = ("sentence", "text", "review", "content")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target")
SUFFIXES = (".tsv", ".csv", ".jsonl", ".ndjson", ".json")

# A binary file may be one endless line, and a quote that is never closed one endless field: stop before memory does.
MAX_LINE_BYTES = 2**24
MAX_FIELD_CHARACTERS = 2**24


def read_rows(path, text_column=None, label_column=None, require_label=True):
    """Yields the rows of a TSV, CSV or JSON Lines file; the suffix says which it is.

    Args:
        path: .tsv, .csv, .jsonl, .ndjson or .json (JSON Lines as well); a leading ~ is the home folder.
        text_column: column (JSON: key) with the sentence; by default the first present of TEXT_COLUMNS.
        label_column: column with the class; by default the first present of LABEL_COLUMNS.
        require_label: True: every row must have a label. False: labels are read only where `label_column` is given,
            and a row with an empty, null or missing one has the label None.

    Yields:
        (line_number, text, label): int, from 1, where the row begins; str; str or None. JSON integers and booleans
        come as the string that JSON writes for them: "3", "true".

    Raises:
        InputError: the file can't be read, has no rows, lacks a column, or has a row that doesn't fit.
    """
    path = Path(os.path.expanduser(path))
    row_reader = _row_reader(path)
    has_rows = False
    for row in row_reader(path, text_column, label_column, require_label):
        has_rows = True
        yield row
    if not has_rows:
        raise InputError(f"{path}: expected at least one row of text, found none; check that it was written to its end")


def _row_reader(path):
    """Returns the generator function for the file's suffix."""
    suffix = path.suffix.lower()
    if suffix == ".tsv":
        return functools.partial(_table_rows, records_of=_tsv_records)
    if suffix == ".csv":
        return functools.partial(_table_rows, records_of=_csv_records)
    if suffix in SUFFIXES:
        return _json_rows
    raise InputError(
        f"{path}: expected a file that ends in {', '.join(SUFFIXES)}, got {suffix or 'no suffix'!r}; "
        "rename it, or convert it to TSV: a header line such as sentence<TAB>label, then one sentence a line"
    )


# Lines


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
            if line_number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            text = _decode(line, f"{path}:{line_number}")
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


# Tables: TSV and CSV


def _tsv_records(path):
    """Yields (line_number, fields) of a TSV file, header included."""
    for line_number, line in enumerate(_text_lines(path), start=1):
        yield line_number, line.removesuffix("\n").removesuffix("\r").split("\t")


def _csv_records(path):
    """Yields (line_number, fields) of a CSV file, header included; no fields for a blank line."""
    # The module's own limit of 128 Ki characters is less than a long review.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARACTERS))
    # strict: otherwise a quote that is never closed swallows the rest of the file without a word
    reader = csv.reader(_text_lines(path), strict=True)
    while True:
        line_number = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(
                f"{path}:{line_number}: expected a row of CSV, found a quoting mistake in the row that starts here "
                f"({error}); put a field in double quotes, and double those within it"
            ) from error
        yield line_number, fields


def _table_rows(path, text_column, label_column, require_label, records_of):
    """Yields (line_number, text, label) of a file with a header."""
    records = records_of(path)
    header_line, columns = _header(path, records)
    text_index, label_index = _column_indices(
        columns, text_column, label_column, require_label, f"{path}:{header_line}"
    )
    for line_number, fields in records:
        if len(fields) != len(columns):
            if _is_blank(fields):
                continue
            raise _wrong_field_count(path, line_number, columns, fields)
        label = None if label_index is None else fields[label_index].strip() or None
        if label is None and require_label:
            raise InputError(f"{path}:{line_number}: expected a label, found an empty field; label or remove the row")
        yield line_number, fields[text_index], label


def _is_blank(fields):
    return not fields or (len(fields) == 1 and not fields[0].strip())


def _header(path, records):
    """Returns the header's line number and the column names; unnamed columns are ""."""
    for line_number, fields in records:  # noqa: B007  the header's is needed below
        if not _is_blank(fields):
            columns = [name.strip() for name in fields]
            break
    else:
        raise InputError(f"{path}: expected a header line such as sentence,label, but the file is empty; fill it")
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    if repeated:
        raise InputError(
            f"{path}:{line_number}: expected every column name once, got {listed(repeated)} more than once; rename one"
        )
    return line_number, columns


def _wrong_field_count(path, line_number, columns, fields):
    if path.suffix.lower() == ".csv":
        advice = "separate fields by commas, and put a sentence that holds a comma in double quotes"
    else:
        advice = "separate fields by one tab, and replace tabs and newlines within a sentence by spaces"
    return InputError(
        f"{path}:{line_number}: expected {len(columns)} fields ({listed(columns)}), got {len(fields)}; {advice}"
    )


# JSON Lines


def _json_rows(path, text_column, label_column, require_label):
    """Yields (line_number, text, label) of a JSON Lines file."""
    keys = None
    for line_number, line in enumerate(_text_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path}:{line_number}"
        record = _json_object(line, where)
        if keys is None:
            columns = list(record)
            indices = _column_indices(columns, text_column, label_column, require_label, where)
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
            f"({_shown(str(error), quote=False)}); write one object a line"
        ) from error
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected a JSON object, got {_shown(record)}; write one object a line")
    return record


def _json_text(record, key, where):
    if key not in record:
        raise _missing_key(record, key, where)
    text = record[key]
    if not isinstance(text, str):
        raise InputError(f"{where}: expected a string as {key!r}, got {_shown(text)}; put the sentence in quotes")
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
        f"{where}: expected a non-empty string, an integer or a boolean as {key!r}, got {_shown(label)}; "
        "give each row the name or number of one class"
    )


def _missing_key(record, key, where):
    return InputError(
        f"{where}: expected the key {key!r}, as in the first line; the keys here are {listed(record)}"
        f"{_nearest_hint([key], list(record))}; give every line the same keys"
    )


def _check_encodable(text, where):
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where}: expected whole characters, found half a surrogate pair (\\u{ord(text[error.start]):04x}); "
            "write it as a pair of \\u escapes or as UTF-8"
        ) from error


# Columns


def _column_indices(columns, text_column, label_column, require_label, where):
    """Returns the indices of the text column and of the label column (None: labels are not read)."""
    text_index = _column_index(columns, text_column, TEXT_COLUMNS, "text_column", where)
    if label_column is None and not require_label:
        return text_index, None
    label_index = _column_index(columns, label_column, LABEL_COLUMNS, "label_column", where)
    if text_index == label_index:
        raise InputError(
            f"{where}: expected text and label in two columns, got {columns[text_index]!r} for both; "
            "change --text_column or --label_column"
        )
    return text_index, label_index


def _column_index(columns, wanted, defaults, flag, where):
    """Returns the index of the wanted column, or without one that of the first default there is."""
    candidates = defaults if wanted is None else (wanted,)
    for name in candidates:
        if name in columns:
            return columns.index(name)
    choice = "a column named " + " or ".join(map(repr, candidates))
    hint = _nearest_hint(candidates, columns)
    if len(columns) == 1 and any(separator in columns[0] for separator in ",;\t"):
        hint = "; .tsv separates its fields by tabs, .csv by commas"
    raise InputError(f"{where}: expected {choice}; the columns are {listed(columns)}{hint}; name one with --{flag}")


def _nearest_hint(wanted, columns):
    """Returns "; did you mean 'Label'?" where a column's name is close to a wanted one, else ""."""
    by_lower = {name.lower(): name for name in columns}
    for name in wanted:
        for match in difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7):
            return f"; did you mean {_shown(by_lower[match])}?"
    return ""


# Words for messages


def _shown(value, quote=True, max_characters=60):
    """Returns a value on one line, cut short: a whole review would bury the message.

    With quote=False a string is shown without quotes around it.
    """
    text = repr(value) if quote or not isinstance(value, str) else value.replace("\n", " ")
    return text if len(text) <= max_characters else text[:max_characters] + "…"


def listed(names, max_names=10):
    """Returns names quoted, separated by commas, and cut short for a message of one line."""
    names = list(names)
    shown = ", ".join(_shown(name) for name in names[:max_names])
    num_more = len(names) - max_names
    return f"{shown} and {num_more} more" if num_more > 0 else shown or "none"
