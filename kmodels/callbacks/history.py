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
        path: of history.jsonl; None to write none.
        speed: the run's kmodels.callbacks.throughput.Throughput, told of an epoch's end before this.

    Attributes:
        lines: [{…}, …], a dict an epoch.
        switches: [{"step", "from", "to"}, …]: where the epoch that is being trained went on on another backend.
    """

    def __init__(self, path, speed):
        super().__init__()
        self.path = path
        self.speed = speed
        self.lines = []
        self.switches = []

    def get_state(self):
        """What a checkpoint keeps of this."""
        return {"lines": self.lines, "switches": self.switches}

    def set_state(self, state):
        """Goes on from what `get_state` gave. Lines of epochs that will be trained again leave the file."""
        self.lines, self.switches = list(state["lines"]), list(state["switches"])
        self._write()

    def note_switch(self, backend, step):
        """Notes that the coming epoch goes on from a step on this backend, if it was on another one before."""
        now = keras.config.backend()
        if backend != now:
            self.switches.append({"step": step, "from": backend, "to": now})

    def on_epoch_end(self, epoch, logs=None):
        line = {"epoch": epoch} | {name: logs[key] for name, key in _NAMES.items()}
        line["learning_rate"] = float(self.model.optimizer.learning_rate)
        line["epoch_seconds"] = self.speed.epoch_seconds[-1]
        if self.switches:
            line["switches"], self.switches = self.switches, []
        self.lines.append(line)
        self._write()

    def _write(self):
        if self.path is not None:
            records.write_history(self.path, self.lines)
