"""Patience: ends a run whose best epoch lies too far back."""

import keras


class Patience(keras.callbacks.Callback):
    """Stops training when no epoch has been better for so many epochs.

    It looks at the record of the best epoch, so it has nothing of its own to remember.

    Args:
        best: the run's kmodels.callbacks.BestEpoch, told of an epoch's end before this.
        epochs: how far back the best epoch may lie.
    """

    def __init__(self, best, epochs):
        super().__init__()
        self.best = best
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        best = -1 if self.best.epoch is None else self.best.epoch
        if epoch - best >= self.epochs:
            self.model.stop_training = True
