"""kmodels on PyTorch."""

import atexit
import contextlib
import os
from datetime import timedelta
from typing import Any

import numpy as np
import psutil
import torch
from keras.src.backend.torch import random as keras_random
from torch import distributed

from kmodels.backends import DeviceMemory, cpu, is_table
from kmodels.errors import RunError


def configure(deterministic=False):
    """Plain float32 products where float32 is asked for, as on the other backends.

    Args:
        deterministic: use only kernels that give the same bits each time.
    """
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(deterministic)
    keras_random.dropout = _dropout


_CHOICES = 2**16  # of a 16-bit number, which decides about an element
_keras_dropout = keras_random.dropout


def _dropout(inputs, rate, noise_shape=None, seed=None):
    """Keras's dropout; on a CPU each random number of 64 bits decides about four elements.

    PyTorch draws one for each, in one thread (on processors that are not Intel's): a seventh of an encoder's step. The
    rate is that asked for to 1 / 131,072, and what stays is scaled by just that.

    Args:
        inputs: torch.Tensor, float.
        rate, noise_shape, seed: as keras.random.dropout has them.
    """
    dropped = round(rate * _CHOICES)
    if inputs.device.type != "cpu" or noise_shape is not None or not 0 < dropped < _CHOICES:
        return _keras_dropout(inputs, rate, noise_shape, seed)
    is_seeded = seed is not None and getattr(seed, "_initial_seed", seed) is not None
    return _Dropout.apply(inputs, dropped, _generator(seed) if is_seeded else None)


def _generator(seed):
    """A generator for the next call with this seed. Keras adds seed and number of the call: 7 and 1 are as 8 and 0."""
    numbers = [number % 2**32 for number in keras_random.draw_seed(seed).tolist()]
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


class _Dropout(torch.autograd.Function):
    """Elements times 0 or a scale, the same in the gradient."""

    @staticmethod
    def forward(ctx, inputs, dropped, generator):
        size = inputs.numel()
        numbers = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
        stays = numbers.view(torch.int16)[:size].view(inputs.shape) >= dropped - _CHOICES // 2
        scale = stays.to(inputs.dtype).mul_(_CHOICES / (_CHOICES - dropped))
        ctx.save_for_backward(scale)
        return inputs * scale

    @staticmethod
    def backward(ctx, gradient):
        (scale,) = ctx.saved_tensors
        return gradient * scale, None, None


# Each worker computes its own part of a batch; gradients are averaged (`optimizer_class`).
COMPUTES_WHOLE_BATCHES = False
WORKER_ERRORS = (RuntimeError,)


def join(group, met, seconds):
    """Makes this process one of several workers.

    Args:
        group: kmodels.workers.group.Group.
        met: kmodels.workers.meeting.Met: where the workers are.
        seconds: how long an operation waits for the others before it fails.
    """
    on_gpu = torch.cuda.is_available()
    # Gloo would take what this host's own name stands for, which may be an address that only this host has.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", _interface_of(met.host))
    if on_gpu:
        torch.cuda.set_device(group.local_rank % torch.cuda.device_count())
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        init_method=f"tcp://{met.addresses[0]}",
        rank=group.rank,
        world_size=group.size,
        timeout=timedelta(seconds=seconds),
    )
    # Gloo's threads would abort a process that ends for an error and leaves them running.
    atexit.register(leave)


def _interface_of(host):
    """The name of this host's network interface that has an address."""
    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address.partition("%")[0] == host for entry in entries):
            return name
    raise RunError(f"no network interface of this host has the address {host}")


def leave():
    """Makes this process one that works alone again; all workers must."""
    atexit.unregister(leave)
    distributed.destroy_process_group()


alone = contextlib.nullcontext  # variables are each worker's own


def all_reduce(values, operation):
    """Numbers of all workers, put together one by one.

    Args:
        values: float64, NumPy, of the same shape in every worker.
        operation: "sum" or "max".

    Returns:
        float64, NumPy, the same in every worker.
    """
    tensor = torch.tensor(np.asarray(values, np.float64))
    distributed.all_reduce(tensor, {"sum": distributed.ReduceOp.SUM, "max": distributed.ReduceOp.MAX}[operation])
    return tensor.numpy()


def _averaged(gradients, are_tables):
    """The mean of each gradient over the workers: one message for all, with those rows of tables that some batch used.

    Args:
        gradients: [torch.Tensor, …]; those of tables are changed in place.
        are_tables: [bool, …], True for a gradient whose rows are 0 but for words that occur.
    """
    tables = [gradient for gradient, is_table in zip(gradients, are_tables) if is_table]
    rows = _rows_in_use(tables)
    whole = [gradient for gradient, is_table in zip(gradients, are_tables) if not is_table]
    sent = [*whole, *[table[places] for table, places in zip(tables, rows)]]
    flat = torch.cat([each.reshape(-1) for each in sent])
    distributed.all_reduce(flat)
    parts = (flat / distributed.get_world_size()).split([each.numel() for each in sent])
    averaged = [part.view_as(each) for part, each in zip(parts, sent)]
    for table, places, part in zip(tables, rows, averaged[len(whole) :]):
        table[places] = part
    others = iter(averaged)
    return [gradient if is_table else next(others) for gradient, is_table in zip(gradients, are_tables)]


def _rows_in_use(tables):
    """The rows of each table that are not 0 in some worker: [int64, (num_rows,), …]."""
    if not tables:
        return []
    in_use = [torch.linalg.vector_norm(table, ord=float("inf"), dim=1) != 0 for table in tables]
    masks = torch.cat(in_use).to(torch.uint8)
    distributed.all_reduce(masks, distributed.ReduceOp.MAX)
    return [mask.nonzero()[:, 0] for mask in masks.split([len(table) for table in tables])]


def feed(batches, num_steps):
    """`model.fit` reads a Python generator in order, and keeps its place over epochs.

    Args:
        batches: function without arguments that starts an iterator of (inputs, labels, weights).
        num_steps: how many batches it gives; not needed here.
    """
    return batches()


# Every operation is a call of its own, whatever its shape.
COMPILES_EACH_SHAPE = False


def predict_function(model):
    """The model without what training needs: nothing is kept for gradients.

    Args:
        model: keras.Model from {"token_ids", "padding_mask"} to logits.

    Returns:
        function of token_ids, int32, and padding_mask, bool, NumPy, (batch, length), that starts the model on them and
        returns a function without arguments, which waits for the logits: float32, NumPy, (batch, num_classes).
    """
    device = model.weights[0].value.device

    @torch.inference_mode()
    def start(token_ids, padding_mask):
        inputs = {"token_ids": torch.from_numpy(token_ids), "padding_mask": torch.from_numpy(padding_mask)}
        result = model({name: value.to(device) for name, value in inputs.items()}, training=False)
        return lambda: result.float().cpu().numpy()

    return start


def optimizer_class(kind: Any):
    """Keras's Adam or AdamW with PyTorch's fused kernel for the update, on a CPU.

    On a GPU Keras's own is kept: the kernel wants the step's number, and reading it would stop the device.
    """
    if not torch.cuda.is_available():
        kind = _fused(kind)
    return _with_averaged_gradients(kind) if distributed.is_initialized() else kind


def _fused(kind: Any):
    """An optimizer whose decay, clipping by the global norm and update are one pass over every weight.

    Keras's own takes a dozen. The moments stay in Keras's variables, so a checkpoint is the same on every backend.
    """

    class Fused(kind):
        def build(self, variables):
            # The kernel goes through a weight and its moments as they lie in memory, whatever their strides say.
            for variable in variables:
                variable.value.data = variable.value.data.contiguous()
            super().build(variables)

        def _clip_gradients(self, grads):
            """Finds by what the kernel has to divide."""
            self._divisor = None
            if self.global_clipnorm:
                norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
                self._divisor = torch.clamp(norm / self.global_clipnorm, min=1.0)  # of what is no number: no number
            return grads

        def _apply_weight_decay(self, variables):
            """The kernel does it."""

        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            decay = self.weight_decay or 0.0
            decays = [decay if decay and self._use_weight_decay(variable) else 0.0 for variable in trainable_variables]
            for each in set(decays):
                chosen = [number for number, value in enumerate(decays) if value == each]
                self._update(
                    [grads[number].contiguous() for number in chosen],
                    [trainable_variables[number] for number in chosen],
                    float(learning_rate),
                    each,
                )

        def _update(self, grads, variables, learning_rate, weight_decay):
            places = [self._get_variable_index(variable) for variable in variables]
            step = int(self.iterations) + 1
            with torch.no_grad():
                torch._fused_adamw_(
                    [variable.value for variable in variables],
                    grads,
                    [self._momentums[place].value for place in places],
                    [self._velocities[place].value for place in places],
                    [],
                    [torch.tensor(float(step)) for _ in places],
                    lr=learning_rate,
                    beta1=self.beta_1,
                    beta2=self.beta_2,
                    weight_decay=weight_decay,
                    # Keras adds epsilon before the second moment is corrected for its start, PyTorch after.
                    eps=self.epsilon / (1 - self.beta_2**step) ** 0.5,
                    amsgrad=False,
                    maximize=False,
                    grad_scale=self._divisor,
                )

    return Fused


def _with_averaged_gradients(kind: Any):
    """An optimizer that clips and applies the mean of the workers' gradients. Keras 3.15 has no workers on PyTorch."""

    class Averaged(kind):
        def apply(self, grads, trainable_variables=None):
            variables = trainable_variables or self._trainable_variables
            self._are_tables = [is_table(each) for each, gradient in zip(variables, grads) if gradient is not None]
            return super().apply(grads, trainable_variables)

        def _clip_gradients(self, grads):
            return super()._clip_gradients(_averaged(grads, self._are_tables))

    return Averaged


def device_memory():
    """Memory of each GPU that this process uses, as PyTorch's allocator counts it; empty without a GPU."""
    if not torch.cuda.is_available():
        return []
    return [
        DeviceMemory(torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device))
        for device in range(torch.cuda.device_count())
    ]


def reset_peak_device_memory():
    """Peaks start anew."""
    if torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(device)


def random_state():
    """The states of PyTorch's own generators, {device: hexadecimal digits}; unseeded dropout draws from them."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda:{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    return {device: state.numpy().tobytes().hex() for device, state in states.items()}


def set_random_state(states):
    """Puts back what `random_state` gave, for the devices that are here."""
    for device, digits in states.items():
        state = torch.frombuffer(bytearray.fromhex(digits), dtype=torch.uint8)
        if device == "cpu":
            torch.set_rng_state(state)
        elif torch.cuda.is_available() and int(device.removeprefix("cuda:")) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, device)


def precision(is_encoder):
    """bfloat16 products for encoders where the device has them; small models gain nothing."""
    if not is_encoder:
        return "float32"
    if torch.cuda.is_available():
        return "mixed_bfloat16" if torch.cuda.get_device_capability()[0] >= 8 else "mixed_float16"
    return "mixed_bfloat16" if cpu.multiplies_bfloat16() else "float32"


def describe():
    """The framework's versions and devices, for people to read."""
    on_gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if on_gpu else cpu.name(),
        "devices": torch.cuda.device_count() if on_gpu else 1,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
