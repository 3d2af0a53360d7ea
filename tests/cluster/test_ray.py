"""A Ray cluster of two local nodes: it places a run's workers and a grid's runs."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kmodels
from kmodels import config, extensions
from kmodels.cluster import runs
from tests.cluster.runs import AXES, folders_of_checkpoints, trainers

pytest.importorskip("ray")

WEATHER = """
from kmodels import extensions

@extensions.dataset("weather")
def weather(data_dir=None):
    return ["fine", "grey"] * 20, [1, 0] * 20, ["fine", "grey"], [1, 0], ("bad", "good")
"""


@pytest.fixture
def weather(settings, tmp_path, monkeypatch):
    """Settings of a run on a dataset that is an extension, loaded here."""
    monkeypatch.setenv(extensions.VARIABLE, "")
    monkeypatch.setitem(config.DATASETS, "weather", None)
    (tmp_path / "weather.py").write_text(WEATHER)
    del config.DATASETS["weather"]
    extensions.load(tmp_path / "weather.py")
    return {name: value for name, value in settings.items() if not name.endswith("_file")} | {"dataset": "weather"}


def test_workers_of_a_run_are_placed_load_its_extensions_and_give_the_run_of_this_machine(address, weather, tmp_path):
    record = kmodels.train(**weather, workers=2, cluster=address)
    assert record.config["workers"] == 2 and "peak_worker_1_memory_MB" in record.metrics
    assert {path.name for path in (tmp_path / "run").glob("*.log")} == {"worker_0.log", "worker_1.log"}
    assert "epoch 2" in (tmp_path / "run" / "worker_0.log").read_text()
    assert not trainers(tmp_path / "run") and not list(tmp_path.glob(".ray-*"))
    here = kmodels.train(**weather | {"output_dir": str(tmp_path / "here")}, workers=2)
    assert [line["training_loss"] for line in record.history] == [line["training_loss"] for line in here.history]


def test_runs_of_a_grid_load_its_extensions(address, weather, tmp_path):
    flags = [f"--{name}={value}" for name, value in (weather | {"output_dir": tmp_path / "grid"}).items()]
    ended = []
    command = flags, tmp_path / "log", tmp_path / "grid"
    runs.make(address, {"one": command}, ended=lambda *each: ended.append(each[-1]))
    assert [each.reason for each in ended] == [""]


def test_an_extension_that_no_file_registers_is_said_before_anything_is_placed(address, weather, tmp_path, monkeypatch):
    monkeypatch.setattr(extensions, "_only_here", {"weather"})
    with pytest.raises(kmodels.InputError, match="'weather' is registered in this process only"):
        kmodels.train(**weather, workers=2, cluster=address)
    assert not (tmp_path / "run").exists()


def test_wrong_input_is_said_once_and_nothing_is_tried_again(address, settings, tmp_path):
    Path(settings["train_file"]).write_text("sentence\tlabel\n")
    with pytest.raises(kmodels.InputError, match=r"train\.tsv"):
        kmodels.train(**settings, workers=2, cluster=address)
    assert not (tmp_path / "run").exists() and not list(tmp_path.glob(".ray-*"))


def interrupted(command, settings, folder, count=1):
    """What a command that trains for ever says when Ctrl-C comes, once there are checkpoints of so many runs."""
    flags = [f"--{name}={value}" for name, value in (settings | {"epochs": 100_000}).items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "kmodels", *command, *flags],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    end = time.monotonic() + 200

    while process.poll() is None and len(folders_of_checkpoints(folder)) < count and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    return said


def test_an_interrupt_saves_and_ends_all_workers(address, settings, tmp_path):
    said = interrupted(["train", "--workers=2", f"--cluster={address}"], settings, tmp_path)
    assert "goes on from" in said
    assert not trainers(tmp_path / "run")


def test_an_interrupt_saves_and_ends_a_grid(address, settings, tmp_path):
    for name in AXES:
        settings.pop(name)
    runs = [tmp_path / "grid" / f"textcnn-torch-seed-{seed}" for seed in (1, 2, 3)]
    grid = ["--models=textcnn", "--backends=torch", "--seeds=1,2,3", f"--output_dir={tmp_path / 'grid'}"]
    said = interrupted(["compare", *grid, f"--cluster={address}"], settings, tmp_path, count=2)
    assert "the same command again goes on from 0 of 3 runs finished" in said
    assert not any(trainers(run) for run in runs)
    assert sum(run.is_dir() for run in runs) == 2  # the third was not begun
    assert (tmp_path / "grid" / "report.html").is_file()


def test_a_cluster_is_reached_from_outside(address_from_outside, settings):
    record = kmodels.train(**settings, workers=2, cluster=address_from_outside)
    assert "peak_worker_1_memory_MB" in record.metrics


def test_where_no_cluster_answers_it_is_said(settings):
    with pytest.raises(kmodels.InputError, match=r"no Ray cluster answers at 127\.0\.0\.1:9"):
        kmodels.train(**settings, cluster="127.0.0.1:9")
