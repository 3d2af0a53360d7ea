"""Damaged records are refused in one line that names the file, whatever is wrong with them."""

import numpy as np
import pytest

from kmodels import cli, records
from kmodels.comparison import reading, runner, schema, summary
from tests.comparison.made_up_runs import change, write_outcomes, write_run

METRICS, PREDICTIONS, CONFIG = records.METRICS, records.PREDICTIONS, records.CONFIG


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        (METRICS, {"best_validation_accuracy": None}),
        (METRICS, {"best_validation_accuracy": "0.8"}),
        (METRICS, {"best_validation_accuracy": 80}),
        (METRICS, {"training_duration": None}),
        (METRICS, {"training_duration": 61.5}),
        (METRICS, {"training_duration": "a minute"}),
        (METRICS, {"peak_worker_0_memory_MB": None}),
        (METRICS, {"samples_per_second": -1}),
        (METRICS, {"fraction_of_peak": "half"}),
        (CONFIG, {"model": None}),
        (CONFIG, {"backend": 1}),
        (CONFIG, {"seed": "one"}),
        (PREDICTIONS, {"labels": None}),
        (PREDICTIONS, {"labels": []}),
        (PREDICTIONS, {"labels": [0] * 199}),
        (PREDICTIONS, {"labels": [0] * 199 + [2]}),
        (PREDICTIONS, {"labels": [0] * 199 + [-1]}),
        (PREDICTIONS, {"labels": [0.0] * 200}),
        (PREDICTIONS, {"labels": "all"}),
        (PREDICTIONS, {"label_names": None}),
        (PREDICTIONS, {"label_names": [1, 2]}),
        (PREDICTIONS, {"probabilities": None}),
        (PREDICTIONS, {"probabilities": [[0.5, 0.5]] * 199}),
        (PREDICTIONS, {"probabilities": [[0.5, 0.5]] * 199 + [[1.0]]}),
        (PREDICTIONS, {"probabilities": [[0.5, 0.5]] * 199 + [[1.5, -0.5]]}),
        (PREDICTIONS, {"probabilities": [["a", "b"]] * 200}),
    ],
)
def test_a_damaged_record_is_refused_in_one_line_with_its_path(tmp_path, capsys, file, changed):
    folder = write_run(tmp_path)
    write_run(tmp_path, seed=2)
    change(folder / file, **changed)
    refused(tmp_path, capsys, folder / file)


@pytest.mark.parametrize("file", [METRICS, PREDICTIONS, CONFIG])
@pytest.mark.parametrize("content", ["{}", "[]", '{"a": NaN}', ""])
def test_an_empty_record_is_refused_with_its_path(tmp_path, capsys, file, content):
    folder = write_run(tmp_path)
    (folder / file).write_text(content)
    refused(tmp_path, capsys, folder / file)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("line", ["{}", '{"epoch": "first"}', '{"epoch": 0, "validation_accuracy": 2}'])
def test_a_damaged_history_is_refused_with_its_path(tmp_path, capsys, line, finished):
    folder = write_run(tmp_path, finished=finished)
    (folder / records.HISTORY).write_text(f"{line}\n")
    refused(tmp_path, capsys, folder / records.HISTORY)


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[{}]",
        '["a"]',
        '[{"name": "a", "model": "b", "backend": "c", "seed": 1, "order": 0, "status": "finished", "error": null, '
        '"started": "yesterday", "seconds": 1}]',
    ],
)
def test_a_damaged_list_of_runs_is_refused_with_its_path(tmp_path, capsys, content):
    write_run(tmp_path)
    (tmp_path / runner.OUTCOMES).write_text(content)
    refused(tmp_path, capsys, tmp_path / runner.OUTCOMES)


def refused(folder, capsys, path):
    """The report is refused in one line with the path, and nothing is written."""
    before = sorted(folder.rglob("*"))
    assert cli.main(["kmodels", "report", str(folder)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path}") and said.count("\n") == 1 and len(said) < 400
    assert sorted(folder.rglob("*")) == before


def test_a_run_whose_record_was_removed_did_not_finish(tmp_path):
    write_run(tmp_path)
    write_outcomes(tmp_path, **dict.fromkeys(("textcnn-jax-seed-1", "textcnn-jax-seed-2"), ("finished", None)))
    found = schema.checked(summary.summarize(tmp_path))
    (gone,) = [run for run in found["runs"] if run["status"] == "unfinished"]
    assert (gone["name"], gone["error"]) == ("textcnn-jax-seed-2", "its folder no longer holds metrics.json")
    assert [group["runs"] for group in found["groups"]] == [["textcnn-jax-seed-1"]]


def test_what_an_older_version_did_not_record_is_read_without_it(tmp_path):
    write_run(tmp_path)
    write_outcomes(tmp_path, **{"textcnn-jax-seed-1": ("finished", None)})
    path = tmp_path / runner.OUTCOMES
    rows = records.read_json(path)
    del rows[0]["cores"]
    records.write_json(path, rows)
    assert [run["cores"] for run in reading.runs(tmp_path)] == [None]


def test_labels_are_compared_by_name(tmp_path):
    there = reading.predictions(write_run(tmp_path, seed=1))
    turned = write_run(tmp_path, seed=2, labels=1 - np.arange(200) % 2, label_names=("good", "bad"))
    assert reading.predictions(turned).truth == there.truth
    assert reading.predictions(write_run(tmp_path, seed=3, label_names=("good", "bad"))).truth != there.truth


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("0:00:01.500000", 1.5), ("10:00:00", 36000), ("1 day, 0:01:01.5", 86461.5), ("2 days, 1:00:00", 176400)],
)
def test_a_duration_is_read_as_seconds(duration, seconds):
    assert reading.seconds(duration) == seconds


@pytest.mark.parametrize("text", ["", "a:b:c", "1:2", "-1 day, 23:59:59", "9" * 50 + " days, 0:00:00"])
def test_what_is_no_duration_has_no_seconds(text):
    assert reading.seconds(text) is None
