"""PeakMemory: how much memory the process and its accelerators took at most."""

import os
import sys
from dataclasses import asdict, replace
from itertools import zip_longest
from pathlib import Path

import keras
import psutil

from kmodels import backends


class PeakMemory(keras.callbacks.Callback):
    """Reads true peaks: the system's and the allocator's own high-water marks, not samples.

    It does nothing per step: the operating system and the framework's allocator keep the marks, and they are read
    after each epoch and at the end, so a peak inside the last step counts as well.

    Attributes:
        host_bytes: resident memory of this process after the last epoch.
        peak_host_bytes: its largest resident memory since the process started.
        device_memory: [kmodels.backends.DeviceMemory, …], bytes in use and peak since training began, by the
            framework's allocator; an entry for each accelerator that was used, so none on a CPU.
        nvml_bytes: this process's memory on each NVIDIA GPU as the driver counts it, the framework's reserve
            included; the largest seen after an epoch. Empty without such a GPU.

    Example:

    >>> memory = PeakMemory()
    >>> _ = model.fit(x, y, epochs=1, callbacks=[memory], verbose=0)
    >>> memory.peak_host_bytes >= memory.host_bytes > 2**20
    True
    """

    def __init__(self):
        super().__init__()
        self.host_bytes = None
        self.peak_host_bytes = None
        self.device_memory = []
        self.nvml_bytes = []
        self._earlier_peak = 0
        self._earlier_device_peaks = []

    def on_train_begin(self, logs=None):
        backends.current().reset_peak_device_memory()

    def on_epoch_end(self, epoch, logs=None):
        self._read()

    def on_train_end(self, logs=None):
        self._read()

    def get_state(self):
        """What a checkpoint keeps of this: the peaks so far."""
        self._read()
        return {
            "host_bytes": self.host_bytes,
            "peak_host_bytes": self.peak_host_bytes,
            "device_memory": [asdict(memory) for memory in self.device_memory],
            "nvml_bytes": self.nvml_bytes,
        }

    def set_state(self, state):
        """Goes on from what `get_state` gave in an earlier process."""
        self.host_bytes, self.peak_host_bytes = state["host_bytes"], state["peak_host_bytes"]
        self.device_memory = [backends.DeviceMemory(**memory) for memory in state["device_memory"]]
        self.nvml_bytes = state["nvml_bytes"]
        self._earlier_peak, self._earlier_device_peaks = (
            self.peak_host_bytes,
            [each.peak for each in self.device_memory],
        )

    def _read(self):
        self.host_bytes = psutil.Process().memory_info().rss
        self.peak_host_bytes = max(peak_resident_bytes(), self.host_bytes, self._earlier_peak)
        used = [memory for memory in backends.current().device_memory() if memory.peak > 0]
        peaks = _largest([memory.peak for memory in used], self._earlier_device_peaks)
        self.device_memory = [replace(memory, peak=peak) for memory, peak in zip(used, peaks)]
        self.nvml_bytes = _largest(nvml_process_bytes(), self.nvml_bytes)


def _largest(now, before):
    """The larger figure of each device; a device that was not there before, or is no more, counts as 0 then."""
    return [max(pair) for pair in zip_longest(now, before, fillvalue=0)]


def peak_resident_bytes():
    """The largest resident memory that this process has had."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: after a fork and exec it starts from the parent's peak.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def nvml_process_bytes():
    """Bytes of this process on each NVIDIA GPU by the driver's count; empty where none is, or none counts."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:  # in containers, under WSL and on shared GPUs a driver may refuse to list processes
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
        return [_own_bytes(pynvml.nvmlDeviceGetComputeRunningProcesses(handle)) for handle in handles]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _own_bytes(processes):
    return sum(process.usedGpuMemory or 0 for process in processes if process.pid == os.getpid())
