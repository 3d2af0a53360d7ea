"""Rows of TSV files, without quoting as GLUE writes them, and of CSV files, quoted as in RFC 4180."""

import csv
from collections import Counter

from kmodels.data.columns import listed
from kmodels.errors import InputError

# A quote that is never closed may make one endless field: stop before memory does.
MAX_FIELD_CHARACTERS = 2**24


def tsv_rows(path, lines, choose_columns, require_label):
    """Yields (line_number, text, label) of a TSV file: fields separated by tabs, no quoting.

    Args:
        path: Path, for messages.
        lines: the file's lines, str, line ends included.
        choose_columns: function of the column names and their place to (text_index, label_index or None).
        require_label: False: an empty label is None, not an error.
    """
    return _table_rows(path, _tsv_records(lines), choose_columns, require_label)


def csv_rows(path, lines, choose_columns, require_label):
    """Yields (line_number, text, label) of a CSV file, quoted as in RFC 4180; arguments as for `tsv_rows`."""
    return _table_rows(path, _csv_records(path, lines), choose_columns, require_label)


def _tsv_records(lines):
    """Yields (line_number, fields) of a TSV file, header included."""
    for line_number, line in enumerate(lines, start=1):
        yield line_number, line.removesuffix("\n").removesuffix("\r").split("\t")


def _csv_records(path, lines):
    """Yields (line_number, fields) of a CSV file, header included; no fields for a blank line."""
    # The module's own limit of 128 Ki characters is less than a long review.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARACTERS))
    # strict: otherwise a quote that is never closed swallows the rest of the file without a word
    reader = csv.reader(lines, strict=True)
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


def _table_rows(path, records, choose_columns, require_label):
    """Yields (line_number, text, label) of a file with a header."""
    header_line, columns = _header(path, records)
    text_index, label_index = choose_columns(columns, f"{path}:{header_line}")
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
    repeated = sorted(name for name, count in Counter(columns).items() if name and count > 1)
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
