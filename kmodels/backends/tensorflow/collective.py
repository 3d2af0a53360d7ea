"""TensorFlow's collective operations: what several workers compute together."""

import functools
import itertools
import json
import os

import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

from kmodels.workers import watch

_GROUP_KEY = 1  # of all workers, for TensorFlow's collective operations
_keys = itertools.count(1)  # each operation has its own, the same in every worker
_num_workers = 1
_wait_seconds = 0.0
_watches: list[watch.Watch] = []
_ABORTED = "Collective ops is aborted by: "
_UNTELLING = ("Graph execution error:", "Detected at node", "The error could be from a previous operation.")


def join(group, met, seconds):
    """Makes this process one of several workers.

    The strategy starts TensorFlow's own servers and connections, and is not entered: under it, `fit` fails in Keras
    3.15 (keras issue 20585). Variables stay plain ones, and gradients are averaged by its collective operations.

    Args:
        group: kmodels.workers.group.Group.
        met: kmodels.workers.meeting.Met: where the workers are.
        seconds: after which another worker is given up.
    """
    global _num_workers, _wait_seconds
    task = {"type": "worker", "index": group.rank}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(met.addresses)}, "task": task})
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices(gpus[group.local_rank % len(gpus)], "GPU")
    _set_heartbeat(group.size, 10 * seconds)
    tf.distribute.MultiWorkerMirroredStrategy()
    del os.environ["TF_CONFIG"]  # Keras would take it for its own
    # TensorFlow 2.21 frees what an operation that took too long still writes to: it may crash or hang for that. So the
    # watch misses a worker first, and ends operations another way; the time is for one that answers without computing.
    _num_workers, _wait_seconds = group.size, 10 * seconds
    _watches.append(watch.Watch(group, met.watched, seconds, _abort))


def _set_heartbeat(size, seconds):
    """Has TensorFlow's own heartbeat give another worker up later than the watch: it doesn't always name who is lost.

    The rest is what MultiWorkerMirroredStrategy configures where nothing is yet.
    """
    context.context().configure_coordination_service(
        "standalone",
        service_leader="/job:worker/replica:0/task:0",
        coordinated_jobs=[coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=size)],
        heartbeat_timeout_in_ms=int(1000 * seconds),
    )


def _abort(reason):
    """Has every operation fail that waits for another worker, or will: called in a thread of its own."""
    context.context().abort_collective_ops(tf.errors.UNAVAILABLE, reason)


def reason_of(error):
    """What an error says, in one line, without where in the graph it was and what the user could do."""
    said = [line for line in error.message.splitlines() if line.strip() and not line.startswith((" ", "\t"))]
    telling = [line.removeprefix(_ABORTED) for line in said if not line.startswith(_UNTELLING)]
    return " ".join(telling or said) or type(error).__name__


def leave():
    """Makes this process one that works alone again."""
    while _watches:
        _watches.pop().end()


def all_reduce(values, operation):
    """Numbers of all workers, put together one by one.

    Args:
        values: float64, NumPy, of the same shape in every worker.
        operation: "sum" or "max".

    Returns:
        float64, NumPy, the same in every worker.
    """
    tensor = tf.constant(values, tf.float64)
    return reduced(tensor, {"sum": "Add", "max": "Max"}[operation], _key_of(operation, tuple(tensor.shape))).numpy()


def num_workers():
    """How many processes compute together."""
    return _num_workers


def new_key():
    """Another operation's number, the same in every worker, for all come to it in the same order."""
    return next(_keys)


@functools.cache
def _key_of(operation, shape):
    """The number of one kind of operation, given when it is first asked for."""
    return new_key()


def reduced(tensor, operation, key):
    """A tensor of all workers, the "Add", "Mean" or "Max" of theirs: the same in each, of the same shape as theirs."""
    return tf.raw_ops.CollectiveReduceV2(
        input=tensor,
        group_size=_num_workers,
        group_key=_GROUP_KEY,
        instance_key=key,
        ordering_token=[],
        merge_op="Add" if operation == "Mean" else operation,
        final_op="Div" if operation == "Mean" else "Id",
        timeout_seconds=_wait_seconds,
    )
