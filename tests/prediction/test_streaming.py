"""Sentences from a stream: every format in any blocks, and bad lines."""

import csv
import io
import itertools
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmodels.data import files
from kmodels.errors import InputError
from kmodels.prediction import streaming
from kmodels.prediction.streaming import Row

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def reading(*blocks):
    """A `read` that gives these blocks, one at a time."""
    waiting = iter([block for block in blocks if block])
    return lambda num_bytes: next(waiting, b"")


def cut(content, places):
    """Bytes cut into blocks at places, which may lie beyond the end."""
    places = sorted({0, *(place % (len(content) + 1) for place in places), len(content)})
    return [content[start:end] for start, end in itertools.pairwise(places)]


def rows_of(content, file_format="text", places=(), text_column=None):
    """All rows of some bytes."""
    found = []
    streaming.read_rows(reading(*cut(content, places)), file_format, found.extend, text_column)
    return found


# Formats


@given(st.lists(TEXTS.map(lambda text: text.replace("\n", " ").rstrip("\r"))), st.lists(st.integers(0, 10**6)))
def test_text_gives_a_sentence_a_line_whatever_blocks_it_comes_in(texts, places):
    expected = [Row(number, text) for number, text in enumerate(texts, start=1)]
    if texts:
        expected[0] = Row(1, texts[0].removeprefix("\ufeff"))
    assert rows_of("".join(text + "\n" for text in texts).encode(), "text", places) == expected


def test_a_last_line_without_an_end_and_crlf_and_a_byte_order_mark_are_read():
    assert rows_of("\ufeffone\r\n\r\nthree".encode()) == [Row(1, "one"), Row(2, ""), Row(3, "three")]


@pytest.mark.parametrize("file_format", streaming.FORMATS)
def test_nothing_gives_nothing(file_format):
    assert rows_of(b"", file_format) == []


@given(st.lists(TEXTS, min_size=1), st.lists(st.integers(0, 10**6)), st.sampled_from(["csv", "tsv", "jsonl"]))
def test_a_stream_gives_what_the_reader_of_whole_files_gives(tmp_path_factory, texts, places, file_format):
    if file_format == "csv":
        content = io.StringIO()
        csv.writer(content).writerows([["id", "text"], *enumerate(texts)])
        content = content.getvalue()
    elif file_format == "tsv":
        texts = [text.translate(dict.fromkeys(map(ord, "\t\n\r"), " ")) for text in texts]
        content = "text\tid\n" + "".join(f"{text}\t{number}\n" for number, text in enumerate(texts))
    else:
        content = "".join(json.dumps({"id": number, "text": text}) + "\n\n" for number, text in enumerate(texts))
    path = tmp_path_factory.getbasetemp() / f"stream.{file_format}"
    path.write_bytes(content.encode())
    expected = [Row(line, text) for line, text, _ in files.read_rows(path, require_label=False)]
    assert rows_of(content.encode(), file_format, places) == expected
    assert [row.text for row in expected] == texts


def test_a_named_column_is_read():
    assert rows_of(b"sentence,other\na,b\n", "csv", text_column="other") == [Row(2, "b")]
    assert rows_of(b'{"sentence": "a", "other": "b"}\n', "jsonl", text_column="other") == [Row(1, "b")]


@pytest.mark.parametrize(
    ("file_format", "content", "message"),
    [
        ("csv", b"\nnumber,words\n1,2\n", "stdin:2: expected a column named 'sentence'"),
        ("tsv", b"text\ttext\na\tb\n", "stdin:1: expected every column name once"),
        ("csv", b'"text\n', "stdin:1: expected a row of CSV"),
        ("jsonl", b'nonsense\n{"words": "a"}\n', "stdin:2: expected a column named 'sentence'"),
    ],
)
def test_a_stream_without_a_column_to_read_is_refused(file_format, content, message):
    with pytest.raises(InputError) as refused:
        rows_of(content, file_format)
    assert str(refused.value).startswith(message)


def test_a_read_that_fails_is_refused_in_one_line():
    def read(num_bytes):
        raise OSError(5, "Input/output error")

    with pytest.raises(InputError, match="stdin can't be read: Input/output error"):
        streaming.read_rows(read, "text", list)


# Bad lines


@pytest.mark.parametrize(
    ("file_format", "content", "bad"),
    [
        ("text", b"a\n\xff\xfe\nb\n", {2: "expected UTF-8, found the byte 0xff as byte 1 of the line"}),
        ("text", b"a\nb\0\nc\n", {2: "found a NUL byte"}),
        ("tsv", b"text\tn\na\t1\nb\nc\t1\t2\n\xffd\t3\ne\t4\n", {3: "got 1", 4: "got 3", 5: "expected UTF-8"}),
        ("csv", b'text,n\na,1\n"b"x,2\nc\n\n"d\xff\nd",4\ne,5\n', {3: "quoting mistake", 4: "got 1", 6: "UTF-8"}),
        (
            "jsonl",
            b'{"text": "a"}\n{\n[]\n{"txt": ""}\n{"text": 3}\n{"text": "\\ud800"}\n{"text": "b"}\n',
            {
                2: "doesn't parse",
                3: "expected a JSON object, got []",
                4: "expected the key 'text', as in the first line; the keys here are 'txt'",
                5: "expected a string as 'text', got 3",
                6: "half a surrogate pair",
            },
        ),
    ],
)
def test_a_bad_line_keeps_its_place_and_the_rest_goes_on(file_format, content, bad):
    rows = rows_of(content, file_format)
    assert [row.line for row in rows if row.error] == list(bad)
    for row in rows:
        assert (row.text is None) == (row.error is not None)
        assert row.error is None or bad[row.line] in row.error
        assert row.error is None or not row.error.startswith(":")
    assert [row.line for row in rows] == sorted(row.line for row in rows)
    assert rows[0].text == "a"
    assert rows[-1].text is not None


def test_an_endless_line_is_a_bad_line_and_takes_no_memory(monkeypatch):
    monkeypatch.setattr(streaming, "MAX_LINE_BYTES", 1000)
    blocks = itertools.chain(itertools.repeat(b"x" * 65536, 500), [b"\n" + b"y" * 999 + b"\nz\n"])
    found = []
    tracemalloc.start()
    streaming.read_rows(lambda num_bytes: next(blocks, b""), "text", found.extend)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(row.line, row.text) for row in found] == [(1, None), (2, "y" * 999), (3, "z")]
    assert "expected lines of at most 1000 bytes" in found[0].error
    assert peak < 10**6


def test_a_quote_that_is_never_closed_ends_at_its_limit_and_the_rest_goes_on(monkeypatch):
    monkeypatch.setattr(streaming, "MAX_FIELD_CHARACTERS", 100)
    before = csv.field_size_limit(100)
    try:
        rows = rows_of(b'text\na\n"never closed\n' + b"swallowed\n" * 20 + b"b\n", "csv")
    finally:
        csv.field_size_limit(before)
    assert rows[0] == Row(2, "a")
    assert rows[1].line == 3
    assert "quoting mistake" in rows[1].error
    assert rows[-1].text == "b"


# As it comes


@pytest.mark.parametrize(
    ("file_format", "blocks"),
    [
        ("text", [b"a\nb\nc", b"\n"]),
        ("csv", [b'text\na\n"b"\n"c', b'"\n']),
        ("jsonl", [b'{"text": "a"}\n{"text": "b"}\n{"te', b'xt": "c"}\n']),
    ],
)
def test_what_has_come_is_given_before_the_next_read(file_format, blocks):
    given_before = []
    found, waiting = [], iter(blocks)

    def read(num_bytes):
        given_before.append([row.text for row in found])
        return next(waiting, b"")

    streaming.read_rows(read, file_format, found.extend)
    assert given_before == [[], ["a", "b"], ["a", "b", "c"]]
