"""BestEpoch: which epoch was the best, its figures, and its weights."""

import math
import os
from pathlib import Path

import keras

from kmodels import backends, records
from kmodels.models import weight_files
from kmodels.settings import did_you_mean


class BestEpoch(keras.callbacks.Callback):
    """Remembers the epoch with the best validation figure and, if asked, writes its weights to a file.

    It does nothing per step. Weights are copied only after an epoch that is better than all before.

    Args:
        monitor: the key of `logs` that decides, "val_loss" or "val_accuracy" or any other.
        mode: "min" if lower is better, "max" if higher is.
        filepath: where to keep the best epoch's weights, ending in ".weights.h5"; None to keep none. The file is
            replaced at once: a reader sees the old one or the new one, whole.

    Attributes:
        epoch: the best epoch so far, from 0; None before the first has ended.
        logs: that epoch's figures.

    Example:

    >>> best = BestEpoch(monitor="val_accuracy", mode="max")
    >>> history = model.fit(x, y, validation_data=(x, y), epochs=3, callbacks=[best], verbose=0)
    >>> best.logs["val_accuracy"] == max(history.history["val_accuracy"])
    True
    """

    def __init__(self, monitor="val_loss", mode="min", filepath=None):
        super().__init__()
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max'; got {mode!r}")
        if filepath is not None and not str(filepath).endswith(".weights.h5"):
            raise ValueError(f"filepath must end in '.weights.h5'; got {str(filepath)!r}")
        self.monitor = monitor
        self.mode = mode
        self.filepath = filepath and Path(filepath)
        self.epoch = None
        self.logs = {}

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.monitor not in logs:
            hint = did_you_mean(self.monitor, logs)
            raise ValueError(f"monitor must be one of {', '.join(logs)}; got {self.monitor!r}{hint}")
        if not self._is_better(logs[self.monitor]):
            return
        self.epoch = epoch
        self.logs = dict(logs)
        if self.filepath is not None:
            beside = self.filepath.with_name("new-" + self.filepath.name)
            with backends.current().alone():  # of several workers, only the first one writes
                weight_files.save(self.model, beside)
            records.sync(beside)
            os.replace(beside, self.filepath)

    def get_state(self):
        """What a checkpoint keeps of this."""
        return {"epoch": self.epoch, "logs": {name: float(value) for name, value in self.logs.items()}}

    def set_state(self, state):
        """Goes on from what `get_state` gave."""
        self.epoch, self.logs = state["epoch"], state["logs"]

    def _is_better(self, value):
        if not math.isfinite(value):
            return False
        if self.epoch is None:
            return True
        best = self.logs[self.monitor]
        return value < best if self.mode == "min" else value > best
