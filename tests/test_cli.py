"""kmodels COMMAND, from the outside."""

import importlib
import importlib.metadata
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kmodels import cli, commandline, records
from kmodels.commands import compare, report
from kmodels.comparison import grid, runner
from kmodels.comparison.runner import Outcome
from tests.comparison.made_up_runs import write_run
from tests.reviews import tiny_settings, write_review_files

ROOT = Path(__file__).parent.parent


def kmodels(*arguments):
    """(exit status, stdout, stderr) of a command."""
    done = subprocess.run([sys.executable, "-m", "kmodels", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compar"], "unknown command 'compar'; did you mean 'compare'?"),
        (["compare"], "compare needs --output_dir"),
        (["compare", "--output_dir=x", "--seeds=a"], "seeds must be whole numbers"),
        (["compare", "--output_dir=x", "--model=textcnn", "--seed=3"], "compare takes --models, not --model"),
        (["compare", "--output_dir=x", "--models=textcn"], "did you mean 'textcnn'"),
        (["compare", "--output_dir=x", "--seed=0"], "compare takes --seeds, not --seed"),
        (["compare", "--output_dir=x", "--jobs=0"], "jobs must be at least 1"),
        (["compare", "--output_dir=x", "--epoch=3"], "unknown flag --epoch; did you mean --epochs?"),
        (["report"], "report needs one folder"),
        (["report", "nowhere"], "nowhere holds no runs"),
        (["runs", "nowhere"], "nowhere is none"),
        (["runs", ".", "--sort=x"], "sort must be one of"),
    ],
)
def test_a_wrong_call_gets_one_line_and_status_2(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["kmodels", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert message in said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["help"], ["--help"], [], ["train", "--help"], ["compare", "--help"]])
def test_help_is_there(capsys, arguments):
    assert cli.main(["kmodels", *arguments]) == 0
    assert "--model" in capsys.readouterr().out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_of_a_command_names_its_flags_and_prints_nothing_else(capsys, command):
    module = importlib.import_module(f"kmodels.commands.{command}")
    assert cli.main(["kmodels", command, "--help"]) == 0
    assert capsys.readouterr() == (module.HELP, "")
    assert f"kmodels {command} " in module.HELP
    for flag in getattr(module, "FLAGS", ()):
        assert f"--{flag}" in module.HELP


@pytest.mark.parametrize("arguments", [["help"], ["compare", "--help"], ["train", "--help"]])
def test_a_reader_that_has_enough_ends_it_quietly(arguments):
    command = [sys.executable, "-m", "kmodels", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 0)


def test_a_pipe_that_breaks_elsewhere_is_no_quiet_end():
    def call():
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        commandline.exit_status(call)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["version"], ["runs", "many", "--json"]])
def test_a_full_disk_behind_stdout_is_one_line(arguments, unbuffered, tmp_path):
    """Be it noticed at the end, or, where much is printed or nothing buffered, in the middle."""
    for number in range(100):
        (tmp_path / "many" / f"run {number}").mkdir(parents=True)
        (tmp_path / "many" / f"run {number}" / "config.json").write_text('{"model": "textcnn"}')
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "kmodels", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (1, "error: stdout can't be written: No space left on device\n")


@pytest.mark.parametrize("command", ["predict", "evaluate", "runs"])
def test_an_answer_to_a_stdout_that_is_closed_is_one_line(command, capsys, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)  # as of a process that was started without one
        assert cli.main(["kmodels", command, str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: stdout is closed, so there is nowhere to write to\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full_elsewhere_is_not_said_of_stdout():
    def call():
        with open("/dev/full", "wb", buffering=0) as file:
            file.write(b"x")

    with pytest.raises(OSError, match="No space left"):
        commandline.exit_status(call)


def test_the_version_is_the_packages(capsys):
    assert cli.main(["kmodels", "--version"]) == 0
    assert capsys.readouterr().out == f"kmodels {importlib.metadata.version('kmodels')}\n"


def test_what_is_given_to_compare_holds_even_if_it_is_trains_default(capsys, monkeypatch, tmp_path):
    shared = []
    monkeypatch.setattr(grid, "cells", lambda *arguments: shared.append(arguments[4]) or [])
    monkeypatch.setattr(runner, "run", lambda *arguments: [])
    monkeypatch.setattr(report, "write_report", lambda *arguments: None)
    cli.main(["kmodels", "compare", f"--output_dir={tmp_path}"])
    cli.main(["kmodels", "compare", f"--output_dir={tmp_path}", "--precision=auto", "--save_predictions=false"])
    assert shared == [
        {"precision": "float32", "num_buckets": 12, "save_predictions": True, "measure_peak": True},
        {"precision": "auto", "num_buckets": 12, "save_predictions": False, "measure_peak": True},
    ]


@pytest.mark.parametrize(
    ("models", "flags"),
    [
        ("bert_base_pool,bert_base_lstm", ["--preset=scratch:tiny", "--pooling=mean", "--lora_rank=4"]),
        ("bilstm", ["--lstm_units=16", "--pooling=last"]),
    ],
)
def test_compare_takes_settings_that_only_its_models_have(capsys, monkeypatch, tmp_path, models, flags):
    made = []
    monkeypatch.setattr(runner, "run", lambda cells, *arguments: made.extend(cells) or [])
    monkeypatch.setattr(report, "write_report", lambda *arguments: None)
    command = ["kmodels", "compare", f"--models={models}", "--backends=jax", "--seeds=1", f"--output_dir={tmp_path}"]
    cli.main([*command, *flags])
    capsys.readouterr()
    assert sorted(cell.config.model for cell in made) == sorted(models.split(","))
    for cell in made:
        assert set(flags) <= set(cell.config.to_flags())


def test_the_time_left_is_that_of_runs_alike(capsys, tmp_path):
    cells = grid.cells(["textcnn", "bilstm"], ["jax", "torch"], [1, 2], tmp_path, {})
    by_name = {cell.name: cell for cell in cells}
    done = tmp_path / "bilstm-torch-seed-1"
    done.mkdir()
    (done / "metrics.json").write_text("{}")
    progress = compare._Progress(cells, jobs=2)
    ended = [
        ("bilstm-torch-seed-1", "finished", 1, ""),  # made before, so nobody knows yet
        ("textcnn-jax-seed-1", "failed", 9, ""),
        ("textcnn-jax-seed-2", "finished", 100, "0:04:10"),  # five more of 100 s, two at a time
        ("bilstm-jax-seed-1", "finished", 1000, "0:18:20"),  # textcnn 2 × 100, bilstm 2 × 1000
        ("bilstm-torch-seed-2", "finished", 500, "0:10:00"),  # textcnn 2 × 100, bilstm on jax 1000
    ]
    for name, status, seconds, left in ended:
        config = by_name[name].config
        error = "no" if status == "failed" else None
        progress.tell(Outcome(name, config.model, config.backend, config.seed, 0, status, error, "", seconds))
        end = f"; about {left} left" if left else f"{name} {status}" + (": no" if error else " before")
        assert capsys.readouterr().err.endswith(f"{end}\n")


GRID = ("--models=textcnn", "--backends=jax", "--seeds=1,2")


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "unfinished"])
def test_a_grid_that_holds_runs_of_other_settings_is_refused_before_anything_is_written(
    capsys, monkeypatch, tmp_path, finished
):
    monkeypatch.setattr(runner, "command", lambda config: [sys.executable, "-c", "pass"])
    write_run(tmp_path, "textcnn", "jax", 2, finished=finished)
    before = contents(tmp_path)
    assert cli.main(["kmodels", "compare", *GRID, "--learning_rate=0.3", f"--output_dir={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path}/textcnn-jax-seed-2 holds another run (") and said.count("\n") == 1
    assert "learning_rate: 0.001 there, 0.3 now" in said
    assert contents(tmp_path) == before


def contents(folder):
    """{path: bytes} of the files below a folder, and its folders as {path: None}."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_compare_ends_with_status_1_if_runs_failed_and_reports_the_others(capsys, monkeypatch, tmp_path):
    fails = "import sys; sys.exit('error: no such preset' if '--seed=2' in sys.argv else 0)"
    monkeypatch.setattr(runner, "command", lambda config: [sys.executable, "-c", fails, *config.to_flags()])
    write_run(tmp_path, "textcnn", "jax", 1, num_buckets=12, save_predictions=True, measure_peak=True)
    assert cli.main(["kmodels", "compare", *GRID, f"--output_dir={tmp_path}"]) == 1
    said = capsys.readouterr()
    assert said.err.splitlines()[-2].endswith("textcnn-jax-seed-2 failed: no such preset")
    assert said.err.splitlines()[-1] == f"error: 1 of 2 runs failed; see {tmp_path}/logs"
    assert said.out == f"report: {tmp_path}/report.html\n"
    assert "no such preset" in (tmp_path / "report.html").read_text()


def test_the_report_names_every_command_that_made_runs_as_a_shell_takes_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "command", lambda config: [sys.executable, "-c", "1 / 0"])
    folder = tmp_path / "two words"
    flags = [
        ["--models=textcnn", "--backends=jax", "--seeds=1", "--title=$5 & 'more'\nof it"],
        ["--models=textcnn", "--backends=jax", "--seeds=2"],
    ]
    for number in (0, 1, 0):
        assert cli.main(["kmodels", "compare", *flags[number], f"--output_dir={folder}"]) == 1
    assert cli.main(["kmodels", "report", str(folder)]) == 0
    commands = records.read_json(folder / "comparison.json")["command"].split("\n")
    assert [shlex.split(command) for command in commands] == [
        ["kmodels", "compare", *flags[0][:3], "--title=$5 & 'more' of it", f"--output_dir={folder}"],
        ["kmodels", "compare", *flags[1], f"--output_dir={folder}"],
    ]


def test_sentences_are_shown_only_if_the_data_is_that_of_the_runs(capsys, tmp_path):
    train, validation = write_review_files(tmp_path)
    folder, lines = tmp_path / "grid", validation.read_text().splitlines()
    labels = np.array([int(line[-1]) for line in lines[1:]])
    shared = {"labels": labels, "label_names": ("0", "1")}
    for backend in ("jax", "torch"):
        write_run(folder, backend=backend, train_file=str(train), validation_file=str(validation), **shared)
    assert cli.main(["kmodels", "report", str(folder), "--texts"]) == 0
    first = records.read_json(folder / "comparison.json")["disagreements"][0]
    assert lines[1 + first["row"]] == f"{first['text']}\t{first['label']}"
    capsys.readouterr()
    moved = [lines[0], *sorted(lines[1:], key=lambda line: line[-1])]
    for others, words in ((lines[:-1], "had 32, now they are 31"), (moved, "in another order or with other labels")):
        validation.write_text("\n".join(others) + "\n")
        assert cli.main(["kmodels", "report", str(folder), "--texts"]) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1


def test_compare_reads_the_sentences_it_shows_before_the_first_run(capsys, tmp_path):
    files = ["--train_file=nowhere.tsv", "--validation_file=nowhere.tsv"]
    assert cli.main(["kmodels", "compare", *GRID, "--texts", *files, f"--output_dir={tmp_path / 'grid'}"]) == 2
    assert "nowhere.tsv" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_interrupt_wins_over_failed_runs(capsys, monkeypatch, tmp_path):
    def interrupted(cells, *arguments):
        statuses = zip(cells, ("failed", "unfinished"))
        return [Outcome(cell.name, "textcnn", "jax", 1, 0, status, None, "", 1.0) for cell, status in statuses]

    monkeypatch.setattr(runner, "run", interrupted)
    monkeypatch.setattr(report, "write_report", lambda *arguments: None)
    for flag, command in (("--nooverwrite", "again"), ("--overwrite", "without --overwrite")):
        assert cli.main(["kmodels", "compare", *GRID, f"--output_dir={tmp_path}", flag]) == 130
        assert f"the same command {command} goes on from 0 of 2 runs finished" in capsys.readouterr().err


def test_the_progress_says_why_a_run_failed_that_had_finished_before(capsys, tmp_path):
    write_run(tmp_path, "textcnn", "jax", 1)
    cells = grid.cells(["textcnn"], ["jax"], [1, 2], tmp_path, {})
    progress = compare._Progress(cells, jobs=1)
    progress.tell(Outcome(cells[0].name, "textcnn", "jax", 1, 0, "failed", "no space left", "", 1.0))
    assert capsys.readouterr().err == "1 of 2, textcnn-jax-seed-1 failed: no space left\n"


def test_a_grid_is_trained_reported_and_not_trained_again(tmp_path):
    files = write_review_files(tmp_path)
    settings = tiny_settings("textcnn", files, tmp_path / "grid", epochs=2)
    del settings["model"]
    flags = [f"--{name}={value}" for name, value in settings.items()]
    grid = ["compare", "--models=textcnn", "--backends=torch", "--seeds=1,2", "--texts", *flags]
    status, out, err = kmodels(*grid)
    assert status == 0, err
    assert "2 of 2, textcnn-torch-seed-2 finished" in err
    folder = tmp_path / "grid"
    comparison = json.loads((folder / "comparison.json").read_text())
    assert [run["status"] for run in comparison["runs"]] == ["finished"] * 2
    assert 0 < comparison["groups"][0]["fraction_of_peak"] < 1
    assert comparison["groups"][0]["dev_interval"][0] < comparison["groups"][0]["accuracy"]["mean"]
    page = (folder / "report.html").read_text()
    assert "textcnn" in page
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/metrics.json")}
    assert kmodels(*grid)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/metrics.json")} == before
    (folder / "report.html").unlink()
    status, out, err = kmodels("report", str(folder), "--texts")
    assert (status, out) == (0, f"report: {folder}/report.html\n")
    assert (folder / "report.html").read_text() == page
    (folder / "comparison.json").write_text("damaged")
    assert kmodels("report", str(folder), "--title=Ours")[0] == 0
    assert kmodels("report", str(folder))[0] == 0
    comparison = json.loads((folder / "comparison.json").read_text())
    assert (comparison["title"], comparison["command"]) == ("Ours", None)
    status, out, err = kmodels("runs", str(folder), "--json")
    assert [row["seed"] for row in json.loads(out)] == [1, 2]


@pytest.mark.parametrize(
    "command",
    [
        ["runs"],
        ["report"],
        ["predict"],
        ["evaluate"],
        ["train", "--dataset=sample", "--output_dir"],
        ["train", "--flagfile"],
    ],
    ids=" ".join,
)
def test_a_name_longer_than_any_file_has_is_wrong_input(command, capsys):
    name = "x" * 300
    argument = f"{command.pop()}={name}" if command[-1].startswith("--") else name
    assert cli.main(["kmodels", *command, argument]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
