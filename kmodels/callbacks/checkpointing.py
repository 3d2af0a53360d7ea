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

SUMS = "metrics."  # how the names of the metrics' variables begin


class SaveCheckpoints(keras.callbacks.Callback):
    """Writes a checkpoint at each epoch's end, inside an epoch now and then, and when a signal asks to stop.

    It comes last in the list of callbacks, so that what the others do belongs to what is saved.

    Args:
        writer: kmodels.checkpoints.Writer; None in a worker that doesn't write.
        parts: {name: callback with `get_state` and `set_state`}.
        facts: {name: value}, what else a checkpoint must say, as JSON.
        instruments: kmodels.loop.Instruments; saving does not count as training, and the best weights are kept.
        stop: kmodels.signals.StopRequest.
        together: kmodels.callbacks.together.Together.
        seconds_between: how often to save inside an epoch; 0 for only at its end.

    Raises:
        Interrupted: after saving, if a signal came.
        RunError: a checkpoint can't be written.
    """

    def __init__(self, writer, parts, facts, instruments, stop, together, seconds_between):
        super().__init__()
        self.writer = writer
        self.parts = parts
        self.facts = facts
        self.speed = instruments.speed
        self.best = instruments.best
        self.stop = stop
        self.together = together
        self.seconds_between = seconds_between
        self._last_save = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        at_the_end = batch == self.params["steps"] - 1  # then on_epoch_end saves, after validation
        if at_the_end or not backends.current().is_settled(self.model):
            return
        stop, is_due = self.together.due(self.stop.received, self._is_time())
        if not (stop or is_due) or self.together.largest(logs["first_nonfinite_step"]) >= 0:
            return
        self.speed.count(batch + 1)
        self._save(self._epoch, batch + 1, stop)
        self.speed.go_on()

    def on_epoch_end(self, epoch, logs=None):
        self._save(epoch + 1, 0, int(self.together.largest(self.stop.received or 0)))

    def _is_time(self):
        return bool(self.seconds_between) and time.monotonic() - self._last_save >= self.seconds_between

    def _save(self, epoch, step, stop):
        arrays = run_arrays(self.model)
        sums = {name: variable for name, variable in arrays.items() if name.startswith(SUMS)}
        state = self._state()
        if self.together.has_parts:
            own = {"sums": [np.asarray(variable).tolist() for variable in sums.values()], "random": state["random"]}
            state["workers"] = self.together.gathered(own) if step else []
            arrays |= dict(zip(sums, self.together.sums(sums.values())))
        if self.writer:
            best_weights = None if self.best.epoch is None else self.best.filepath
            self.writer.write(epoch, step, arrays, state, best_weights)
        self._last_save = time.monotonic()
        if stop:
            if self.writer:
                self.writer.wait()
            raise Interrupted(stop, f"epoch {epoch}, step {step}")

    def _state(self):
        """What is kept beside the arrays, as JSON."""
        return {
            **self.facts,
            "backend": keras.config.backend(),
            "ended": bool(self.model.stop_training),
            "parts": {name: part.get_state() for name, part in self.parts.items()},
            "random": _random_state(),
        }


def own_part(checkpoint, group):
    """What a checkpoint keeps of one worker alone, its sums and generators; None if another number of them wrote it."""
    workers = checkpoint.state.get("workers", [])
    return workers[group.rank] if len(workers) == group.size else None


class RestoreCheckpoint(keras.callbacks.Callback):
    """Puts a checkpoint's state back. It comes first in the list of callbacks.

    All but the sums of metrics is back at once; these are when the epoch begins, for Keras sets them to zero there.

    Args:
        checkpoint: kmodels.checkpoints.Checkpoint.
        model: the compiled model, all its variables made.
        parts: {name: callback with `get_state` and `set_state`}.
        rank: of this process among workers that each add up their own part.
        own: what `own_part` gave; without it, the first worker goes on from all sums, the others from 0.
    """

    def __init__(self, checkpoint, model, parts, rank=0, own=None):
        super().__init__()
        self.checkpoint = checkpoint
        self._sums: list[tuple[keras.Variable, np.ndarray]] = []
        variables = run_arrays(model)
        for name, array in checkpoint.read(variables).items():
            if name.startswith(SUMS):
                if own:
                    array = np.array(own["sums"][len(self._sums)], array.dtype)
                elif rank and array.dtype.kind == "f":
                    array = array * 0
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
    """Gives each epoch's first step generators that depend on nothing but the run's seed, the epoch and the worker.

    What comes before that step draws from them as well, and not the same in every process: PyTorch's data loader at
    each start, Keras when it builds a model. An epoch that is begun in its middle takes a checkpoint's states.

    Args:
        seed: the run's.
        checkpoint: kmodels.checkpoints.Checkpoint that the run goes on from; None for a new run.
        rank: of this process among the run's workers.
        own: what `own_part` gave; without it, the first worker takes the checkpoint's states, the others new ones.
    """

    def __init__(self, seed, checkpoint=None, rank=0, own=None):
        super().__init__()
        self.seed = seed
        self.rank = rank
        if own:
            self.states = own["random"]
        else:
            self.states = checkpoint.state["random"] if checkpoint and not rank else None

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._is_first_batch = True

    def on_train_batch_begin(self, batch, logs=None):
        if not self._is_first_batch:
            return
        self._is_first_batch = False
        if batch > 0 and self.states:
            _set_random_state(self.states)
        else:
            numbers = np.random.Philox(key=[self.seed, self._epoch + (self.rank << 32)])
            keras.utils.set_random_seed(int(numbers.random_raw()) % 2**31)


def run_arrays(model):
    """{name: variable} of all that training changes in a compiled, built model.

    They are numbered, not named by their paths: Keras numbers layers over a whole process.
    """
    groups = {
        "model": model.variables,  # with the states of the layers' random generators
        "optimizer": model.optimizer.variables,
        SUMS.removesuffix("."): model.metrics_variables,
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
