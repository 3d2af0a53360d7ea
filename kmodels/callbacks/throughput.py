"""Throughput: how fast a run trains once everything is compiled, and how long compiling took."""

import time

import keras
import numpy as np

from kmodels.data.batching import FILLER


class Throughput(keras.callbacks.Callback):
    """Times training apart from compilation and validation.

    The first batch, and where lengths are compiled the first of each, is timed by itself; all other batches of an epoch
    are timed together, so nothing waits for the device but around those first batches and at an epoch's end.

    Args:
        batches: kmodels.data.batching.Batches that the model is trained on.
        each_is_compiled: whether the framework compiles for each length of a batch; without, leaving out the first of
            each would leave out most of the long ones.

    Attributes:
        epoch_seconds: [seconds, …] of the epochs so far, validation included.
    """

    def __init__(self, batches, each_is_compiled=True):
        super().__init__()
        self.batches = batches
        self.each_is_compiled = each_is_compiled
        self.epoch_seconds = []
        self._seen = set()
        self._logs = None
        self._steady = np.zeros(3)  # seconds, samples, tokens
        self._first = np.zeros(3)
        self._run_start = time.perf_counter()
        self._epoch_start = None
        self._earlier_seconds = 0.0
        self._earlier_in_epoch = 0.0

    @property
    def samples_per_second(self):
        """Sentences trained on in a second of steady training; None where no batch was a steady one."""
        return self._rate(1)

    @property
    def tokens_per_second(self):
        """Real tokens trained on in a second of steady training; None where no batch was a steady one."""
        return self._rate(2)

    @property
    def compile_seconds(self):
        """What the batches timed by themselves took beyond steady ones' time; None if that can't be told."""
        if self.tokens_per_second is None:
            return None
        return max(0.0, self._first[0] - self._first[2] / self.tokens_per_second)

    def _rate(self, column):
        return self._steady[column] / self._steady[0] if self._steady[0] > 0 else None

    @property
    def seconds(self):
        """How long the run has been training and validating, in earlier processes as well."""
        return self._earlier_seconds + time.perf_counter() - self._run_start

    def get_state(self):
        """What a checkpoint keeps of this."""
        return {
            "seconds": self.seconds,
            "epoch_seconds": self.epoch_seconds,
            "seconds_in_epoch": self._seconds_in_epoch(),
            "steady": self._steady.tolist(),
            "first": self._first.tolist(),
        }

    def set_state(self, state):
        """Goes on from what `get_state` gave in an earlier process."""
        self._earlier_seconds = state["seconds"]
        self.epoch_seconds = list(state["epoch_seconds"])
        self._earlier_in_epoch = state["seconds_in_epoch"]
        self._steady, self._first = np.array(state["steady"]), np.array(state["first"])

    def on_train_begin(self, logs=None):
        self._run_start = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self._plan = self.batches.plan(epoch)
        rows = self._plan.rows
        tokens = np.where(rows == FILLER, 0, self.batches.tokenized.lengths[rows]).sum(axis=1)
        self._work = np.stack([np.zeros(len(rows)), (rows != FILLER).sum(axis=1), tokens], axis=1)
        self._uncounted = None
        self._epoch_start = time.perf_counter()
        self.go_on()

    def on_train_batch_begin(self, batch, logs=None):
        if self._uncounted is None:
            self._uncounted = batch  # not 0 in an epoch that a checkpoint begins in the middle
        if not self._is_seen(batch):
            self._wait()
            self._batch_start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._logs = logs
        if not self._is_seen(batch):
            self._seen.add(self._plan.lengths[batch])
            self._wait()
            self._first_here += self._work[batch]
            self._first_here[0] += time.perf_counter() - self._batch_start
        if batch == len(self._plan) - 1:
            self.count(batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        self.epoch_seconds.append(self._seconds_in_epoch())
        self._epoch_start, self._earlier_in_epoch = None, 0.0

    def count(self, batch):
        """Counts the batches before this one that are not counted yet. Until `go_on`, nothing is timed."""
        self._wait()
        whole = self._work[self._uncounted : batch].sum(axis=0)
        whole[0] = time.perf_counter() - self._since
        if whole[1] > self._first_here[1]:
            self._steady += whole - self._first_here
        self._first += self._first_here
        self._uncounted = batch

    def go_on(self):
        """Training goes on, after other work that is not training."""
        self._first_here = np.zeros(3)
        self._since = time.perf_counter()

    def _is_seen(self, batch):
        """Whether the framework has nothing more to compile for a batch of this length."""
        return self._plan.lengths[batch] in self._seen if self.each_is_compiled else bool(self._seen)

    def _seconds_in_epoch(self):
        return self._earlier_in_epoch + (0.0 if self._epoch_start is None else time.perf_counter() - self._epoch_start)

    def _wait(self):
        """Until the device has done the steps given to it so far: reading a figure needs them."""
        if self._logs:
            self._logs["loss"]
            self._logs = None
