"""Throughput: how fast a run trains once everything is compiled, and how long compiling took."""

import time

import keras
import numpy as np

from kmodels.data.batching import FILLER


class Throughput(keras.callbacks.Callback):
    """Times training apart from compilation and validation.

    The first batch of each length is timed by itself, because the framework compiles or prepares for it; all other
    batches of an epoch are timed together, so nothing waits for the device but around those first batches and at an
    epoch's end.

    Args:
        batches: kmodels.data.batching.Batches that the model is trained on.

    Attributes:
        epoch_seconds: [seconds, …] of the epochs so far, validation included.
    """

    def __init__(self, batches):
        super().__init__()
        self.batches = batches
        self.epoch_seconds = []
        self._seen = set()
        self._logs = None
        self._steady = np.zeros(3)  # seconds, samples, tokens
        self._first = np.zeros(3)

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
        """What the first batch of each length took beyond a steady batch's time; None if that can't be told."""
        if self.tokens_per_second is None:
            return None
        return max(0.0, self._first[0] - self._first[2] / self.tokens_per_second)

    def _rate(self, column):
        return self._steady[column] / self._steady[0] if self._steady[0] > 0 else None

    def on_epoch_begin(self, epoch, logs=None):
        self._plan = self.batches.plan(epoch)
        rows = self._plan.rows
        tokens = np.where(rows == FILLER, 0, self.batches.tokenized.lengths[rows]).sum(axis=1)
        self._work = np.stack([np.zeros(len(rows)), (rows != FILLER).sum(axis=1), tokens], axis=1)
        self._epoch_first = np.zeros(3)
        self._epoch_start = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        if self._plan.lengths[batch] not in self._seen:
            self._wait()
            self._batch_start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._logs = logs
        length = self._plan.lengths[batch]
        if length not in self._seen:
            self._seen.add(length)
            self._wait()
            self._epoch_first += self._work[batch]
            self._epoch_first[0] += time.perf_counter() - self._batch_start
        if batch == len(self._plan) - 1:
            self._wait()
            whole = self._work.sum(axis=0)
            whole[0] = time.perf_counter() - self._epoch_start
            if whole[1] > self._epoch_first[1]:
                self._steady += whole - self._epoch_first
            self._first += self._epoch_first

    def on_epoch_end(self, epoch, logs=None):
        self.epoch_seconds.append(time.perf_counter() - self._epoch_start)

    def _wait(self):
        """Until the device has done the steps given to it so far: reading a figure needs them."""
        if self._logs:
            self._logs["loss"]
            self._logs = None
