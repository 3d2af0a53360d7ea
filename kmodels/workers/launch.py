"""Starts a run's workers on this machine, a process each, and watches them to the end."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from kmodels import cores, extensions, records
from kmodels.errors import InputError, Interrupted, RunError
from kmodels.signals import StopRequest
from kmodels.workers.meeting import free_port

ADDRESS = "127.0.0.1"
GRACE_SECONDS = 5.0  # that the others have to end by themselves once one has failed
LAST_LINES = 5
WRONG_INPUT = 2
STOPPED = (128 + signal.SIGTERM, 128 + signal.SIGINT)  # statuses of a process that saved and ended when it was told to
# Environment variables between this process and its workers.
PARENT = "KMODELS_PARENT"  # without which they end
REASON = "KMODELS_REASON_FILE"  # where one says why it ends


@dataclass
class Worker:
    """A worker's process, and the files of what it says."""

    rank: int
    process: subprocess.Popen
    log: Path | None
    reason: Path

    @property
    def status(self):
        return self.process.poll()


def run(command, num_workers, output_dir):
    """Runs a command in as many processes, with torchrun's environment variables; each gets its share of the cores.

    Worker 0 shares this process's terminal; what the others say goes into worker_N.log in the run's folder. If one
    fails, all are ended.

    Args:
        command: [program, argument, …].
        num_workers: how many.
        output_dir: the run's folder.

    Raises:
        InputError, RunError: a worker failed; with its reason, or its last lines.
        Interrupted: SIGTERM or SIGINT came; the workers saved and ended.
    """
    with tempfile.TemporaryDirectory() as place, StopRequest() as stop, contextlib.ExitStack() as at_the_end:
        port = free_port(ADDRESS)
        workers: list[Worker] = []
        at_the_end.callback(_keep_logs, workers, Path(output_dir))
        at_the_end.callback(_end, workers)
        for rank in range(num_workers):
            workers.append(_start(command, rank, num_workers, port, Path(place)))
        failed = _watch(workers, stop)
        if failed:
            _raise(failed, stop, Path(output_dir))


def _start(command, rank, num_workers, port, place):
    share = cores.share(rank, num_workers)
    threads = str(len(share))
    environment = os.environ | {
        "RANK": str(rank),
        "WORLD_SIZE": str(num_workers),
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": ADDRESS,
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        PARENT: str(os.getpid()),
        REASON: str(place / f"reason_{rank}"),
    }
    log = place / f"worker_{rank}.log" if rank else None
    with open(log, "wb") if log else contextlib.nullcontext() as file, cores.held_to(share):
        # A session of its own: Ctrl-C comes to this process only, which passes it on once.
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    return Worker(rank, process, log, Path(environment[REASON]))


def _watch(workers, stop):
    """Waits for all. Returns the worker whose failure says most; None if all ended well."""
    told = False
    while True:
        failed = [worker for worker in workers if worker.status]
        if failed:
            _wait(workers)
            return min((worker for worker in workers if worker.status), key=lambda one: _how_telling(one, failed))
        if all(worker.status == 0 for worker in workers):
            return None
        if stop.received and not told:
            told = True
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)


def _how_telling(worker, first):
    """Of workers that failed, one that was killed says why, whoever fell with it; then wrong input; then the first."""
    return (worker.status > 0, worker.status != WRONG_INPUT, worker not in first, worker.rank)


def _raise(failed, stop, folder):
    """Raises what a failed worker ended with."""
    if stop.received and failed.status in (*STOPPED, -signal.SIGTERM):  # the signal may come when all is saved
        where = (_reason(failed) or "").partition(" goes on from ")[2]
        raise Interrupted(stop.received, where or "its last checkpoint")
    who = f"worker {failed.rank}: " if failed.rank else ""
    if failed.status < 0:
        reason = f"killed by {signal.Signals(-failed.status).name}; out of memory?"
        raise RunError(f"worker {failed.rank}: {reason}; the run's checkpoints stay in {folder}")
    reason = _reason(failed) or _unsaid(failed)
    raise (InputError if failed.status == WRONG_INPUT else RunError)(f"{who}{reason}")


def _reason(worker):
    """Why a worker says that it ended; None if it didn't say."""
    with contextlib.suppress(OSError):
        return worker.reason.read_text(encoding="utf-8") or None
    return None


def _unsaid(worker):
    """What is to say of a worker that said nothing itself."""
    if worker.log is None:
        return f"ended with status {worker.status}; what it said stands above"
    return last_lines(worker.log) or f"ended with status {worker.status}"


def last_lines(log):
    """The last lines of a log file, on one line; "" if it has none."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-LAST_LINES:])


def _wait(workers):
    """Waits for those that fall with the one that failed."""
    end = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < end and any(worker.status is None for worker in workers):
        time.sleep(0.05)


def _end(workers):
    """Leaves none running."""
    for worker in workers:
        if worker.status is None:
            worker.process.kill()
        worker.process.wait()


def _keep_logs(workers, folder):
    """Puts worker_N.log into the run's folder, if the run came so far that it has one."""
    if not (folder / records.CONFIG).is_file():
        return
    for worker in workers:
        if worker.log is not None:
            with contextlib.suppress(OSError):
                shutil.copyfile(worker.log, folder / worker.log.name)


# In a worker


def end_with_parent():
    """Has this process end when the one that started it does, however that happens; nothing without such a one."""
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    import threading

    def watch():
        while os.getppid() == int(parent):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def is_launched():
    """True in a worker that `run` started: what there is to say about the run, the process that called it says."""
    return REASON in os.environ


def say_reason(message):
    """Hands on why this worker ends, to the process that started it. Returns False if there is none."""
    path = os.environ.get(REASON)
    if path is None:
        return False
    with contextlib.suppress(OSError):
        Path(path).write_text(message, encoding="utf-8")
        return True
    return False


def command(flags):
    """The command line of a worker: [program, …]. InputError if it names what is registered in this process only."""
    values = {name: value for name, _, value in (flag.partition("=") for flag in flags)}
    extensions.check_handed_on(values.get("--model"), values.get("--dataset"))
    return [sys.executable, "-m", "kmodels", "train", *flags]
