"""A progress bar with the time left, on a terminal; a line an epoch elsewhere."""

import time

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBar(keras.callbacks.Callback):
    """Shows how far a run is, its loss, and when it will be done.

    Args:
        num_epochs: epochs of the run.
        done: epochs and steps of the next one that earlier processes did.
        seconds_between: how often figures are read from the device.
        is_shown: False to show nothing.
    """

    def __init__(self, num_epochs, done=(0, 0), seconds_between=1.0, is_shown=True):
        super().__init__()
        self.done = done
        self.num_epochs = num_epochs
        self.seconds_between = seconds_between
        self.console = Console(stderr=True, quiet=not is_shown)
        self._last_look = 0.0

    def on_train_begin(self, logs=None):
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]} of 0 to " + str(self.num_epochs - 1)),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=self.console.quiet or not self.console.is_terminal,
        )
        epoch, step = self.done
        steps = self.params["steps"]
        self._task = self._bar.add_task(
            "", total=self.num_epochs * steps, completed=epoch * steps + step, epoch=epoch, figures=""
        )
        self._bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._bar.update(self._task, epoch=epoch)

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        if self._bar.disable or now - self._last_look < self.seconds_between:
            return
        self._last_look = now
        done = self._epoch * self.params["steps"] + batch + 1
        figures = f"loss {logs['cross_entropy']:.4f} accuracy {logs['accuracy']:.4f}"
        self._bar.update(self._task, completed=done, figures=figures)

    def on_epoch_end(self, epoch, logs=None):
        self._bar.update(self._task, completed=(epoch + 1) * self.params["steps"])
        self.console.print(
            f"epoch {epoch}: training loss {logs['cross_entropy']:.4f} accuracy {logs['accuracy']:.4f}, "
            f"validation loss {logs['val_cross_entropy']:.4f} accuracy {logs['val_accuracy']:.4f}",
            highlight=False,
            soft_wrap=True,
        )

    def close(self):
        """Takes the bar off the terminal, however the run ended."""
        if hasattr(self, "_bar"):
            self._bar.stop()
