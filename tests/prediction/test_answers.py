"""What is written for each sentence, and files that are whole or not there."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from kmodels.errors import InputError, RunError
from kmodels.prediction import answers
from kmodels.prediction.streaming import Row


def test_a_line_says_label_and_probability_and_what_is_asked_for():
    rows = [Row(1, "a"), Row(2, None, "expected UTF-8"), Row(3, "b")]
    likely = np.array([[0.7, 0.1, 0.2], [0.25, 0.4, 0.35]], np.float32)
    names = ("bad", "good", "müßig")
    lines = [json.loads(line) for line in answers.json_lines(rows, likely, names, top_k=2, threshold=0.5)]
    assert lines == [
        {"label": "bad", "probability": 0.7, "probabilities": {"bad": 0.7, "müßig": 0.2}},
        {"error": "expected UTF-8", "line": 2},
        {"label": None, "probability": 0.4, "probabilities": {"good": 0.4, "müßig": 0.35}},
    ]
    assert list(lines[2]["probabilities"]) == ["good", "müßig"]
    plain = list(answers.json_lines(rows, likely, names))
    assert plain[2] == '{"label": "good", "probability": 0.4}\n'


def test_glue_gets_numbers_of_classes_and_names_that_are_numbers():
    likely = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert list(answers.glue_lines(5, likely, ("negative", "positive"))) == ["5\t0\n", "6\t1\n"]
    assert list(answers.glue_lines(0, likely, ("1", "2"))) == ["0\t1\n", "1\t2\n"]


def test_a_whole_file_is_there_in_the_end_or_not_at_all(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text("before")
    with pytest.raises(RuntimeError), answers.WholeFile(path) as file:
        file.write("half")
        raise RuntimeError
    assert [each.name for each in tmp_path.iterdir()] == ["labels.jsonl"]
    assert path.read_text() == "before"
    with answers.WholeFile(path) as file:
        file.write("whole")
    assert path.read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 1
    for place in (tmp_path, tmp_path / "none" / "labels.jsonl", Path(os.devnull)):
        with pytest.raises(InputError, match="can't be written"):
            answers.WholeFile(place)


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    link, target = tmp_path / "link", tmp_path / "folder" / "labels"
    target.parent.mkdir()
    link.symlink_to(target)
    for text in ("new", "newer"):  # the link leads nowhere at first
        with answers.WholeFile(link) as file:
            file.write(text)
        assert (link.is_symlink(), target.read_text()) == (True, text)
    assert [len(list(folder.iterdir())) for folder in (tmp_path, target.parent)] == [2, 1]


def test_a_pipe_and_the_file_behind_stdout_are_not_replaced(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="it is no plain file"):
        answers.WholeFile(tmp_path / "pipe")
    with open(tmp_path / "out", "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        for place in (tmp_path / "out", f"/proc/self/fd/{stdout.fileno()}"):  # the second is what /dev/stdout leads to
            with pytest.raises(InputError, match="stdout goes there already"):
                answers.WholeFile(place)
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "out"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_ends_in_one_line(tmp_path):
    with (
        open("/dev/full", "w") as full,
        pytest.raises(RunError, match="labels can't be written: No space left"),
        answers.WholeFile(tmp_path / "labels") as file,
    ):
        file._file.close()
        file._file = full
        file.write("x" * 10**6)
    assert not list(tmp_path.iterdir())
