"""kmodels on TensorFlow."""

import contextlib
import functools
import itertools
import json
import os
from typing import Any

import tensorflow as tf

from kmodels.backends import DeviceMemory, cpu, encoder, is_table
from kmodels.backends.tensorflow import kernels

_SIGNATURE = (
    {
        "token_ids": tf.TensorSpec((None, None), tf.int32),
        "padding_mask": tf.TensorSpec((None, None), tf.bool),
    },
    tf.TensorSpec((None,), tf.int32),
    tf.TensorSpec((None,), tf.float32),
)


def configure(deterministic=False):
    """Plain float32 products where float32 is asked for, as on the other backends.

    Args:
        deterministic: use only kernels that give the same bits each time; it holds for the rest of the process.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


# Each worker computes its own part of a batch; gradients are averaged (`optimizer_class`).
COMPUTES_WHOLE_BATCHES = False
WORKER_ERRORS = (tf.errors.OpError,)
_GROUP_KEY = 1  # of all workers, for TensorFlow's collective operations
_keys = itertools.count(1)  # each operation has its own, the same in every worker
_num_workers = 1
_wait_seconds = 0.0


def join(group, met, seconds):
    """Makes this process one of several workers.

    The strategy starts TensorFlow's own servers and connections, and is not entered: under it, `fit` fails in Keras
    3.15 (keras issue 20585). Variables stay plain ones, and gradients are averaged by its collective operations.

    Args:
        group: kmodels.workers.group.Group.
        met: kmodels.workers.meeting.Met: where the workers are.
        seconds: how long an operation waits for the others before it fails.
    """
    global _num_workers, _wait_seconds
    task = {"type": "worker", "index": group.rank}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(met.addresses)}, "task": task})
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices(gpus[group.local_rank % len(gpus)], "GPU")
    tf.distribute.MultiWorkerMirroredStrategy()
    del os.environ["TF_CONFIG"]  # Keras would take it for its own
    _num_workers, _wait_seconds = group.size, seconds


def leave():
    """Makes this process one that works alone again: nothing is to be done for that here."""


alone = contextlib.nullcontext  # variables are each worker's own


def all_reduce(values, operation):
    """Numbers of all workers, put together one by one.

    Args:
        values: float64, NumPy, of the same shape in every worker.
        operation: "sum" or "max".

    Returns:
        float64, NumPy, the same in every worker.
    """
    tensor = tf.constant(values, tf.float64)
    return _reduced(tensor, {"sum": "Add", "max": "Max"}[operation], _key(operation, tuple(tensor.shape))).numpy()


@functools.cache
def _key(*kind):
    """The number of a kind of operation, the same in every worker, for all come to it in the same order."""
    return next(_keys)


def _reduced(tensor, operation, key):
    return tf.raw_ops.CollectiveReduceV2(
        input=tensor,
        group_size=_num_workers,
        group_key=_GROUP_KEY,
        instance_key=key,
        ordering_token=[],
        merge_op=operation,
        final_op="Id",
        timeout_seconds=_wait_seconds,
    )


def _averaged(gradients, are_tables):
    """The mean of each gradient over the workers: of tables, only those rows go round that some batch used.

    Args:
        gradients: [tf.Tensor, …].
        are_tables: [bool, …], True for a gradient whose rows are 0 but for words that occur.
    """
    tables = [gradient for gradient, is_table in zip(gradients, are_tables) if is_table]
    rows = _rows_in_use(tables)
    whole = [gradient for gradient, is_table in zip(gradients, are_tables) if not is_table]
    flat = tf.concat([tf.reshape(each, [-1]) for each in whole], axis=0)
    parts = tf.split(_reduced(flat, "Add", next(_keys)) / _num_workers, [tf.size(each) for each in whole])
    others = iter([tf.reshape(part, tf.shape(each)) for part, each in zip(parts, whole)])
    filled = iter(
        [
            tf.tensor_scatter_nd_update(table, places[:, None], _reduced_rows(table, places) / _num_workers)
            for table, places in zip(tables, rows)
        ]
    )
    return [next(filled if is_table else others) for is_table in are_tables]


def _reduced_rows(table, places):
    """The sum of some rows over the workers. The operation wants a shape known beforehand: rows of 0 fill it up."""
    rows, count, most = tf.gather(table, places), tf.size(places), table.shape[0]
    capacities = [*itertools.takewhile(lambda size: size < most, (2**power for power in range(8, 64))), most]

    def branch(capacity, key):
        def reduce():
            padded = tf.ensure_shape(tf.pad(rows, [[0, capacity - count], [0, 0]]), (capacity, table.shape[1]))
            return _reduced(padded, "Add", key)[:count]

        return reduce

    number = tf.searchsorted(capacities, [count])[0]
    return tf.switch_case(number, [branch(capacity, next(_keys)) for capacity in capacities])


def _rows_in_use(tables):
    """The rows of each table that are not 0 in some worker: [int64, (num_rows,), …]."""
    if not tables:
        return []
    in_use = [tf.cast(tf.reduce_any(tf.not_equal(table, 0), axis=1), tf.int32) for table in tables]
    masks = _reduced(tf.concat(in_use, axis=0), "Max", next(_keys))
    return [tf.where(mask)[:, 0] for mask in tf.split(masks, [table.shape[0] for table in tables])]


def feed(batches, num_steps):
    """A tf.data.Dataset whose shapes are said beforehand: Keras would take the first two batches' for all.

    Args:
        batches: function without arguments that starts an iterator of (inputs, labels, weights).
        num_steps: how many batches it gives.
    """
    dataset = tf.data.Dataset.from_generator(batches, output_signature=_SIGNATURE)
    return dataset.apply(tf.data.experimental.assert_cardinality(num_steps)).prefetch(4)


# One graph serves every shape; but on a GPU Keras has XLA compile the training step, for each shape.
COMPILES_EACH_SHAPE = bool(tf.config.list_physical_devices("GPU"))


def predict_function(model):
    """The model without what training needs, as one graph for all shapes.

    Args:
        model: keras.Model from {"token_ids", "padding_mask"} to logits.

    Returns:
        function of token_ids, int32, and padding_mask, bool, NumPy, (batch, length), that starts the model on them and
        returns a function without arguments, which waits for the logits: float32, NumPy, (batch, num_classes).
    """

    @tf.function(input_signature=[_SIGNATURE[0]], autograph=False)
    def logits(inputs):
        return tf.cast(model(inputs, training=False), tf.float32)

    return lambda token_ids, padding_mask: logits({"token_ids": token_ids, "padding_mask": padding_mask}).numpy


def prepare(model):
    """Has transformer layers computed by few operations, each of which the graph has to begin in every step."""
    encoder.prepare(model, kernels)


def optimizer_class(kind: Any):
    """Keras's Adam or AdamW, told each gradient as a dense tensor; on a CPU with TensorFlow's kernel for the update.

    The gradient of a looked-up table comes as rows, one for each time a word occurs. Keras 3.15 takes their squares and
    their norm before it adds up the rows of one word: a wrong second moment wherever a batch repeats a word.
    """
    if not _gpu_names():
        kind = _fused(kind)

    class DenseGradients(kind):
        def apply(self, grads, trainable_variables=None):
            variables = trainable_variables or self._trainable_variables
            dense = [
                gradient if gradient is None else tf.ensure_shape(tf.convert_to_tensor(gradient), variable.shape)
                for gradient, variable in zip(grads, variables)
            ]
            return super().apply(dense, trainable_variables)

    class Averaged(DenseGradients):
        def apply(self, grads, trainable_variables=None):
            variables = trainable_variables or self._trainable_variables
            self._are_tables = [is_table(each) for each, gradient in zip(variables, grads) if gradient is not None]
            return super().apply(grads, trainable_variables)

        def _clip_gradients(self, grads):
            return super()._clip_gradients(_averaged(grads, self._are_tables))

    return DenseGradients if _num_workers == 1 else Averaged


def _fused(kind: Any):
    """An optimizer whose update is one pass over every weight, and whose clipping makes no squares of all gradients.

    Keras's own takes a dozen passes, each an operation of its own where XLA does not join them, as on a CPU.
    """

    class Fused(kind):
        def _clip_gradients(self, grads):
            return tf.clip_by_global_norm(grads, self.global_clipnorm)[0] if self.global_clipnorm else grads

        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            step = tf.cast(self.iterations + 1, tf.float32)
            for gradient, variable in zip(grads, trainable_variables):
                place = self._get_variable_index(variable)
                tf.raw_ops.ResourceApplyAdam(
                    var=variable.value.handle,
                    m=self._momentums[place].value.handle,
                    v=self._velocities[place].value.handle,
                    beta1_power=tf.pow(self.beta_1, step),
                    beta2_power=tf.pow(self.beta_2, step),
                    lr=tf.cast(learning_rate, tf.float32),
                    beta1=self.beta_1,
                    beta2=self.beta_2,
                    epsilon=self.epsilon,
                    grad=gradient,
                )

    return Fused


def average(averages, variables, part):
    """As `kmodels.backends` says.

    Args:
        averages, variables: [keras.Variable, …], of the same shapes.
        part: float32, a scalar.
    """
    for each, variable in zip(averages, variables):
        each.value.assign_add((variable.value - each.value) * part)


def device_memory():
    """Memory of each GPU as TensorFlow's allocator counts it; empty without a GPU."""
    counts = [tf.config.experimental.get_memory_info(name) for name in _gpu_names()]
    return [DeviceMemory(count["current"], count["peak"]) for count in counts]


def reset_peak_device_memory():
    """Peaks start anew."""
    for name in _gpu_names():
        tf.config.experimental.reset_memory_stats(name)


def random_state():
    """None: Keras keeps every random state of this backend in the model's variables."""


def set_random_state(state):
    """There is none."""


def precision(is_encoder):
    """bfloat16 products for encoders where the device has them; small models gain nothing."""
    if not is_encoder:
        return "float32"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (8, 0))
        return "mixed_bfloat16" if capability[0] >= 8 else "mixed_float16"
    return "mixed_bfloat16" if cpu.multiplies_bfloat16() else "float32"


def describe():
    """The framework's versions and devices, for people to read."""
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return {
        "device": details.get("device_name", cpu.name()),
        "devices": len(gpus) or 1,
        "tensorflow": tf.__version__,
    }


def _gpu_names():
    return [f"GPU:{number}" for number, _ in enumerate(tf.config.list_logical_devices("GPU"))]
