"""HistoryFile: history.jsonl, a line an epoch, under the record's names."""

import keras

from kmodels import records

_NAMES = {
    "training_accuracy": "accuracy",
    "training_loss": "cross_entropy",
    "validation_accuracy": "val_accuracy",
    "validation_loss": "val_cross_entropy",
}


class HistoryFile(keras.callbacks.Callback):
    """Writes each epoch's figures when it ends.

    Args:
        path: of history.jsonl.
        speed: the run's kmodels.callbacks.throughput.Throughput, told of an epoch's end before this.

    Attributes:
        lines: [{…}, …], a dict an epoch.
    """

    def __init__(self, path, speed):
        super().__init__()
        self.path = path
        self.speed = speed
        self.lines = []

    def on_epoch_end(self, epoch, logs=None):
        figures = {name: logs[key] for name, key in _NAMES.items()}
        learning_rate = float(self.model.optimizer.learning_rate)
        seconds = self.speed.epoch_seconds[-1]
        self.lines.append({"epoch": epoch, **figures, "learning_rate": learning_rate, "epoch_seconds": seconds})
        records.write_history(self.path, self.lines)
