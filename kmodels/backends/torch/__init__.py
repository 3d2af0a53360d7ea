"""kmodels on PyTorch."""

import atexit
import contextlib
import os
from datetime import timedelta

import numpy as np
import psutil
import torch
from keras.src import backend as keras_backend
from keras.src.backend.torch import random as keras_random
from torch import distributed

from kmodels.backends import DeviceMemory, cpu, encoder
from kmodels.backends.torch import graph, kernels, products, steps, tables, words
from kmodels.backends.torch.dropout import dropout, uniform
from kmodels.backends.torch.feed import Feed
from kmodels.backends.torch.optimizer import optimizer_class as optimizer_class
from kmodels.backends.torch.recurrent import lstm
from kmodels.errors import RunError, first_line


def configure(deterministic=False, trains_encoder=False):
    """Plain float32 products where float32 is asked for, as on the other backends.

    Args:
        deterministic: use only kernels that give the same bits each time.
    """
    torch.set_float32_matmul_precision("highest")
    if deterministic != torch.are_deterministic_algorithms_enabled():  # to say so imports all of torch.compile
        torch.use_deterministic_algorithms(deterministic)
    keras_random.dropout = dropout
    keras_random.uniform = uniform
    keras_backend.lstm = lstm
    keras_backend.numpy.take = tables.take
    keras_backend.numpy.matmul = products.matmul


# Each worker computes its own part of a batch; gradients are averaged (`optimizer_class`).
TELLS_OF_WHOLE_BATCHES = False
WORKER_ERRORS = (RuntimeError,)
reason_of = first_line


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


def feed(batches, num_steps):
    """A DataLoader, which `model.fit` reads in order.

    Args:
        batches: function without arguments that starts an iterator of (inputs, labels, weights).
        num_steps: how many batches it gives; not needed here.
    """
    return Feed(batches)


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
    computed = graph.function_of(model)

    @torch.inference_mode()
    def start(token_ids, padding_mask):
        inputs = {"token_ids": torch.from_numpy(token_ids), "padding_mask": torch.from_numpy(padding_mask)}
        (result,) = computed({name: value.to(device) for name, value in inputs.items()}, False)
        return lambda: result.float().cpu().numpy()

    return start


def prepare(model):
    """Has transformer layers and a step be few calls, each of which Python makes anew, and words multiplied once."""
    encoder.prepare(model, kernels)
    words.prepare(model)
    model.train_step = steps.Step(model)


def is_settled(model):
    """As `kmodels.backends` says: False while rows of a table lag behind (`deferred`)."""
    return getattr(model.train_step, "is_settled", True)


def num_streams():
    """One operation has all cores."""
    return 1


@torch.no_grad()
def average(averages, variables, part):
    """As `kmodels.backends` says, in place.

    Args:
        averages, variables: [keras.Variable, …], of the same shapes.
        part: float32, a scalar.
    """
    for each, variable in zip(averages, variables):
        each.value.lerp_(variable.value, part)


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
