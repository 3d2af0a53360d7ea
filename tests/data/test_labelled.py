"""Labels of files and of Python, matched with a run's classes; and where a run's validation data is found again."""

import numpy as np
import pytest

from kmodels import config
from kmodels.config import RunConfig
from kmodels.data import labelled, sst2
from kmodels.data.sample import sample_examples
from kmodels.errors import InputError

SENTIMENT = ("negative", "positive")


@pytest.fixture
def write(tmp_path):
    """A function that writes a TSV file of rows and returns its path."""

    def file(rows, header="sentence\tlabel", name="some.tsv"):
        path = tmp_path / name
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return file


def own_files(**settings):
    return RunConfig(train_file="train.tsv", validation_file="validation.tsv", **settings)


def test_labels_of_a_file_are_names_in_any_order_and_need_not_be_all(write):
    path = write(["a b\tpositive", "c\tnegative", "\tpositive"])
    found = labelled.read(path, own_files(), SENTIMENT)
    assert found.texts == ["a b", "c", ""]
    assert found.labels.tolist() == [1, 0, 1]
    assert labelled.read(write(["a\tpositive"]), own_files(), SENTIMENT).labels.tolist() == [1]


def test_numbers_are_taken_where_no_class_has_one_as_its_name(write):
    path = write(["a\t1", "b\t0"])
    assert labelled.read(path, own_files(), SENTIMENT).labels.tolist() == [1, 0]
    assert labelled.read(path, own_files(), ("1", "0")).labels.tolist() == [0, 1]
    for rows in (["a\t1", "b\t0"], ["b\t0"]):
        with pytest.raises(InputError, match="got '0'"):
            labelled.read(write(rows), own_files(), ("1", "2", "3"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a\tpositive", "b\tneutral", "c\tx"], ":3: .*'negative', 'positive', or .* 0 to 1.*, got 'neutral', 'x';"),
        (["a\t0", "b\tpositive"], ":2: .*got '0'"),
        (["a\t0", "b\t2"], ":3: .*got '2';"),
        (["a\tPositive"], ":2: .*got 'Positive'"),
    ],
)
def test_a_label_that_the_run_does_not_know_is_named_with_its_line(write, rows, message):
    with pytest.raises(InputError, match=message) as caught:
        labelled.read(write(rows), own_files(), SENTIMENT)
    assert str(caught.value).isprintable()


def test_columns_are_those_given_else_the_runs_own(write):
    path = write(["1\ta\tb\tno\tyes"], header="id\tone\ttwo\tthree\tfour")
    run = own_files(text_column="one", label_column="three")
    assert labelled.read(path, run, ("no", "yes")).texts == ["a"]
    found = labelled.read(path, run, ("no", "yes"), "two", "four")
    assert (found.texts, found.labels.tolist()) == (["b"], [1])
    with pytest.raises(InputError, match="--text_column"):
        labelled.read(path, own_files(), ("no", "yes"))


def test_a_file_gives_the_texts_that_sst2_is_trained_on(write):
    path = write(["a fine film \t1"])
    assert labelled.read(path, RunConfig(), SENTIMENT).texts == sst2.read_sst2_file(path)[0] == ["a fine film"]
    assert labelled.read(path, own_files(), SENTIMENT).texts == ["a fine film "]


def test_the_validation_data_is_found_where_the_config_names_it(write, tmp_path, monkeypatch):
    path = write(["a\t1", "b\t0"], name="dev.tsv")
    for run in (RunConfig(train_file="gone.tsv", validation_file=str(path)), RunConfig(data_dir=str(tmp_path))):
        found, source = labelled.find(run, SENTIMENT)
        assert (found.labels.tolist(), source) == ([1, 0], str(path))
    found, source = labelled.find(RunConfig(dataset="sample"), SENTIMENT)
    assert (found.texts, source) == (sample_examples()[1][0], "the dataset sample")
    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="--file"):
        labelled.find(RunConfig(), SENTIMENT)
    (tmp_path / "cache" / "sst2").mkdir(parents=True)
    path.rename(tmp_path / "cache" / "sst2" / "dev.tsv")
    assert labelled.find(RunConfig(), SENTIMENT)[0].labels.tolist() == [1, 0]


def test_a_dataset_of_ones_own_is_found_while_its_classes_are_the_runs(monkeypatch):
    texts, labels = ["a", "b"], [1, 0]
    monkeypatch.setitem(config.DATASETS, "mine", lambda data_dir: (texts, labels, texts, labels, ("no", "yes")))
    found, source = labelled.find(RunConfig(dataset="mine"), ("no", "yes"))
    assert (found.texts, found.labels.tolist(), source) == (texts, labels, "the dataset mine")
    with pytest.raises(InputError, match="'negative', 'positive', those of the dataset mine 'no', 'yes'"):
        labelled.find(RunConfig(dataset="mine"), SENTIMENT)


def test_columns_without_a_file_are_refused():
    with pytest.raises(InputError, match="got no file"):
        labelled.find(RunConfig(dataset="sample"), SENTIMENT, text_column="text")


def test_labels_in_python_are_names_or_numbers():
    for labels in (["positive", "negative"], [1, 0], np.array([1, 0]), np.array(["positive", "negative"])):
        assert labelled.class_numbers(labels, SENTIMENT).tolist() == [1, 0]
    assert labelled.class_numbers((label for label in [np.int8(1)]), SENTIMENT).tolist() == [1]
    assert labelled.class_numbers([1, 0], ("0", "1")).tolist() == [1, 0]
    assert labelled.class_numbers(["1", "3"], ("1", "2", "3")).tolist() == [0, 2]
    assert labelled.class_numbers([], SENTIMENT).tolist() == []


@pytest.mark.parametrize(
    ("labels", "label_names", "message"),
    [
        ("positive", SENTIMENT, "single str"),
        ([0, 2], SENTIMENT, "got 2"),
        ([-1], SENTIMENT, "got -1"),
        (["good"], SENTIMENT, "got 'good'"),
        ([0.0], SENTIMENT, "got 0.0"),
        ([True], SENTIMENT, "got True"),
        ([None], SENTIMENT, "got None"),
        ([0, "positive"], SENTIMENT, "got 'positive'"),
        ([1], ("1", "2", "3"), "an int could be either"),
    ],
)
def test_other_labels_in_python_are_refused(labels, label_names, message):
    with pytest.raises(InputError, match=message):
        labelled.class_numbers(labels, label_names)
