"""A run's process on a node, as the one that started it sees it end."""

import sys

import pytest

from kmodels import records
from kmodels.cluster import processes
from kmodels.workers import launch


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import time; time.sleep(60)", launch.STOPPED[0]),  # at its end, all saved, it no longer catches the signal
        ("import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); time.sleep(60)", 143),
        ("import os, time; time.sleep(1); os.kill(os.getpid(), 9)", -9),
    ],
)
def test_a_process_that_is_told_to_stop_has_stopped_however_it_took_it(monkeypatch, tmp_path, code, status):
    monkeypatch.setattr(launch, "command", lambda flags: [sys.executable, "-c", code])
    asked = []

    def should_stop():
        asked.append(True)
        return len(asked) > 3 and status != -9

    ended = processes.train([], tmp_path, {}, tmp_path / "log", 1, should_stop)
    assert ended.status == status


def test_one_that_another_kills_by_the_same_signal_has_failed(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "command", lambda flags: [sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"])
    ended = processes.train([], tmp_path, {}, tmp_path / "log", 1, lambda: False)
    assert ended.status == -15 and "killed by SIGTERM" in ended.reason


def test_a_run_that_is_placed_again_overwrites_once(tmp_path):
    flags = ["--dataset=sample", "--overwrite=True"]
    before = processes.begun(tmp_path)
    assert processes.once_overwriting(flags, tmp_path, before) == flags
    (tmp_path / records.CONFIG).write_text("{}")
    assert processes.once_overwriting(flags, tmp_path, before) == ["--dataset=sample"]
    before = processes.begun(tmp_path)
    assert processes.once_overwriting(flags, tmp_path, before) == flags
    records.write_json(tmp_path / records.CONFIG, {})
    assert processes.once_overwriting(flags, tmp_path, before) == ["--dataset=sample"]
