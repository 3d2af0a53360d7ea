"""A cluster that Ray keeps: one run's workers, or the runs of a grid, are placed on its nodes.

The nodes need kmodels and its backend, and the folders that a run reads and writes at the same paths.
"""

import contextlib
import logging
import socket
import time

from kmodels import backend
from kmodels.errors import InputError

CONNECT_SECONDS = 10.0
TRIES = 3  # of a cluster from outside
TRY_AGAIN_SECONDS = 2.0


@contextlib.contextmanager
def connected(address):
    """A context in which Ray is connected to a cluster.

    Args:
        address: as `ray.init` takes it: "auto" for the cluster that this host belongs to, "HOST:PORT", or
            "ray://HOST:10001" from outside.

    Raises:
        InputError: Ray is not installed, or no cluster answers there.
    """
    if not backend.is_installed("ray"):
        raise InputError("--cluster needs the package ray: pip install 'kmodels[cluster]'")
    import ray

    _check_answers(address)
    try:
        _connect(address)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        if len(reason) > 200:
            reason = f"…{reason[-200:]}"  # of a traceback, what was raised
        raise InputError(f"no Ray cluster answers at {address}: {reason}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address):
    import ray

    for tries_left in reversed(range(TRIES)):
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, namespace="kmodels")
            break
        except ConnectionAbortedError:
            # The head starts a process for each that comes from outside. On a busy one Ray 2.60 was seen not to.
            if not tries_left:
                raise
            time.sleep(TRY_AGAIN_SECONDS)


def _check_answers(address):
    """Raises InputError if nobody listens at an address with a port: Ray would try for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster answers at {address}: {error}") from error


def here():
    """Where Ray is to keep what must outlive every other node: on the one that this process reached the cluster by."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Not softly: then Ray 2.60 was seen to place it on another node, and to lose it with that.
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def share(num_workers=None, jobs=1):
    """What of a node one worker, or one run of a grid, gets: {"CPU": …, "GPU": …}, as Ray counts them.

    One GPU each where the cluster has some. Of the cores, a worker gets as many as there are for each, and a run of a
    grid those of the smallest node, so that runs don't disturb each other; `jobs` of them share a node.

    Args:
        num_workers: of one run; None for the runs of a grid.
        jobs: runs at a time on a node.

    Raises:
        InputError: the cluster has too few GPUs, or no cores.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if not nodes:
        raise InputError("the Ray cluster has no node with cores")
    cores, gpus = [int(node["CPU"]) for node in nodes], [int(node.get("GPU", 0)) for node in nodes]
    if sum(gpus) and num_workers and num_workers > sum(gpus):
        raise InputError(f"workers must be at most {sum(gpus)}, the GPUs of the Ray cluster; got {num_workers}")
    if num_workers:
        return {"CPU": max(1, min(min(cores), sum(cores) // num_workers))} | ({"GPU": 1} if sum(gpus) else {})
    jobs = max(jobs, *gpus)
    return {"CPU": max(1, min(cores) // jobs)} | ({"GPU": 1} if sum(gpus) else {})
