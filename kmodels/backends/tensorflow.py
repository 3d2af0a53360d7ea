"""kmodels on TensorFlow."""

from typing import Any

import tensorflow as tf

from kmodels.backends import DeviceMemory, cpu

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


def feed(batches, num_steps):
    """A tf.data.Dataset whose shapes are said beforehand: Keras would take the first two batches' for all.

    Args:
        batches: function without arguments that starts an iterator of (inputs, labels, weights).
        num_steps: how many batches it gives.
    """
    dataset = tf.data.Dataset.from_generator(batches, output_signature=_SIGNATURE)
    return dataset.apply(tf.data.experimental.assert_cardinality(num_steps)).prefetch(4)


# A graph takes any shape: none is compiled.
COMPILES_EACH_SHAPE = False


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


def optimizer_class(kind: Any):
    """Keras's optimizer, told each gradient as a dense tensor.

    The gradient of a looked-up table comes as rows, one for each time a word occurs. Keras 3.15 takes their squares and
    their norm before it adds up the rows of one word: a wrong second moment wherever a batch repeats a word.
    """

    class DenseGradients(kind):
        def apply(self, grads, trainable_variables=None):
            dense = [gradient if gradient is None else tf.convert_to_tensor(gradient) for gradient in grads]
            return super().apply(dense, trainable_variables)

    return DenseGradients


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
