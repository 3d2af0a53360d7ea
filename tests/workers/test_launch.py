"""Processes that are started together end together, and say why."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from kmodels import records
from kmodels.errors import InputError, RunError
from kmodels.workers import launch

ROOT = Path(__file__).parent.parent.parent
HEAD = "import os, sys, time; from kmodels.workers import launch; rank = int(os.environ['RANK'])\n"


def run(code, folder, num_workers=2):
    """`launch.run` of a program, given as its lines after HEAD."""
    launch.run([sys.executable, "-c", HEAD + textwrap.dedent(code)], num_workers, folder)


def children():
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def test_each_has_its_number_and_its_share_and_its_log(tmp_path):
    (tmp_path / records.CONFIG).write_text("{}")
    run(
        """
        names = "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "OMP_NUM_THREADS"
        text = " ".join([*map(os.environ.__getitem__, names), str(len(os.sched_getaffinity(0)))])
        open(f"said_{rank}", "w").write(text) if rank == 0 else print(text, file=sys.stderr)
        """.replace("said_{rank}", f"{tmp_path}/said_{{rank}}"),
        tmp_path,
    )
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert (tmp_path / "said_0").read_text() == f"2 0 127.0.0.1 {share} {share}"
    assert (tmp_path / "worker_1.log").read_text() == f"2 1 127.0.0.1 {share} {share}\n"


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (
            "sys.exit(launch.say_reason('wrong') and 2) if rank else time.sleep(60)",
            InputError,
            "worker 1: wrong",
        ),
        ("sys.exit(launch.say_reason('full') and 1) if rank == 0 else time.sleep(60)", RunError, "^full$"),
        ("raise KeyError('x') if rank else time.sleep(60)", RunError, "worker 1: Traceback.* / KeyError: 'x'"),
        ("os.kill(os.getpid(), 9) if rank else time.sleep(60)", RunError, "worker 1: killed by SIGKILL"),
    ],
)
def test_one_that_fails_ends_all_and_says_why(tmp_path, monkeypatch, code, kind, message):
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(kind, match=message) as caught:
        run(code, tmp_path)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 20
    assert not children()
    assert not list(tmp_path.iterdir())  # there was no run to keep a log with


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_killed_worker_is_named_though_another_fell_first(tmp_path, monkeypatch, seconds):
    monkeypatch.setattr(launch, "GRACE_SECONDS", 30)
    with pytest.raises(RunError, match="worker 1: killed by SIGKILL"):
        run(f"time.sleep({seconds}) or os.kill(os.getpid(), 9) if rank else sys.exit(1)", tmp_path)


def test_of_those_that_fell_one_after_the_other_the_first_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "GRACE_SECONDS", 30)
    with pytest.raises(RunError, match="worker 1: first"):
        run("rank or time.sleep(2); launch.say_reason('first' if rank else 'second'); sys.exit(1)", tmp_path)


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    code = f"""
        from kmodels.workers import launch
        launch.run([{sys.executable!r}, "-c", {HEAD!r} + "launch.end_with_parent(); "
            "open({str(tmp_path)!r} + f'/{{rank}}', 'w').write(str(os.getpid())); time.sleep(60)"],
            2, {str(tmp_path)!r})
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT) as parent:
        files = [tmp_path / "0", tmp_path / "1"]
        end = time.monotonic() + 30
        while not all(path.is_file() and path.read_text() for path in files):
            assert time.monotonic() < end
            time.sleep(0.05)
        parent.kill()
    workers = [int(path.read_text()) for path in files]
    end = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in workers):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_signal_reaches_all_once_and_is_told(tmp_path):
    code = f"""
        import signal, sys
        from kmodels.errors import Interrupted
        from kmodels.workers import launch
        worker = {HEAD!r} + '''
        import signal
        def stop(number, frame):
            launch.say_reason("stopped by SIGTERM; the same command again goes on from epoch 1, step 2")
            sys.exit(143)
        signal.signal(signal.SIGTERM, stop)
        open({str(tmp_path)!r} + f"/{{rank}}", "w").close()
        time.sleep(60)
        '''.replace("\\n        ", "\\n")
        try:
            launch.run([{sys.executable!r}, "-c", worker], 2, {str(tmp_path)!r})
        except Interrupted as stopped:
            print(stopped)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        end = time.monotonic() + 30
        while not all((tmp_path / str(rank)).is_file() for rank in range(2)):
            assert time.monotonic() < end
            time.sleep(0.05)
        parent.send_signal(signal.SIGTERM)
        said, _ = parent.communicate(timeout=20)
    assert said == "stopped by SIGTERM; the same command again goes on from epoch 1, step 2\n"
