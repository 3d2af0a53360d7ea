"""How callbacks are told of a step without stopping the device."""

from collections.abc import Mapping

import keras


class LazyLogs(Mapping):
    """A step's figures, each copied from the device when it is read, and only then.

    Args:
        values: {name: scalar tensor}.
    """

    def __init__(self, values):
        self._values = values or {}

    def __getitem__(self, name):
        return float(self._values[name])

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)


class StepCallbacks(keras.callbacks.CallbackList):
    """Keras's list of callbacks, which tells them of each step in order, in the loop's own thread.

    Keras's own list copies every figure from the device after every step, or hands the callbacks to other threads,
    where their order is not kept and they compete with the training for the processor. This one can also be given to
    several calls of `fit`, one an epoch, and tells its callbacks of one training; who calls `fit` calls `end`.

    Args:
        callbacks: [keras.callbacks.Callback, …].
        model: the model that is trained.
        epochs: the number after the last epoch's.
        steps: batches of an epoch.
        together: kmodels.callbacks.together.Together; callbacks hear of an epoch's figures over all workers.

    Attributes:
        first_step: number of the first batch that `fit` is given; not 0 in an epoch that is begun in its middle.
    """

    def __init__(self, callbacks, model, epochs, steps, together):
        super().__init__(callbacks, add_history=True, model=model, epochs=epochs, steps=steps, verbose=0)
        self._async_train = self._async_test = self._async_predict = False
        self._begun = False
        self.together = together
        self._of_all = {}
        self.first_step = 0

    def on_train_begin(self, logs=None):
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs=None):
        """An epoch's `fit` ended, not yet the training."""

    def end(self):
        """Tells the callbacks that training ended, if it ever began."""
        if self._begun:
            super().on_train_end()

    def on_test_begin(self, logs=None):
        if self.together.has_parts:  # the sums of the epoch's training, before Keras sets them to zero
            self._of_all = self.together.figures(self.model)
        super().on_test_begin(logs)

    def on_test_end(self, logs=None):
        if self.together.has_parts:
            self._of_all |= {f"val_{name}": value for name, value in self.together.figures(self.model).items()}
        super().on_test_end(logs)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, (logs or {}) | self._of_all)

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(self.first_step + batch, logs)

    def _on_train_batch_end(self, batch, logs=None):
        logs = LazyLogs(logs)
        for callback in self.callbacks:
            callback.on_train_batch_end(self.first_step + batch, logs=logs)

    def _on_test_batch_end(self, batch, logs=None):
        logs = LazyLogs(logs)
        for callback in self.callbacks:
            callback.on_test_batch_end(batch, logs=logs)
