"""Makes the runs of a grid: a fresh process each, its own log, its own cores."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

from kmodels import cores, records
from kmodels.comparison.checks import amount, in_file, listing, moment, one_of, optional, record, text, whole
from kmodels.signals import StopRequest
from kmodels.workers.launch import STOPPED

OUTCOMES = "runs.json"
LOGS = "logs"
FINISHED, FAILED, UNFINISHED = "finished", "failed", "unfinished"
MOMENT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass
class Outcome:
    """What became of a run.

    Attributes:
        name: of its folder.
        model, backend, seed, order: as in its `kmodels.comparison.grid.Cell`.
        status: FINISHED, FAILED or UNFINISHED.
        error: why it failed, one line; None otherwise.
        started: when its process was started, UTC.
        seconds: how long its process lived.
        cores: how many it was held to, with as many threads; None where nothing holds it to some, as on a cluster.
    """

    name: str
    model: str
    backend: str
    seed: int
    order: int
    status: str
    error: str | None
    started: str
    seconds: float
    cores: int | None = None


def run(cells, output_dir, jobs=1, tell=lambda outcome: None, cluster=None):
    """Makes every run that is not finished yet; a failed one does not stop the others.

    Args:
        cells: [kmodels.comparison.grid.Cell, …], in the order in which they are begun.
        output_dir: where logs/NAME.log and runs.json go.
        jobs: how many runs at a time, on each node of a cluster; each gets its own share of the cores.
        tell: function of an Outcome, called as each run ends.
        cluster: address of a Ray cluster whose nodes make the runs; None for this machine.

    Returns:
        [Outcome, …]. After SIGINT or SIGTERM the runs under way are stopped and saved, and the rest is not begun.

    Raises:
        InputError: there is no such cluster.
    """
    folder = Path(output_dir)
    (folder / LOGS).mkdir(parents=True, exist_ok=True)
    written = {cell.name: _modified(folder / cell.name / records.METRICS) for cell in cells}
    outcomes, lock = {}, threading.Lock()

    def ended(outcome):
        with lock:
            outcomes[outcome.name] = outcome
            before, now = written[outcome.name], _modified(folder / outcome.name / records.METRICS)
            if before is None or now != before:  # else it was finished, and is not made again
                _write_outcome(folder, outcome)
            tell(outcome)

    if cluster:
        _run_on_cluster(cells, folder, jobs, cluster, ended)
    else:
        _run_here(cells, folder, jobs, ended)
    return sorted(outcomes.values(), key=lambda outcome: outcome.order)


def _run_here(cells, folder, jobs, ended):
    """Makes runs on this machine; calls `ended` with each Outcome."""
    shares: SimpleQueue = SimpleQueue()
    for number in range(jobs):
        shares.put(cores.share(number, jobs))
    with StopRequest() as stop, ThreadPoolExecutor(jobs) as pool:

        def make(cell):
            if stop.received:
                return
            share = shares.get()
            outcome = _make(cell, _log(folder, cell), share, stop)
            shares.put(share)
            ended(outcome)

        for future in [pool.submit(make, cell) for cell in cells]:
            while not future.done():
                time.sleep(0.02)  # not result(): a signal is caught between two instructions of this thread only
            future.result()


def _run_on_cluster(cells, folder, jobs, cluster, ended):
    """Makes runs on the nodes of a Ray cluster; calls `ended` with each Outcome."""
    from kmodels.cluster import runs

    by_name = {cell.name: cell for cell in cells}

    def note(name, started, seconds, how):
        if how:
            ended(_outcome(by_name[name], how.status, how.reason, started, seconds))

    commands = {cell.name: (cell.config.to_flags(), _log(folder, cell), cell.folder) for cell in cells}
    runs.make(cluster, commands, jobs, note)


def _log(folder, cell):
    return folder / LOGS / f"{cell.name}.log"


def read_outcomes(output_dir):
    """{name: Outcome} of the runs made in a folder by `run`; empty if there were none.

    Raises:
        InputError: the file is damaged.
    """
    path = Path(output_dir) / OUTCOMES
    if not path.is_file():
        return {}
    found = in_file(path, listing(OUTCOME), records.read_json(path))
    return {values["name"]: Outcome(**values) for values in found}


OUTCOME = record(
    name=text,
    model=text,
    backend=text,
    seed=whole,
    order=whole,
    status=one_of(FINISHED, FAILED, UNFINISHED),
    error=optional(text),
    started=moment(MOMENT),
    seconds=amount,
    cores=optional(whole),
)


def command(config):
    """The command line that trains a config: [program, …]."""
    return [sys.executable, "-m", "kmodels", "train", *config.to_flags()]


def _make(cell, log, share, stop):
    """One run in its own process. Returns its Outcome."""
    config = cell.config
    started, start = datetime.now(UTC).strftime(MOMENT), time.perf_counter()
    environment = os.environ | {"KERAS_BACKEND": config.backend, "OMP_NUM_THREADS": str(len(share))}
    environment |= {"TF_NUM_INTRAOP_THREADS": str(len(share)), "TF_NUM_INTEROP_THREADS": str(len(share))}
    with open(log, "a", encoding="utf-8") as file, cores.held_to(share) as held:
        # A session of its own: Ctrl-C comes to this process only, which passes it on once.
        process = subprocess.Popen(command(config), stdout=file, stderr=file, env=environment, start_new_session=True)
    status = _wait(process, stop)
    seconds = time.perf_counter() - start
    return _outcome(cell, status, _last_line(log, status), started, seconds, len(share) if held else None)


def _outcome(cell, status, reason, started, seconds, cores=None):
    """The Outcome of a process that ended with a status; `reason` counts where that is a failure."""
    config = cell.config
    ended = FINISHED if status == 0 else UNFINISHED if status in STOPPED else FAILED
    error = reason if ended == FAILED else None
    kind = config.model, config.backend, config.seed
    return Outcome(cell.name, *kind, cell.order, ended, error, started, seconds, cores)


def _wait(process, stop):
    """The exit status of a process, which is told once if this one is told to stop."""
    told = False
    while True:
        try:
            return process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            if stop.received and not told:
                told = True
                process.send_signal(signal.SIGTERM)


def _last_line(log, status):
    """What a failed run said last, or which signal killed it."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}; out of memory?"
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if not lines:
        return f"exit status {status}"
    return lines[-1].removeprefix("error: ")[:500]


def _modified(path):
    """When a file was written last, in nanoseconds; None if there is none."""
    return path.stat().st_mtime_ns if path.is_file() else None


def _write_outcome(folder, outcome):
    """Puts an outcome into runs.json, beside those of other runs."""
    known = read_outcomes(folder) | {outcome.name: outcome}
    records.write_json(folder / OUTCOMES, [asdict(each) for each in known.values()])
