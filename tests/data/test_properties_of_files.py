"""Readers of files: what was written comes back whatever stands around it, and nothing at all makes them stumble."""

import io
import json
import time
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kmodels.data import files
from kmodels.data.files import read_rows
from kmodels.errors import InputError
from tests.damage import damaged

# What some format or some reader gives a meaning to.
SPECIAL = "',;\\#{[\ufeff\u00a0\u2028\x85\x1c"


def texts(special, excluded):
    """Strategy of texts in which some characters are much more frequent than others."""
    ordinary = st.text(st.characters(codec="utf-8", exclude_characters=excluded), max_size=3)
    return st.lists(st.one_of(ordinary, st.sampled_from(special), st.sampled_from(' "')), max_size=5).map("".join)


# NUL is refused in a text file; a TSV field can't hold what separates fields and rows.
ANY_TEXT = texts(SPECIAL + "\t\r\n", excluded="\0")
TAB_FREE_TEXT = texts(SPECIAL, excluded="\0\t\r\n")
QUOTED_IN_CSV = frozenset(',"\r\n')
NO_LABEL = object()  # the key is not in the JSON object


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for a module: hypothesis runs many examples within one test."""
    return tmp_path_factory.mktemp("files")


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


def assert_refused(path, line_number, **options):
    """Asserts that reading ends in one line that names the file, and the line if a number is given."""
    with pytest.raises(InputError) as caught:
        list(read_rows(path, **options))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{path}:" if line_number is None else f"{path}:{line_number}:"), message


def assert_read_or_refused(path, **options):
    """Asserts that reading gives rows as documented, or ends in one line that names the file."""
    try:
        rows = list(read_rows(path, **options))
    except InputError as error:
        assert str(error).startswith(str(path))
        assert len(str(error).splitlines()) == 1
        return
    numbers = [number for number, _, _ in rows]
    assert numbers and numbers == sorted(set(numbers))
    for _, text, label in rows:
        assert text.encode() is not None
        assert label is None or (label == label.strip() != "" and label.encode() is not None)


# Files as programs write them


def csv_field(draw, field):
    must = not QUOTED_IN_CSV.isdisjoint(field)
    return '"' + field.replace('"', '""') + '"' if must or draw(st.booleans()) else field


def table_line(draw, suffix, fields):
    if suffix == ".csv":
        return ",".join(csv_field(draw, field) for field in fields)
    return "\t".join(fields)


def json_line(draw, row):
    """A JSON object with its keys in any order, white space and escapes as one likes."""
    row = {key: row[key] for key in draw(st.permutations(list(row))) if row[key] is not NO_LABEL}
    separators = draw(st.sampled_from([None, (",", ":"), (" ,\t", " : ")]))
    return json.dumps(row, ensure_ascii=draw(st.booleans()), separators=separators)


@st.composite
def rows_to_write(draw, suffix, some_labels_missing):
    """[{"text", "label", and a column that nobody reads}, …]; a missing label is None, or NO_LABEL."""
    text = TAB_FREE_TEXT if suffix == ".tsv" else ANY_TEXT
    label = text.map(str.strip).filter(bool)
    if suffix == ".jsonl":
        label = st.one_of(label, st.integers(), st.booleans())
    if some_labels_missing:
        missing = {".jsonl": [None, "", " ", NO_LABEL]}.get(suffix, ["", " "])
        label = st.one_of(label, st.sampled_from(missing))
    rows = draw(st.lists(st.fixed_dictionaries({"text": text, "label": label, "a, b": text}), min_size=1, max_size=6))
    if rows[0]["label"] is NO_LABEL:  # the first object says which keys there are
        rows[0]["label"] = None
    return rows


@st.composite
def written_files(draw, some_labels_missing=False):
    """(suffix, content, [(line_number, text, label or None), …]): a file, and what is to be read from it."""
    suffix = draw(st.sampled_from([".tsv", ".csv", ".jsonl"]))
    rows = draw(rows_to_write(suffix, some_labels_missing))
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    blank_lines = st.lists(st.sampled_from(["", " "]), max_size=2).map(
        lambda lines: [line + line_end for line in lines]
    )
    columns = draw(st.permutations(["text", "label", "a, b"]))
    content, expected = "", []
    if suffix != ".jsonl":
        content = "".join(draw(blank_lines)) + table_line(draw, suffix, columns) + line_end
    for row in rows:
        content += "".join(draw(blank_lines))
        expected.append((content.count("\n") + 1, row["text"], label_to_read(row["label"])))
        line = json_line(draw, row) if suffix == ".jsonl" else table_line(draw, suffix, [row[name] for name in columns])
        content += line + line_end
    content = content.removesuffix(line_end if draw(st.booleans()) else "")
    return suffix, content.encode(draw(st.sampled_from(["utf-8", "utf-8-sig"]))), expected


def label_to_read(label):
    if label is None or label is NO_LABEL:
        return None
    return label.strip() or None if isinstance(label, str) else json.dumps(label)


@settings(max_examples=300)
@given(written_files())
def test_rows_come_back_whatever_the_quotes_line_ends_blank_lines_and_other_columns(folder, file):
    suffix, content, expected = file
    path = written(folder, f"rows{suffix}", content)
    assert list(read_rows(path)) == expected
    assert list(read_rows(path, require_label=False)) == [(number, text, None) for number, text, _ in expected]


@settings(max_examples=200)
@given(written_files(some_labels_missing=True))
def test_missing_labels_are_none_where_they_may_be_and_else_refused_at_their_line(folder, file):
    suffix, content, expected = file
    path = written(folder, f"labels{suffix}", content)
    assert list(read_rows(path, label_column="label", require_label=False)) == expected
    unlabelled = [number for number, _, label in expected if label is None]
    if unlabelled:
        assert_refused(path, unlabelled[0])
    else:
        assert list(read_rows(path)) == expected


@settings(max_examples=200)
@given(written_files(), st.integers(1, 60))
@example((".tsv", b"\xef\xbb\xbflabel\ttext\nx\ty\n", [(2, "y", "x")]), 12)
def test_a_line_is_read_whole_or_refused_at_its_place_never_cut(folder, file, limit):
    suffix, content, expected = file
    path = written(folder, f"long{suffix}", content)
    too_long = [number for number, line in enumerate(io.BytesIO(content), 1) if len(line) > limit]
    with mock.patch.object(files, "MAX_LINE_BYTES", limit):
        if too_long:
            assert_refused(path, too_long[0])
        else:
            assert list(read_rows(path)) == expected


# Files as they should not be


@settings(max_examples=300)
@given(st.sampled_from(["fuzz.tsv", "fuzz.csv", "fuzz.jsonl"]), st.binary(max_size=60))
@example("fuzz.jsonl", b"[" * 100_000)
@example("fuzz.jsonl", b'{"text": ' + b"9" * 5000 + b"}")
@example("fuzz.jsonl", b'{"text": "\\ud800"}')
@example("fuzz.csv", b'text\n"')
@example("fuzz.csv", b"text\na\rb")
def test_any_bytes_give_rows_or_an_error_of_one_line(folder, name, content):
    for header in (b"", b"text\n", b"text,label\n", b"text\tlabel\n"):
        path = written(folder, name, header + content)
        for options in ({}, {"require_label": False}):
            assert_read_or_refused(path, **options)


@settings(max_examples=600)
@given(written_files().flatmap(lambda file: st.tuples(st.just(file[0]), damaged(file[1]))))
def test_a_damaged_file_gives_rows_or_an_error_of_one_line(folder, file):
    suffix, content = file
    path = written(folder, f"damaged{suffix}", content)
    for options in ({}, {"require_label": False}, {"require_label": False, "label_column": "label"}):
        assert_read_or_refused(path, **options)


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_a_line_of_very_many_names_is_refused_at_once(folder, suffix):
    names = [f"name{number}" for number in range(50_000)]
    separator = {".tsv": "\t", ".csv": ","}.get(suffix)
    content = separator.join(names) if separator else json.dumps(dict.fromkeys(names))
    path = written(folder, f"wide{suffix}", content.encode())
    start = time.process_time()
    assert_refused(path, 1)
    assert time.process_time() - start < 5
