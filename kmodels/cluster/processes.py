"""On a node: a run's process, its last words, and its end when it is told to stop."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from kmodels import records
from kmodels.workers import launch

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        status: its exit status; below 0, the number of the signal that killed it.
        reason: what it said of it, one line; "" if all went well.
    """

    status: int
    reason: str


def begun(output_dir):
    """What tells the run that a folder holds from a later one there; None where it holds none."""
    with contextlib.suppress(OSError):
        found = os.stat(Path(output_dir) / records.CONFIG)
        return found.st_ino, found.st_mtime_ns
    return None


def once_overwriting(flags, output_dir, before):
    """The flags of a run that is placed once more if its node is lost: without --overwrite after it has begun.

    Args:
        flags: [flag, …].
        output_dir: the run's folder.
        before: what `begun` said of it before the first time.
    """
    if begun(output_dir) == before:
        return flags
    return [flag for flag in flags if not flag.startswith("--overwrite")]


def train(flags, folder, environment, log, num_cores, should_stop):
    """Runs `kmodels train` to its end, in a process that does not outlive this one.

    Args:
        flags: [flag, …].
        folder: where paths in them begin.
        environment: {name: value} beside this process's own.
        log: pathlib.Path, to whose end goes what it says.
        num_cores: how many it may use.
        should_stop: function without arguments; once it is True, the process is asked to save and end.

    Returns:
        Ended.
    """
    threads = str(num_cores)
    inherited = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}  # the flags name it
    shared = {"OMP_NUM_THREADS": threads, "TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
    with tempfile.TemporaryDirectory() as place, open(log, "ab") as file:
        reason = Path(place) / "reason"
        watched = {launch.PARENT: str(os.getpid()), launch.REASON: str(reason)}
        environment = inherited | shared | environment | watched
        process = subprocess.Popen(
            launch.command(flags), cwd=folder, env=environment, stdout=file, stderr=file, start_new_session=True
        )
        try:
            status = _wait(process, should_stop)
        finally:
            if process.poll() is None:
                process.kill()
        with contextlib.suppress(OSError):
            return Ended(status, reason.read_text(encoding="utf-8"))
    return Ended(status, _unsaid(status, log))


def _wait(process, should_stop):
    told = False
    while process.poll() is None:
        time.sleep(POLL_SECONDS)
        if not told and should_stop():
            told = True
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
    if told and process.returncode == -signal.SIGTERM:  # it had saved with the others, and was at its end
        return launch.STOPPED[0]
    return process.returncode


def _unsaid(status, log):
    """What is to say of a process that said nothing itself."""
    if status == 0:
        return ""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}; out of memory?"
    return launch.last_lines(log) or f"ended with status {status}"
