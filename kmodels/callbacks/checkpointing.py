"""Saving a run's whole state while it trains, and putting it back.

A callback takes part by two methods: `get_state()` gives what JSON can hold, `set_state(state)` goes on from it. Users'
own callbacks can have them too.
"""

import random
import time

import keras
import numpy as np

from kmodels import backends
from kmodels.errors import Interrupted


class SaveCheckpoints(keras.callbacks.Callback):
    """Writes a checkpoint at each epoch's end, inside an epoch now and then, and when a signal asks to stop.

    It comes last in the list of callbacks, so that what the others do belongs to what is saved.

    Args:
        writer: kmodels.checkpoints.Writer.
        parts: {name: callback with `get_state` and `set_state`}.
        facts: {name: value}, what else a checkpoint must say, as JSON.
        instruments: kmodels.loop.Instruments; saving does not count as training, and the best weights are kept.
        stop: kmodels.signals.StopRequest.
        seconds_between: how often to save inside an epoch; 0 for only at its end.

    Raises:
        Interrupted: after saving, if a signal came.
        RunError: a checkpoint can't be written.
    """

    def __init__(self, writer, parts, facts, instruments, stop, seconds_between):
        super().__init__()
        self.writer = writer
        self.parts = parts
        self.facts = facts
        self.speed = instruments.speed
        self.best = instruments.best
        self.stop = stop
        self.seconds_between = seconds_between
        self._last_save = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        at_the_end = batch == self.params["steps"] - 1  # then on_epoch_end saves, after validation
        if at_the_end or not self._is_due() or logs["first_nonfinite_step"] >= 0:
            return
        self.speed.count(batch + 1)
        self._save(self._epoch, batch + 1)
        self.speed.go_on()

    def on_epoch_end(self, epoch, logs=None):
        self._save(epoch + 1, 0)

    def _is_due(self):
        if self.stop.received:
            return True
        return bool(self.seconds_between) and time.monotonic() - self._last_save >= self.seconds_between

    def _save(self, epoch, step):
        best_weights = None if self.best.epoch is None else self.best.filepath
        self.writer.write(epoch, step, run_arrays(self.model), self._state(), best_weights)
        self._last_save = time.monotonic()
        if self.stop.received:
            self.writer.wait()
            raise Interrupted(self.stop.received, f"epoch {epoch}, step {step}")

    def _state(self):
        """What is kept beside the arrays, as JSON."""
        return {
            **self.facts,
            "backend": keras.config.backend(),
            "ended": bool(self.model.stop_training),
            "parts": {name: part.get_state() for name, part in self.parts.items()},
            "random": _random_state(),
        }


class RestoreCheckpoint(keras.callbacks.Callback):
    """Puts a checkpoint's state back. It comes first in the list of callbacks.

    All but the sums of metrics is back at once; these are when the epoch begins, for Keras sets them to zero there.

    Args:
        checkpoint: kmodels.checkpoints.Checkpoint.
        model: the compiled model, all its variables made.
        parts: {name: callback with `get_state` and `set_state`}.
    """

    def __init__(self, checkpoint, model, parts):
        super().__init__()
        self.checkpoint = checkpoint
        self._sums = []
        variables = run_arrays(model)
        for name, array in checkpoint.read(variables).items():
            if name.startswith("metrics."):
                self._sums.append((variables[name], array))
            else:
                variables[name].assign(array.astype(variables[name].dtype))
        for name, part in parts.items():
            if name in checkpoint.state["parts"]:
                part.set_state(checkpoint.state["parts"][name])

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.checkpoint.epoch and self.checkpoint.step > 0:
            for variable, array in self._sums:
                variable.assign(array)


class RandomStates(keras.callbacks.Callback):
    """Gives each epoch's first step generators that depend on nothing but the run's seed and the epoch.

    What comes before that step draws from them as well, and not the same in every process: PyTorch's data loader at
    each start, Keras when it builds a model. An epoch that is begun in its middle takes a checkpoint's states.

    Args:
        seed: the run's.
        checkpoint: kmodels.checkpoints.Checkpoint that the run goes on from; None for a new run.
    """

    def __init__(self, seed, checkpoint=None):
        super().__init__()
        self.seed = seed
        self.checkpoint = checkpoint

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._is_first_batch = True

    def on_train_batch_begin(self, batch, logs=None):
        if not self._is_first_batch:
            return
        self._is_first_batch = False
        if batch > 0:
            _set_random_state(self.checkpoint.state["random"])
        else:
            numbers = np.random.Philox(key=[self.seed, self._epoch])
            keras.utils.set_random_seed(int(numbers.random_raw()) % 2**31)


def run_arrays(model):
    """{name: variable} of all that training changes in a compiled, built model.

    They are numbered, not named by their paths: Keras numbers layers over a whole process.
    """
    groups = {
        "model": model.variables,  # with the states of the layers' random generators
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
    return {
        f"{group}.{number}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def _random_state():
    """The states of the generators that belong to nobody: Python's, NumPy's and the framework's, as JSON."""
    numpy_state = np.random.get_state(legacy=False)
    numpy_state["state"]["key"] = numpy_state["state"]["key"].tolist()
    backend = keras.config.backend()
    return {"python": random.getstate(), "numpy": numpy_state, backend: backends.current().random_state()}


def _set_random_state(state):
    """Puts back what `_random_state` gave; another framework's is left out."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(state["numpy"])
    backend = keras.config.backend()
    if backend in state:
        backends.current().set_random_state(state[backend])
