import csv
import io
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kmodels.data import files
from kmodels.data.files import read_rows
from kmodels.errors import InputError

# Everything UTF-8 can hold, less NUL, which is refused in a text file.
characters = st.characters(codec="utf-8", exclude_characters="\0")
texts = st.text(characters, max_size=20)
# A TSV field can't hold what separates fields and rows.
tab_free_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\t\n\r"), max_size=20)
labels = st.text(characters, min_size=1, max_size=8).map(str.strip).filter(bool)
tab_free_labels = tab_free_texts.map(str.strip).filter(bool)

TSV = "sentence\tlabel\n"
CSV = "sentence,label\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for a module: hypothesis runs many examples within one test."""
    return tmp_path_factory.mktemp("files")


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(folder, name, content, **options):
    return list(read_rows(written(folder, name, content), **options))


def message_of(path, **options):
    """Returns the message of the one error that reading must end in; it has one line and names the file."""
    with pytest.raises(InputError) as caught:
        list(read_rows(path, **options))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(path))
    return message


def assert_error(folder, name, content, line_number, *pieces, **options):
    """Asserts that reading fails at the line (None: in no particular one) and that the message holds the pieces."""
    path = written(folder, name, content)
    message = message_of(path, **options)
    assert message.startswith(f"{path}:" if line_number is None else f"{path}:{line_number}:")
    for piece in pieces:
        assert piece in message, message


# Round trips


@given(
    st.lists(st.tuples(texts, labels), min_size=1, max_size=8),
    st.booleans(),
    # Where only LF ends a line, the module's writer leaves a CR without the quotes that its reader wants.
    st.sampled_from([(csv.QUOTE_MINIMAL, "\r\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_ALL, "\n")]),
)
@example([('a "quoted", two-\nline', "b"), ("", "c"), ("\r\u2028\x85", "d")], True, (csv.QUOTE_MINIMAL, "\r\n"))
def test_csv_reads_back_what_csv_writes_at_the_lines_it_writes(folder, rows, byte_order_mark, style):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=style[0], lineterminator=style[1])
    writer.writerow(["text", "label"])
    expected = []
    for text, label in rows:
        expected.append((stream.getvalue().count("\n") + 1, text, label))
        writer.writerow([text, label])
    encoding = "utf-8-sig" if byte_order_mark else "utf-8"
    assert rows_of(folder, "round.csv", stream.getvalue().encode(encoding)) == expected


@given(st.lists(st.tuples(tab_free_texts, tab_free_labels), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]))
@example([('"', "'"), ("", "0"), (" padded ", "1"), ("\u2028\x85\x1c", "x")], "\r\n")
def test_tsv_reads_back_what_was_written_quotes_included(folder, rows, line_end):
    content = f"label\ttext{line_end}" + "".join(f"{label}\t{text}{line_end}" for text, label in rows)
    expected = [(line_number, text, label) for line_number, (text, label) in enumerate(rows, start=2)]
    assert rows_of(folder, "round.tsv", content) == expected
    assert rows_of(folder, "round.tsv", content.removesuffix(line_end)) == expected


@given(
    st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=20), labels), min_size=1, max_size=8),
    st.booleans(),
)
def test_json_lines_read_back_what_json_writes(folder, rows, ensure_ascii):
    lines = [json.dumps({"id": 7, "text": text, "label": label}, ensure_ascii=ensure_ascii) for text, label in rows]
    expected = [(line_number, text, label) for line_number, (text, label) in enumerate(rows, start=1)]
    assert rows_of(folder, "round.jsonl", "\n".join(lines)) == expected


# What the formats allow


def test_rows_are_read_one_at_a_time(tmp_path):
    path = written(tmp_path, "late.tsv", f"{TSV}first\t1\nsecond\n")
    rows = read_rows(path)
    assert next(rows) == (2, "first", "1")
    with pytest.raises(InputError):
        next(rows)


@pytest.mark.parametrize("column", files.TEXT_COLUMNS)
def test_each_usual_text_column_is_found(tmp_path, column):
    assert rows_of(tmp_path, "a.csv", f"id,{column},label\n7,good,1\n") == [(2, "good", "1")]


@pytest.mark.parametrize("column", files.LABEL_COLUMNS)
def test_each_usual_label_column_is_found(tmp_path, column):
    assert rows_of(tmp_path, "a.jsonl", json.dumps({column: "x", "text": "good"})) == [(1, "good", "x")]


def test_the_first_of_several_usual_columns_is_taken(tmp_path):
    assert rows_of(tmp_path, "a.tsv", "text\tclass\tsentence\tlabel\nt\tc\ts\tl\n") == [(2, "s", "l")]


@pytest.mark.parametrize(
    ("name", "content", "line_number"),
    [
        ("a.tsv", "sentence\tlabel\tbody\tstars\ns\tl\tgood\t5\n", 2),
        ("a.csv", "sentence,label,body,stars\ns,l,good,5\n", 2),
        ("a.jsonl", '{"sentence": "s", "label": "l", "body": "good", "stars": 5}', 1),
    ],
)
def test_given_columns_win_over_usual_ones(tmp_path, name, content, line_number):
    options = {"text_column": "body", "label_column": "stars"}
    assert rows_of(tmp_path, name, content, **options) == [(line_number, "good", "5")]


def test_white_space_around_column_names_and_labels_is_dropped_but_texts_are_kept(tmp_path):
    assert rows_of(tmp_path, "a.csv", "sentence , label\n good , fine \n") == [(2, " good ", "fine")]
    assert rows_of(tmp_path, "a.jsonl", '{"text": " good ", "label": " fine "}') == [(1, " good ", "fine")]


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".JSONL"])
def test_json_labels_are_strings_integers_and_booleans(tmp_path, suffix):
    values = ["name", 3, -1, True, False]
    content = "\n".join(json.dumps({"text": "t", "label": value}) for value in values)
    assert [label for _, _, label in rows_of(tmp_path, f"a{suffix}", content)] == ["name", "3", "-1", "true", "false"]


@pytest.mark.parametrize(
    ("name", "content", "expected_lines"),
    [
        ("a.tsv", f"\n{TSV}\na\t1\n  \nb\t0\n\n\n", [4, 6]),
        ("a.csv", f"\r\n{CSV}\r\na,1\r\n  \r\nb,0\r\n\r\n", [4, 6]),
        ("a.jsonl", '\n{"text": "a", "label": 1}\n \n{"text": "b", "label": 0}\n\n', [2, 4]),
    ],
)
def test_blank_lines_are_skipped_and_counted(tmp_path, name, content, expected_lines):
    rows = rows_of(tmp_path, name, content)
    assert [line_number for line_number, _, _ in rows] == expected_lines
    assert [(text, label) for _, text, label in rows] == [("a", "1"), ("b", "0")]


def test_a_blank_line_is_an_empty_sentence_only_in_a_tsv_of_one_column(tmp_path):
    assert rows_of(tmp_path, "a.tsv", "text\na\n\nb\n", require_label=False) == [
        (2, "a", None), (3, "", None), (4, "b", None)
    ]  # fmt: skip
    assert rows_of(tmp_path, "a.csv", 'text\na\n\n""\n', require_label=False) == [(2, "a", None), (4, "", None)]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.tsv", f"{TSV}\t1\n"), ("a.csv", f"{CSV},1\n"), ("a.jsonl", '{"text": "", "label": "1"}')],
)
def test_an_empty_text_is_a_sentence_without_tokens(tmp_path, name, content):
    assert [row[1:] for row in rows_of(tmp_path, name, content)] == [("", "1")]


def test_a_field_longer_than_the_csv_modules_own_limit_is_read(tmp_path):
    text = "good " * 40_000
    assert rows_of(tmp_path, "a.csv", f'{CSV}"{text}",1\n') == [(2, text, "1")]


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    written(tmp_path, "a.tsv", f"{TSV}good\t1\n")
    assert list(read_rows("~/a.tsv")) == [(2, "good", "1")]


# Without labels


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "text\ngood\n"),
        ("a.csv", "text\ngood\n"),
        ("a.jsonl", '{"text": "good"}'),
        ("a.tsv", "text\tlabel\ngood\t\n"),
        ("a.csv", "label,text\n0.5,good\n"),
        ("a.jsonl", '{"text": "good", "label": 0.5}'),
    ],
)
def test_labels_are_not_looked_at_unless_asked_for(tmp_path, name, content):
    assert [row[1:] for row in rows_of(tmp_path, name, content, require_label=False)] == [("good", None)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "text\tclass\ngood\tx\nbad\t\n"),
        ("a.csv", "text,class\ngood,x\nbad, \n"),
        ("a.jsonl", '{"text": "good", "class": "x"}\n{"text": "bad", "class": null}'),
        ("a.jsonl", '{"text": "good", "class": "x"}\n{"text": "bad"}'),
        ("a.jsonl", '{"text": "good", "class": "x"}\n{"text": "bad", "class": " "}'),
    ],
)
def test_a_named_label_column_is_read_where_it_has_labels(tmp_path, name, content):
    rows = rows_of(tmp_path, name, content, label_column="class", require_label=False)
    assert [row[1:] for row in rows] == [("good", "x"), ("bad", None)]


def test_a_named_label_column_must_be_there_even_if_labels_are_optional(tmp_path):
    assert_error(
        tmp_path, "a.tsv", "text\ngood\n", 1, "column named 'class'", label_column="class", require_label=False
    )


# Files that can't be read


@pytest.mark.parametrize("name", ["a.txt", "a.xlsx", "a", "a.tsv.gz"])
def test_another_suffix_is_refused_with_those_there_are(tmp_path, name):
    assert_error(tmp_path, name, f"{TSV}good\t1\n", None, ".tsv, .csv, .jsonl", "sentence<TAB>label")


def test_a_missing_file_is_named(tmp_path):
    assert "no such file; check the path" in message_of(tmp_path / "absent.tsv")


def test_a_folder_is_told_from_a_file(tmp_path):
    (tmp_path / "a.tsv").mkdir()
    assert "is a folder; name a file in it" in message_of(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    ("error", "piece"),
    [(PermissionError(13, "Permission denied"), "permission"), (OSError(5, "I/O fails"), "I/O fails")],
)
def test_a_file_that_cannot_be_opened_is_named_with_the_reason(tmp_path, monkeypatch, error, piece):
    def refuse(*arguments):
        raise error

    path = written(tmp_path, "a.tsv", f"{TSV}good\t1\n")
    monkeypatch.setattr(files, "open", refuse, raising=False)  # chmod would not stop a test that root runs
    assert piece in message_of(path)


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_table_is_told_to_lack_a_header(tmp_path, name, content):
    assert_error(tmp_path, name, content, None, "header", "empty")


@pytest.mark.parametrize(
    ("name", "content"), [("a.tsv", TSV), ("a.csv", CSV), ("a.tsv", f"{TSV}\n"), ("a.jsonl", ""), ("a.jsonl", "\n")]
)
def test_a_file_without_rows_is_refused(tmp_path, name, content):
    assert_error(tmp_path, name, content, None, "at least one row")


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl"])
def test_a_binary_file_is_refused_at_its_first_nul(tmp_path, name):
    assert_error(tmp_path, name, b"\0\1\2", 1, "NUL byte", "UTF-8")
    assert_error(tmp_path, name, f"{TSV}good\t1\n".encode("utf-16"), 1, "UTF-16", "UTF-8")


@pytest.mark.parametrize(
    ("name", "content", "line_number", "byte_number"),
    [
        ("a.tsv", f"{TSV}good\t1\ncaf\xe9\t0\n", 3, 4),
        ("a.csv", f'{CSV}"two\nlines",1\ncaf\xe9,0\n', 4, 4),
        ("a.jsonl", '{"text": "\xe9", "label": 1}', 1, 11),
    ],
)
def test_another_encoding_is_refused_at_its_first_wrong_byte(tmp_path, name, content, line_number, byte_number):
    pieces = ("0xe9", f"byte {byte_number} of the line", "save the file as UTF-8")
    assert_error(tmp_path, name, content.encode("latin-1"), line_number, *pieces)


@pytest.mark.parametrize(
    ("name", "start"), [("a.tsv", TSV), ("a.csv", CSV), ("a.jsonl", '{"text": "good", "label": 1}\n')]
)
def test_a_nul_byte_further_down_is_refused_at_its_line(tmp_path, name, start):
    assert_error(tmp_path, name, f"{start}\nb\0d", 3, "NUL byte")


def test_lines_that_end_in_cr_alone_are_refused(tmp_path):
    assert_error(tmp_path, "a.tsv", "sentence\tlabel\rgood\t1\r", 1, "lone CR")
    assert_error(tmp_path, "a.csv", "sentence,label\rgood,1\r", 1, "lone CR")


def test_an_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 100)
    assert_error(tmp_path, "a.tsv", f"{TSV}{'a' * 100}\t1\n", 2, "at most 100 bytes")


# Columns


@pytest.mark.parametrize(
    ("name", "content", "pieces"),
    [
        ("a.tsv", "body\tlabel\n", ["'sentence' or 'text'", "'body', 'label'", "--text_column"]),
        ("a.csv", "body,label\n", ["'sentence' or 'text'", "'body', 'label'", "--text_column"]),
        ("a.jsonl", '{"body": "good", "label": 1}', ["'sentence' or 'text'", "'body', 'label'", "--text_column"]),
        ("a.tsv", "text\tstars\n", ["'label' or 'labels'", "'text', 'stars'", "--label_column"]),
        ("a.csv", "Text,label\n", ["did you mean 'Text'?", "--text_column"]),
        ("a.csv", "text,lable\n", ["did you mean 'lable'?", "--label_column"]),
        ("a.csv", "text\tlabel\n", [".csv by commas"]),
        ("a.tsv", "text,label\n", [".tsv separates its fields by tabs"]),
    ],
)
def test_a_missing_usual_column_is_answered_with_those_there_are(tmp_path, name, content, pieces):
    assert_error(tmp_path, name, content, 1, *pieces)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.tsv", "txt\tlabel\n"), ("a.csv", "txt,label\n"), ("a.jsonl", '{"txt": "good", "label": 1}')],
)
def test_a_missing_named_column_is_answered_with_the_nearest_name(tmp_path, name, content):
    assert_error(
        tmp_path, name, content, 1, "named 'text'", "'txt', 'label'", "did you mean 'txt'?", text_column="text"
    )


@pytest.mark.parametrize(
    ("name", "content"), [("a.tsv", "text\tlabel\tid\ttext\n"), ("a.csv", '\n"text",label,text\n')]
)
def test_a_repeated_column_name_is_refused(tmp_path, name, content):
    assert_error(tmp_path, name, content, 2 if content.startswith("\n") else 1, "'text' more than once", "rename")


def test_columns_without_a_name_may_repeat(tmp_path):
    assert rows_of(tmp_path, "a.csv", ",text,label,,\n7,good,1,,\n") == [(2, "good", "1")]


def test_text_and_label_must_be_two_columns(tmp_path):
    assert_error(tmp_path, "a.csv", "text,label\n", 1, "two columns", "'text' for both", label_column="text")


def test_a_message_stays_short_whatever_the_file_holds(tmp_path):
    path = written(tmp_path, "a.csv", ",".join(f"{'long' * 100}{index}" for index in range(1000)))
    assert len(message_of(path)) < len(str(path)) + 1200


# Rows


@pytest.mark.parametrize(
    ("row", "num_fields"), [("good", 1), ("good\t1\t", 3), ("\t\t\t", 4)]
)  # fmt: skip
def test_a_tsv_row_of_too_few_or_many_fields_is_refused(tmp_path, row, num_fields):
    pieces = ("expected 2 fields ('sentence', 'label')", f"got {num_fields};", "replace tabs")
    assert_error(tmp_path, "a.tsv", f"{TSV}fine\t1\n{row}\n", 3, *pieces)


@pytest.mark.parametrize(("row", "num_fields"), [("good", 1), ("good, or bad,1", 3)])
def test_a_csv_row_of_too_few_or_many_fields_is_refused_at_its_first_line(tmp_path, row, num_fields):
    pieces = ("expected 2 fields ('sentence', 'label')", f"got {num_fields};", "double quotes")
    assert_error(tmp_path, "a.csv", f'{CSV}"two\nlines",1\n\n{row}\n', 5, *pieces)


@pytest.mark.parametrize("row", ['"never closed,1', '"closed" too early,1', "lone\rCR,1"])
def test_a_csv_quoting_mistake_is_refused_where_its_row_starts(tmp_path, row):
    assert_error(tmp_path, "a.csv", f"{CSV}fine,1\n{row}\nmore,1\n", 3, "quoting mistake", "double quotes")


def test_a_field_that_never_ends_is_refused(tmp_path):
    lines = ("a" * 2**20 + "\n") * 17
    assert_error(tmp_path, "a.csv", f'{CSV}"{lines}', 2, "quoting mistake", "field larger than field limit")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", f"{TSV}fine\t1\ngood\t\n"),
        ("a.tsv", f"{TSV}fine\t1\n\t\n"),
        ("a.csv", f'{CSV}fine,1\ngood," "\n'),
        ("a.jsonl", '{"text": "fine", "label": 1}\n\n{"text": "good", "label": ""}'),
    ],
)
def test_an_empty_label_is_refused(tmp_path, name, content):
    assert_error(tmp_path, name, content, 3, "label")


@pytest.mark.parametrize("label", ["0.5", "1.0", "null", "[1]", "{}", '" "', "NaN"])
def test_a_json_label_that_names_no_class_is_refused(tmp_path, label):
    content = f'{{"text": "fine", "label": 1}}\n{{"text": "good", "label": {label}}}'
    assert_error(tmp_path, "a.jsonl", content, 2, "as 'label', got", "one class")


@pytest.mark.parametrize("text", ["0.5", "1", "null", '["good"]', "true"])
def test_a_json_text_that_is_no_string_is_refused(tmp_path, text):
    assert_error(tmp_path, "a.jsonl", f'{{"text": {text}, "label": 1}}', 1, "a string as 'text', got")


@pytest.mark.parametrize(
    "line", ["{", '{"text": "good"', "{'text': 1}", "good", '{"text": "a", "text": "b"}', '{"text": "a"} {}']
)
def test_a_line_that_is_no_json_is_refused(tmp_path, line):
    content = f'{{"text": "fine", "label": 1}}\n{line}\n'
    assert_error(tmp_path, "a.jsonl", content, 2, "doesn't parse", "one object a line")


@pytest.mark.parametrize("line", ['["good", 1]', '"good"', "1", "null"])
def test_json_other_than_an_object_is_refused(tmp_path, line):
    assert_error(tmp_path, "a.json", line, 1, f"expected a JSON object, got {json.loads(line)!r}")


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ('{"txt": "good", "label": 1}', ["the key 'text'", "'txt', 'label'", "did you mean 'txt'?"]),
        ('{"text": "good"}', ["the key 'label'", "the keys here are 'text'"]),
        ("{}", ["the key 'text'", "the keys here are none"]),
    ],
)
def test_a_json_object_that_lacks_a_key_is_refused(tmp_path, line, pieces):
    assert_error(tmp_path, "a.jsonl", f'{{"text": "fine", "label": 1}}\n{line}\n', 2, *pieces)


@pytest.mark.parametrize("line", ['{"text": "\\ud83d", "label": 1}', '{"text": "good", "label": "\\ud83d"}'])
def test_half_a_surrogate_pair_is_refused_and_a_whole_one_read(tmp_path, line):
    whole = '{"text": "\\ud83d\\ude00", "label": 1}'
    assert rows_of(tmp_path, "a.jsonl", whole) == [(1, "\U0001f600", "1")]
    assert_error(tmp_path, "a.jsonl", f"{whole}\n{line}", 2, "half a surrogate pair", "\\ud83d")
