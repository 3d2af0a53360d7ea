import json
import sys
import types
import urllib.error
import urllib.request

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmodels.data import datasets
from kmodels.data.datasets import Dataset, Examples, load
from kmodels.errors import InputError

TRAIN = "sentence\tlabel\nwarm\tgood\ncold\tbad\nso so\tmixed\n"
VALIDATION = "sentence\tlabel\nkind\tgood\nflat\tbad\n"


def written(folder, name, content):
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def load_pair(folder, train=TRAIN, validation=VALIDATION, suffix=".tsv", **options):
    train_file = written(folder, f"train{suffix}", train)
    return load(train_file=train_file, validation_file=written(folder, f"dev{suffix}", validation), **options)


def message_of(call, *arguments, **options):
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


# Files


def test_classes_are_the_training_labels_in_order(tmp_path):
    dataset = load_pair(tmp_path)
    assert dataset.label_names == ("bad", "good", "mixed") and dataset.num_classes == 3
    assert dataset.train.texts == ["warm", "cold", "so so"] and dataset.validation.texts == ["kind", "flat"]
    assert dataset.train.labels.tolist() == [1, 0, 2] and dataset.validation.labels.tolist() == [1, 0]


def test_labels_are_int32_vectors(tmp_path):
    dataset = load_pair(tmp_path)
    assert dataset.train.labels.dtype == dataset.validation.labels.dtype == np.int32
    assert dataset.train.labels.shape == (3,) and dataset.validation.labels.shape == (2,)


@given(st.lists(st.text(min_size=1), min_size=2, max_size=8, unique=True), st.randoms())
def test_label_names_do_not_depend_on_the_order_of_rows(labels, random):
    shuffled = random.sample(labels, len(labels))
    assert datasets.ordered_label_names(labels) == datasets.ordered_label_names(shuffled + labels)


@given(st.lists(st.integers(-(10**17), 10**17), unique=True))
def test_integer_labels_are_ordered_as_numbers(numbers):
    assert datasets.ordered_label_names(map(str, numbers)) == tuple(map(str, sorted(numbers)))


@pytest.mark.parametrize(
    "labels", [("0", "1", "x"), ("01", "1"), ("0", "1.0"), ("10", "9", "²"), ("1", "9" * 30), ("-0", "0")]
)
def test_labels_that_are_not_all_integers_are_ordered_as_strings(labels):
    assert datasets.ordered_label_names(labels) == tuple(sorted(labels))


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_every_format_gives_the_same_dataset(tmp_path, suffix):
    def content(rows):
        if suffix == ".jsonl":
            return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
        separator = {".tsv": "\t", ".csv": ","}[suffix]
        return f"text{separator}label\n" + "".join(f"{text}{separator}{label}\n" for text, label in rows)

    train, validation = [("a", 10), ("b", 2), ("c", 1)], [("d", 2), ("e", 10)]
    dataset = load_pair(tmp_path, content(train), content(validation), suffix)
    assert dataset.label_names == ("1", "2", "10")
    assert dataset.train.labels.tolist() == [2, 1, 0] and dataset.validation.labels.tolist() == [1, 2]


def test_the_two_files_may_differ_in_format_and_in_the_type_of_label(tmp_path):
    train = written(tmp_path, "train.tsv", "text\tlabel\na\t0\nb\t1\n")
    validation = written(tmp_path, "dev.jsonl", '{"sentence": "c", "class": 1}')
    dataset = load(train_file=train, validation_file=validation)
    assert dataset.validation.texts == ["c"] and dataset.validation.labels.tolist() == [1]


def test_given_columns_are_read_in_both_files(tmp_path):
    header = "sentence\tlabel\tbody\tstars\n"
    dataset = load_pair(
        tmp_path, f"{header}s\t0\ta\t5\ns\t0\tb\t1\n", f"{header}s\t0\tc\t5\n", text_column="body", label_column="stars"
    )
    assert dataset.label_names == ("1", "5")
    assert dataset.train.texts == ["a", "b"] and dataset.validation.texts == ["c"]


def test_one_class_is_refused(tmp_path):
    message = message_of(load_pair, tmp_path, "text\tlabel\na\tgood\nb\tgood\n", VALIDATION)
    for piece in (str(tmp_path / "train.tsv"), "at least 2 classes", "only 'good'", "2 rows", "--label_column"):
        assert piece in message


def test_validation_labels_that_training_lacks_are_named_with_their_lines(tmp_path):
    validation = "sentence\tlabel\na\tgood\nb\tugly\n\nc\tugly\nd\todd\n"
    message = message_of(load_pair, tmp_path, validation=validation)
    assert message.startswith(f"{tmp_path / 'dev.tsv'}:3: ")
    for piece in ("'bad', 'good', 'mixed'", "'ugly', 'odd'", "first at line 3, line 6", "training file"):
        assert piece in message


def test_validation_may_lack_a_class(tmp_path):
    assert load_pair(tmp_path, validation="sentence\tlabel\na\tgood\n").num_classes == 3


def test_known_classes_number_a_later_file(tmp_path):
    path = written(tmp_path, "later.csv", "text,label\na,x\nb,z\n")
    examples = datasets.read_examples(path, ("z", "y", "x"))
    assert examples.texts == ["a", "b"] and examples.labels.tolist() == [2, 0]


@pytest.mark.parametrize("broken", ["train.tsv", "dev.tsv"])
def test_a_broken_row_is_reported_with_file_and_line_in_either_file(tmp_path, broken):
    contents = {"train.tsv": TRAIN, "dev.tsv": VALIDATION}
    contents[broken] += "no label\n"
    num_lines = contents[broken].count("\n")
    message = message_of(load_pair, tmp_path, contents["train.tsv"], contents["dev.tsv"])
    assert message.startswith(f"{tmp_path / broken}:{num_lines}: ")


# By name


def test_sst2_is_read_from_a_folder_even_if_cut_down(tmp_path):
    written(tmp_path, "train.tsv", "sentence\tlabel\nwarm \t1\n")
    written(tmp_path, "dev.tsv", "sentence\tlabel\ncold \t0\n")
    dataset = load(data_dir=tmp_path)
    assert isinstance(dataset, Dataset) and isinstance(dataset.train, Examples)
    assert dataset.label_names == ("negative", "positive") and dataset.num_classes == 2
    assert dataset.train.texts == ["warm"] and dataset.train.labels.tolist() == [1]
    assert dataset.validation.texts == ["cold"] and dataset.validation.labels.tolist() == [0]


def test_sst2_without_a_network_says_what_else_to_do(tmp_path, monkeypatch):
    def no_network(*arguments, **options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path))
    message = message_of(load)
    for piece in ("https://", "SST-2.zip", "no route to host", "--data_dir", "--dataset=sample"):
        assert piece in message


def test_the_sample_needs_no_file(monkeypatch):
    # A stand-in: what the generator makes is tested beside it.
    sample = types.ModuleType("kmodels.data.sample")
    sample.sample_examples = lambda: ((["warm", "cold"], [1, 0]), (["kind"], np.array([1], np.int64)))
    monkeypatch.setitem(sys.modules, "kmodels.data.sample", sample)
    dataset = load("sample")
    assert dataset.label_names == ("negative", "positive")
    assert dataset.train.texts == ["warm", "cold"] and dataset.train.labels.tolist() == [1, 0]
    assert dataset.train.labels.dtype == dataset.validation.labels.dtype == np.int32


@pytest.mark.parametrize(
    ("name", "piece"),
    [("sst", "did you mean 'sst2'?"), ("SST-2", "mean 'sst2'?"), ("smaple", "mean 'sample'?"), ("x", "--train_file")],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, piece):
    message = message_of(load, name)
    assert "sst2, sample" in message and repr(name) in message and piece in message


# Options that contradict each other


@pytest.mark.parametrize(
    ("options", "pieces"),
    [
        ({"train_file": "a.tsv"}, ["--validation_file", "a.tsv", "give both"]),
        ({"validation_file": "b.tsv"}, ["--train_file", "b.tsv", "give both"]),
        (
            {"train_file": "a.tsv", "validation_file": "b.tsv", "data_dir": "d"},
            ["--data_dir", "a.tsv", "leave one out"],
        ),
        ({"train_file": "a.tsv", "validation_file": "b.tsv", "dataset": "sample"}, ["sample", "leave one out"]),
        ({"dataset": "sample", "data_dir": "d"}, ["--dataset=sample", "--data_dir=d", "leave one out"]),
        ({"text_column": "body"}, ["--text_column", "--train_file"]),
        ({"label_column": "stars", "data_dir": "d"}, ["--label_column", "--train_file"]),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, pieces):
    message = message_of(load, **options)
    for piece in pieces:
        assert piece in message
