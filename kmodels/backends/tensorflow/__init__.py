"""kmodels on TensorFlow."""

import contextlib

import tensorflow as tf
from keras.src.backend.tensorflow import random as keras_random

from kmodels.backends import DeviceMemory, cpu, encoder, functions
from kmodels.backends.tensorflow import halves, kernels
from kmodels.backends.tensorflow.collective import all_reduce as all_reduce
from kmodels.backends.tensorflow.collective import join as join
from kmodels.backends.tensorflow.collective import leave as leave
from kmodels.backends.tensorflow.collective import reason_of as reason_of
from kmodels.backends.tensorflow.dropout import dropout
from kmodels.backends.tensorflow.optimizer import optimizer_class as optimizer_class

_SIGNATURE = (
    {
        "token_ids": tf.TensorSpec((None, None), tf.int32),
        "padding_mask": tf.TensorSpec((None, None), tf.bool),
    },
    tf.TensorSpec((None,), tf.int32),
    tf.TensorSpec((None,), tf.float32),
)


def configure(deterministic=False, trains_encoder=False):
    """Plain float32 products where float32 is asked for, as on the other backends.

    Args:
        deterministic: use only kernels that give the same bits each time; it holds for the rest of the process.
        trains_encoder: on two cores, compute the halves of a batch side by side (`halves`), which bilstm is slower by.
    """
    if trains_encoder:
        halves.split_cores()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    keras_random.dropout = dropout
    if deterministic:
        tf.config.experimental.enable_op_determinism()


# Each worker computes its own part of a batch; gradients are averaged (`optimizer_class`).
TELLS_OF_WHOLE_BATCHES = False
WORKER_ERRORS = (tf.errors.OpError,)
alone = contextlib.nullcontext  # variables are each worker's own


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
    """Has transformer layers be few operations, which are traced once, and halves of a batch computed side by side."""
    functions.prepare(encoder.prepare(model, kernels), _traced, lambda inputs: not tf.executing_eagerly())
    halves.prepare(model)


def _traced(function):
    """What `functions.prepare` asks for."""
    program = tf.function(function, autograph=False)

    def call(values, inputs, padding_mask, training):
        return program([tf.convert_to_tensor(value) for value in values], inputs, padding_mask, training)

    return call


def is_settled(model):
    """True: each step updates every weight."""
    return True


def num_streams():
    """Two operations where a process computes the halves of a batch side by side; each has one core."""
    return halves.num_streams()


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
