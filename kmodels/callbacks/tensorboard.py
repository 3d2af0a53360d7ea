"""TensorBoardFile: each epoch's figures as TensorBoard event files, without TensorFlow."""

import time

import keras


class TensorBoardFile(keras.callbacks.Callback):
    """Writes epoch figures under "epoch_…" tags, as `keras.callbacks.TensorBoard` does, on every backend.

    Keras's own callback needs TensorFlow, even on another backend.

    Args:
        folder: where the event file goes; `tensorboard --logdir` takes it or one above it.
    """

    def __init__(self, folder):
        super().__init__()
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(folder))
        self._epochs = 0

    def set_state(self, state):
        """Goes on in a folder that has events already: those of epochs that are trained again count no more."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self._epochs = state["epochs"]
        start = SessionLog(status=SessionLog.START)
        self._writer.add_event(Event(wall_time=time.time(), step=state["epochs"], session_log=start))

    def get_state(self):
        """What a checkpoint keeps of this."""
        return {"epochs": self._epochs}

    def on_epoch_end(self, epoch, logs=None):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        figures = {name: value for name, value in logs.items() if not name.endswith("first_nonfinite_step")}
        values = [Summary.Value(tag=f"epoch_{name}", simple_value=value) for name, value in figures.items()]
        self._epochs = epoch + 1
        self._writer.add_event(Event(wall_time=time.time(), step=epoch, summary=Summary(value=values)))
        self._writer.flush()

    def on_train_end(self, logs=None):
        self._writer.close()
