"""The loop: `model.fit`, what it minimises, and what measures it.

It is imported once a backend is chosen.
"""

import time
from dataclasses import dataclass

import keras

from kmodels import backends, records
from kmodels.callbacks import BestEpoch, PeakMemory
from kmodels.callbacks.dispatch import StepCallbacks
from kmodels.callbacks.finite import FirstNonFiniteStep, StopIfNotFinite
from kmodels.callbacks.history import HistoryFile
from kmodels.callbacks.progress import ProgressBar
from kmodels.callbacks.tensorboard import TensorBoardFile
from kmodels.callbacks.throughput import Throughput
from kmodels.data.batching import real_token_fraction
from kmodels.errors import RunError
from kmodels.losses import SmoothedCrossEntropy
from kmodels.optimizers import WarmupSchedule, adamw

# What --monitor names: the key of Keras's logs, and whether less is better.
_MONITORS = {"loss": ("val_cross_entropy", "min"), "accuracy": ("val_accuracy", "max")}


def compile_model(model, config, num_steps):
    """Gives the model its optimizer, loss and figures.

    Args:
        model: keras.Model from {"token_ids", "padding_mask"} to logits.
        config: kmodels.config.RunConfig, resolved.
        num_steps: batches of an epoch.
    """
    updates = max(1, config.epochs * num_steps // config.gradient_accumulation_steps)
    warmup_updates = round(config.warmup_fraction * updates)
    schedule = WarmupSchedule(config.learning_rate, warmup_updates, updates, config.schedule)
    model.compile(
        adamw(schedule, config.weight_decay, config.clip_norm, config.gradient_accumulation_steps),
        loss=SmoothedCrossEntropy(config.label_smoothing),
        # Keras's own loss figure weights batches, fillers included; these weight sentences.
        weighted_metrics=[
            keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"),
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            FirstNonFiniteStep(),
        ],
    )


def fit(model, config, training, validation, folder, callbacks=()):
    """Trains a compiled model and measures it.

    Args:
        model: what `compile_model` was given.
        config: kmodels.config.RunConfig, resolved.
        training, validation: kmodels.data.batching.Batches.
        folder: the run's, where history and the best weights go as they come.
        callbacks: more Keras callbacks.

    Returns:
        {name: value}, as in metrics.json.

    Raises:
        RunError: the loss is no number any more, or a file can't be written.
    """
    instruments = Instruments.of(config, training, folder)
    told = [*instruments.callbacks(), *callbacks, *_optional_callbacks(config, folder)]
    feed = backends.current().feed
    start = time.perf_counter()
    try:
        model.fit(
            feed(lambda: training.iterate(range(config.epochs)), config.epochs * training.num_steps),
            epochs=config.epochs,
            steps_per_epoch=training.num_steps,
            validation_data=feed(lambda: validation.iterate([0] * config.epochs), config.epochs * validation.num_steps),
            validation_steps=validation.num_steps,
            callbacks=StepCallbacks(told, model, config.epochs, training.num_steps),
            shuffle=False,
            verbose=0,
        )
    except OSError as error:
        raise RunError(f"the run can't write into {folder}: {error}") from error
    finally:
        instruments.bar.close()
    return instruments.metrics(model, training, time.perf_counter() - start)


@dataclass(frozen=True)
class Instruments:
    """The callbacks that measure a run."""

    speed: Throughput
    best: BestEpoch
    memory: PeakMemory
    history: HistoryFile
    bar: ProgressBar

    @classmethod
    def of(cls, config, training, folder):
        """The instruments of a run that leaves its files in `folder`."""
        monitor, mode = _MONITORS[config.monitor]
        speed = Throughput(training)
        return cls(
            speed=speed,
            best=BestEpoch(monitor, mode, folder / records.WEIGHTS),
            memory=PeakMemory(),
            history=HistoryFile(folder / records.HISTORY, speed),
            bar=ProgressBar(config.epochs),
        )

    def callbacks(self):
        """In the order they are told: the clock first, so that no other's work counts as training."""
        return [self.speed, StopIfNotFinite(), self.best, self.memory, self.history, self.bar]

    def metrics(self, model, training, seconds):
        """{name: value}, as in metrics.json, of a run that took so many seconds."""
        extra = {
            "samples_per_second": self.speed.samples_per_second,
            "tokens_per_second": self.speed.tokens_per_second,
            "compile_seconds": self.speed.compile_seconds,
            "real_token_fraction": real_token_fraction(training.plan(), training.tokenized.lengths),
            "num_parameters": model.count_params(),
        }
        return records.build_metrics(self.history.lines, self.best.epoch, seconds, self.memory, extra)


def _optional_callbacks(config, folder):
    """Those that a setting asks for."""
    monitor, mode = _MONITORS[config.monitor]
    if config.patience:
        yield keras.callbacks.EarlyStopping(monitor, mode=mode, patience=config.patience)
    if config.tensorboard:
        yield TensorBoardFile(folder / records.TENSORBOARD)
