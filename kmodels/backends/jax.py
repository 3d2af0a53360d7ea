"""kmodels on JAX."""

from typing import Any

import jax
import numpy as np

from kmodels.backends import DeviceMemory, cpu


def configure(deterministic=False):
    """Plain float32 products where float32 is asked for, as on the other backends.

    Args:
        deterministic: not needed here: XLA was told before it started, for it reads that once.
    """
    jax.config.update("jax_default_matmul_precision", "highest")


def feed(batches, num_steps):
    """`model.fit` reads a Python generator in order, and keeps its place over epochs.

    Args:
        batches: function without arguments that starts an iterator of (inputs, labels, weights).
        num_steps: how many batches it gives; not needed here.
    """
    return batches()


# A shape that was not met before costs a compilation.
COMPILES_EACH_SHAPE = True


def predict_function(model):
    """The model without what training needs, compiled.

    Args:
        model: keras.Model from {"token_ids", "padding_mask"} to logits.

    Returns:
        function of token_ids, int32, and padding_mask, bool, NumPy, (batch, length), that starts the model on them and
        returns a function without arguments, which waits for the logits: float32, NumPy, (batch, num_classes).
    """

    @jax.jit
    def logits(trainable, others, inputs):
        return model.stateless_call(trainable, others, inputs, training=False)[0]

    def start(token_ids, padding_mask):
        # Anew for each batch: weights may change, and Keras's own loops give away the arrays that they were in.
        trainable = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        result = logits(trainable, others, {"token_ids": token_ids, "padding_mask": padding_mask})
        return lambda: np.asarray(result, np.float32)

    return start


def optimizer_class(kind: Any):
    """Keras's optimizer as it is: XLA fuses its update."""
    return kind


def device_memory():
    """Memory of each local accelerator as XLA's allocator counts it; empty on a CPU, which has no such count."""
    statistics = [device.memory_stats() for device in jax.local_devices()]
    return [DeviceMemory(each["bytes_in_use"], each["peak_bytes_in_use"]) for each in statistics if each]


def reset_peak_device_memory():
    """XLA can't do that: a peak is the process's."""


def random_state():
    """None: Keras keeps every random state of this backend in the model's variables."""


def set_random_state(state):
    """There is none."""


def precision(is_encoder):
    """bfloat16 products on accelerators that have them; on a CPU, XLA's are slower than float32's."""
    if not is_encoder or jax.default_backend() == "cpu":
        return "float32"
    capability = getattr(jax.local_devices()[0], "compute_capability", "8.0")
    return "mixed_bfloat16" if float(capability) >= 8 else "mixed_float16"


def describe():
    """The framework's versions and devices, for people to read."""
    devices = jax.local_devices()
    kind = cpu.name() if jax.default_backend() == "cpu" else devices[0].device_kind
    return {"device": kind, "devices": len(devices), "jax": jax.__version__}
