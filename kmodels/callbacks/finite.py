"""Stops a run whose logits are no longer numbers, and says at which step that began."""

import time

import keras
from keras import ops

from kmodels.errors import RunError

_HINT = "try a lower --learning_rate, or --precision=float32"


@keras.saving.register_keras_serializable("kmodels")
class FirstNonFiniteStep(keras.metrics.Metric):
    """The first step of the epoch whose logits held a NaN or an infinity; -1 where none did.

    It is computed with the step, on the device, so knowing the exact step costs no waiting at each of them.
    """

    def __init__(self, name="first_nonfinite_step", **kwargs):
        super().__init__(name=name, **kwargs)
        self.steps = self.add_variable((), "zeros", dtype="int32", name="steps")
        self.first = self.add_variable((), "zeros", dtype="int32", name="first")  # counted from 1; 0: none

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.steps.assign(self.steps + 1)
        finite = ops.all(ops.isfinite(y_pred))
        begins = ops.logical_and(ops.logical_not(finite), ops.equal(self.first, 0))
        self.first.assign(ops.where(begins, self.steps.value, self.first.value))

    def result(self):
        return self.first - 1


class StopIfNotFinite(keras.callbacks.Callback):
    """Reads `FirstNonFiniteStep` now and then and at the end of each epoch, and ends the run if there is one.

    Args:
        seconds_between: how often to look, inside an epoch.

    Raises:
        RunError: with the epoch and the step.
    """

    def __init__(self, seconds_between=5.0):
        super().__init__()
        self.seconds_between = seconds_between
        self._epoch = 0
        self._last_look = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        if batch != self.params["steps"] - 1 and now - self._last_look < self.seconds_between:
            return
        self._last_look = now
        step = int(logs["first_nonfinite_step"])
        if step >= 0:
            raise RunError(
                f"the model's outputs are no longer finite numbers, from epoch {self._epoch}, step {step} on; {_HINT}"
            )

    def on_epoch_end(self, epoch, logs=None):
        if int(logs["val_first_nonfinite_step"]) >= 0:  # the last update broke the weights, or one sentence is too much
            raise RunError(
                f"the model's outputs on the validation data are no finite numbers after epoch {epoch}; {_HINT}"
            )
