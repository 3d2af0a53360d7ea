"""What a run's processes on a cluster, and the one that started them, tell each other."""

from typing import Any

from kmodels import cluster


class Desk:
    """Where the workers and who started them leave each other notes: an actor, of which the cluster has one a run."""

    def __init__(self):
        self._stop = False
        self._ended = {}

    def stop(self):
        self._stop = True

    def should_stop(self):
        return self._stop

    def begin(self, rank):
        self._ended.pop(rank, None)

    def end(self, rank, ended):
        self._ended[rank] = ended

    def ended(self):
        """{rank: kmodels.cluster.processes.Ended} of the last time that workers were placed."""
        return self._ended


def desk():
    """A `Desk` in the cluster: a handle of Ray's, which may be handed to tasks."""
    import ray

    place: Any = ray.remote(Desk)
    return place.options(num_cpus=0, scheduling_strategy=cluster.here()).remote()
