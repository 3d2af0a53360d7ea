"""kmodels on JAX."""

import contextlib
import functools
import os
from typing import Any

import jax
import numpy as np
from jax._src import lru_cache
from jax._src.lib import _jax
from keras.src import backend as keras_backend
from keras.src.backend.jax import random as keras_random
from keras.src.optimizers.base_optimizer import global_norm

from kmodels.backends import DeviceMemory, cpu, encoder, functions
from kmodels.backends.jax import kernels, programs, random_numbers, steps, tables
from kmodels.backends.jax.recurrent import lstm
from kmodels.errors import first_line
from kmodels.workers import launch, watch


def configure(deterministic=False, trains_encoder=False):
    """Plain float32 products where float32 is asked for, as on the other backends.

    Args:
        deterministic: not needed here: XLA was told before it started, for it reads that once.
    """
    jax.config.update("jax_default_matmul_precision", "highest")
    lru_cache.LRUCache.put = programs.put  # type: ignore[method-assign]
    keras_random.dropout = random_numbers.dropout
    keras_random.jax_draw_seed = random_numbers.draw_seed
    keras_backend.lstm = lstm
    keras_backend.numpy.take = tables.take


# Of a batch's parts, each with its worker, JAX makes one array.
TELLS_OF_WHOLE_BATCHES = True
WORKER_ERRORS = (jax.errors.JaxRuntimeError,)
reason_of = first_line
_watches: list[watch.Watch] = []


def join(group, met, seconds):
    """Makes this process one of several workers.

    Args:
        group: kmodels.workers.group.Group.
        met: kmodels.workers.meeting.Met: where the workers are.
        seconds: after which another worker is given up.
    """
    import keras

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # On a CPU, two programs that run at once would take each other's messages for their own.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    # JAX 0.10 lets Gloo take what this host's own name stands for, which may be an address that only this host has.
    _jax.make_gloo_tcp_collectives = functools.partial(_jax.make_gloo_tcp_collectives, hostname=met.host)
    jax.distributed.initialize(
        met.addresses[0],
        group.size,
        group.rank,
        initialization_timeout=int(seconds),
        # JAX aborts a process whose workers are lost, with a stack trace for a reason: ours sees it sooner.
        heartbeat_timeout_seconds=int(10 * seconds),
    )
    _watches.append(watch.Watch(group, met.watched, seconds, _end))
    devices = keras.distribution.list_devices()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False))


def _end(reason):
    """Ends this process, for another worker is lost and nothing can go on: called in a thread of its own."""
    message = f"another worker is lost, or doesn't answer: {reason}"
    if not launch.say_reason(message):
        os.write(2, f"\nerror: {message}\n".encode())
    os._exit(1)


def leave():
    """Makes this process one that works alone again: models made from now on are its own."""
    import keras

    while _watches:
        _watches.pop().end()
    keras.distribution.set_distribution(None)


@contextlib.contextmanager
def alone():
    """A context in which this process works without the other workers: Keras makes new variables its own."""
    import keras

    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def all_reduce(values, operation):
    """Numbers of all workers, put together one by one.

    Args:
        values: float64, NumPy, of the same shape in every worker.
        operation: "sum" or "max".

    Returns:
        float64, NumPy, the same in every worker.
    """
    from jax.experimental import multihost_utils

    # As bytes: JAX makes float32 of float64.
    found = multihost_utils.process_allgather(np.asarray(values, np.float64).view(np.uint32))
    return getattr(np.asarray(found).view(np.float64), operation)(axis=0)


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
        trainable = [_here(variable.value) for variable in model.trainable_variables]
        others = [_here(variable.value) for variable in model.non_trainable_variables]
        result = logits(trainable, others, {"token_ids": token_ids, "padding_mask": padding_mask})
        return lambda: np.asarray(result, np.float32)

    return start


def _here(array):
    """An array that all workers hold, as this one's own: one of them can then compute with it alone."""
    return array if array.is_fully_addressable else array.addressable_data(0)


def prepare(model):
    """Has transformer layers on a CPU multiply matrices as they lie, and those that do the same traced once.

    Several workers compute their own part of a batch each; one works by Keras's step, which XLA compiles.

    Args:
        model: keras.Model.
    """
    import keras

    if jax.default_backend() == "cpu":
        traced = functools.partial(jax.jit, static_argnums=3)
        functions.prepare(encoder.prepare(model, kernels), traced, lambda inputs: isinstance(inputs, jax.core.Tracer))
    distribution = keras.distribution.distribution()
    if distribution is not None and distribution.device_mesh.devices.size > 1:
        shared = steps.Steps(model, distribution)
        model.train_step = shared.train_step
        model.compute_loss_and_updates = shared.compute_loss_and_updates


def optimizer_class(kind: Any):
    """Keras's optimizer, whose update XLA fuses, with gradients that it computes once.

    Left to itself, XLA on a CPU works the gradient of a table of vectors out again for each of the passes that read
    it: for its part in the norm, and for the moments (docs/performance.md). And the update, which is the same for each
    length of a batch, is traced for one of them.
    """

    class GradientsOnce(kind):
        _traced: Any = None

        def stateless_apply(self, optimizer_variables, grads, trainable_variables):
            if self._traced is None:
                self._traced = jax.jit(super().stateless_apply)
            return self._traced(optimizer_variables, grads, trainable_variables)

        def _clip_gradients(self, grads):
            clip_norm = self.global_clipnorm
            if not clip_norm:
                return jax.lax.optimization_barrier(super()._clip_gradients(grads))
            grads, norm = jax.lax.optimization_barrier((grads, global_norm(grads)))
            scale = clip_norm * jax.numpy.minimum(1 / norm, 1 / clip_norm) + (norm - norm)  # of infinity: no number
            return [None if each is None else each * scale for each in grads]

    return GradientsOnce


def is_settled(model):
    """True: each step updates every weight."""
    return True


def num_streams():
    """One operation has all cores."""
    return 1


def average(averages, variables, part):
    """As `kmodels.backends` says; XLA makes one pass of it.

    Args:
        averages, variables: [keras.Variable, …], of the same shapes.
        part: float32, a scalar.
    """
    for each, variable in zip(averages, variables):
        each.assign(each + (variable - each) * part)


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
