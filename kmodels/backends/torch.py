"""kmodels on PyTorch."""

import torch

from kmodels.backends import DeviceMemory, cpu


def configure():
    """Plain float32 products where float32 is asked for, as on the other backends."""
    torch.set_float32_matmul_precision("highest")


def feed(batches, num_steps):
    """`model.fit` reads a Python generator in order, and keeps its place over epochs.

    Args:
        batches: function without arguments that starts an iterator of (inputs, labels, weights).
        num_steps: how many batches it gives; not needed here.
    """
    return batches()


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
