"""The runs of a grid as Ray's tasks, each on some node of a cluster."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from kmodels import cluster, extensions
from kmodels.cluster import notes, processes
from kmodels.signals import StopRequest

RESTARTS = 3  # of a run whose node is lost; it goes on from its newest checkpoint


def make(address, commands, jobs=1, ended=lambda name, started, seconds, how: None):
    """Trains all, as many at a time as the cluster has room for.

    Args:
        address: of the cluster, as `kmodels.cluster.connected` takes it.
        commands: {name: (flags of `kmodels train`, pathlib.Path of the log, pathlib.Path of the run's folder)}, in the
            order in which they are begun.
        jobs: runs at a time on a node.
        ended: function called as each run ends: its name, when it was started (UTC), for how many seconds it ran, and
            a kmodels.cluster.processes.Ended; None for a run that was not begun, because this process was stopped.

    Raises:
        InputError: there is no such cluster.
    """
    with cluster.connected(address), StopRequest() as stop:
        import ray

        desk = notes.desk()
        share = cluster.share(jobs=jobs)
        place = ray.remote(_make).options(num_cpus=share["CPU"], num_gpus=share.get("GPU", 0), max_retries=RESTARTS)
        left = {
            place.remote(
                {
                    "flags": flags,
                    "folder": os.getcwd(),
                    "environment": extensions.environment(),
                    "log": str(log.absolute()),
                    "output_dir": str(run.absolute()),
                    "before": processes.begun(run),
                },
                share["CPU"],
                desk,
            ): name
            for name, (flags, log, run) in commands.items()
        }
        told = False
        while left:
            done, _ = ray.wait(list(left), timeout=processes.POLL_SECONDS)
            for task in done:
                name = left.pop(task)
                try:
                    ended(name, *ray.get(task))
                except ray.exceptions.RayError as error:
                    reason = " ".join(str(error).split())[:500]
                    ended(name, _now(), 0.0, processes.Ended(1, reason))
            if stop.received and not told:
                told = True
                ray.get(desk.stop.remote())  # runs under way save and end; tasks that are not begun end at once


def _make(job, num_cores, desk):
    """One run, on a node. Returns (when it was started, seconds, Ended); None for a run that was not begun."""
    import ray

    # In a thread of its own: a task whose first thread waits for an answer gives its cores back meanwhile, and another
    # run would be begun on them.
    with ThreadPoolExecutor(1) as asking:

        def should_stop():
            return asking.submit(lambda: ray.get(desk.should_stop.remote())).result()

        started, start = _now(), time.perf_counter()
        if should_stop():
            return started, 0.0, None
        flags = processes.once_overwriting(job["flags"], job["output_dir"], job["before"])
        log = Path(job["log"])
        how = processes.train(flags, job["folder"], job["environment"], log, num_cores, should_stop)
    return started, time.perf_counter() - start, how


def _now():
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
