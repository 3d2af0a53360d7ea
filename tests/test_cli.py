"""kmodels COMMAND, from the outside."""

import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kmodels import cli, commandline
from kmodels.commands import compare, report
from kmodels.comparison import grid, runner
from kmodels.comparison.runner import Outcome
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
