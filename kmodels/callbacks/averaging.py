"""AveragedWeights: what is validated and kept is the weights' moving average."""

import keras

from kmodels.optimizers import averages_of


class AveragedWeights(keras.callbacks.Callback):
    """Puts the average of each weight in its place from validation to the epoch's end, and then the weight back.

    It comes after all callbacks that look at an epoch's model, and before the one that saves the state to go on from.
    The optimizer is one that `kmodels.optimizers.adamw` gave an `ema_momentum`.
    """

    def on_test_begin(self, logs=None):
        self._swap()

    def on_epoch_end(self, epoch, logs=None):
        self._swap()

    def _swap(self):
        for variable, average in averages_of(self.model.optimizer):
            value = keras.ops.copy(variable.value)
            variable.assign(average.value)
            average.assign(value)
