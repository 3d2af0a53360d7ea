"""The loop: `model.fit`, what it minimises, and what measures it.

It is imported once a backend is chosen.
"""

import contextlib
from dataclasses import dataclass

import keras

from kmodels import backends, checkpoints, records
from kmodels.callbacks import BestEpoch, PeakMemory
from kmodels.callbacks.averaging import AveragedWeights
from kmodels.callbacks.checkpointing import RandomStates, RestoreCheckpoint, SaveCheckpoints, own_part
from kmodels.callbacks.dispatch import StepCallbacks
from kmodels.callbacks.finite import FirstNonFiniteStep, StopIfNotFinite
from kmodels.callbacks.history import HistoryFile
from kmodels.callbacks.patience import Patience
from kmodels.callbacks.progress import ProgressBar
from kmodels.callbacks.tensorboard import TensorBoardFile
from kmodels.callbacks.throughput import Throughput
from kmodels.callbacks.together import Together
from kmodels.data.batching import real_token_fraction
from kmodels.errors import RunError
from kmodels.losses import Accuracy, CrossEntropy, SmoothedCrossEntropy
from kmodels.optimizers import WarmupSchedule, adamw
from kmodels.signals import StopRequest

# What --monitor names: the key of Keras's logs, and whether less is better.
_MONITORS = {"loss": ("val_cross_entropy", "min"), "accuracy": ("val_accuracy", "max")}


def compile_model(model, config, num_steps):
    """Gives the model its optimizer, loss and figures.

    Args:
        model: keras.Model from {"token_ids", "padding_mask"} to logits.
        config: kmodels.config.RunConfig, resolved.
        num_steps: batches of an epoch.
    """
    backends.current().prepare(model)
    total_steps = config.epochs * num_steps
    warmup_steps = round(config.warmup_fraction * total_steps)
    schedule = WarmupSchedule(config.learning_rate, warmup_steps, total_steps, config.schedule)
    num_rows = config.batch_size // config.workers if config.workers > 1 else None
    model.compile(
        adamw(schedule, config.weight_decay, config.clip_norm, config.gradient_accumulation_steps, config.ema_momentum),
        loss=SmoothedCrossEntropy(config.label_smoothing, num_rows),
        # Keras's own loss figure weights batches, fillers included; these weight sentences.
        weighted_metrics=[
            CrossEntropy(),
            Accuracy(name="accuracy"),
            FirstNonFiniteStep(),
        ],
    )


def fit(model, config, corpus, folder, facts, group, callbacks=(), checkpoint=None, ended=False):
    """Trains a compiled model and measures it.

    Args:
        model: what `compile_model` was given.
        config: kmodels.config.RunConfig, resolved.
        corpus: kmodels.corpus.Corpus.
        folder: the run's, where history, checkpoints and the best weights go as they come.
        facts: {name: value} that a checkpoint keeps beside the state.
        group: kmodels.workers.group.Group; of several workers, only the first one writes.
        callbacks: more Keras callbacks.
        checkpoint: kmodels.checkpoints.Checkpoint to go on from; None to begin.
        ended: True if that run had its last epoch.

    Returns:
        {name: value}, as in metrics.json.

    Raises:
        RunError: the loss is no number any more, a file can't be written, or another worker is lost.
        Interrupted: a signal came, and the state was saved.
    """
    place = (checkpoint.epoch, checkpoint.step) if checkpoint else (0, 0)
    together = Together(group)
    instruments = Instruments.of(config, corpus.training, folder if group.is_first else None, place)
    told, parts = _told(config, instruments, callbacks, folder if group.is_first else None)
    own = own_part(checkpoint, group) if checkpoint and together.has_parts else None
    told.insert(0, RandomStates(config.seed, checkpoint, group.rank, own))
    _build(model)
    if checkpoint:
        told.insert(0, RestoreCheckpoint(checkpoint, model, parts, group.rank if together.has_parts else 0, own))
        instruments.history.note_switch(checkpoint.state["backend"], checkpoint.step)
    with contextlib.ExitStack() as opened:
        writer = opened.enter_context(contextlib.closing(checkpoints.Writer(folder))) if group.is_first else None
        opened.enter_context(contextlib.closing(instruments.bar))
        opened.enter_context(_said_in_one_line(folder, group))
        with StopRequest() as stop:
            save = SaveCheckpoints(writer, parts, facts, instruments, stop, together, config.checkpoint_seconds)
            epochs = range(place[0], place[0] if ended else config.epochs)
            _fit_epochs(model, [*told, save], epochs, place[1], corpus, together)
        if writer:
            writer.wait()
        memory = together.gathered(instruments.memory.get_state())
    return instruments.metrics(model, corpus.training, memory)


@contextlib.contextmanager
def _said_in_one_line(folder, group):
    """Makes RunError of what can go wrong outside this program."""
    try:
        yield
    except OSError as error:
        raise RunError(f"the run can't write into {folder}: {error}") from error
    except backends.current().WORKER_ERRORS as error:
        if group.size == 1 or isinstance(error, RunError):
            raise
        reason = backends.current().reason_of(error)
        raise RunError(f"another worker is lost, or doesn't answer: {reason:.300}") from error


def _told(config, instruments, callbacks, folder):
    """(All callbacks of a run in the order they are told, {name: one with a state of its own})."""
    ours = instruments.callbacks()
    if config.patience:
        ours.append(Patience(instruments.best, config.patience))
    if config.tensorboard and folder:
        ours.append(TensorBoardFile(folder / records.TENSORBOARD))
    parts = {type(part).__name__: part for part in ours if hasattr(part, "get_state")}
    parts |= {f"callbacks[{number}]": part for number, part in enumerate(callbacks) if hasattr(part, "get_state")}
    averaging = [AveragedWeights()] if config.ema_momentum else []
    return [*ours, *callbacks, *averaging], parts


def _fit_epochs(model, callbacks, epochs, first_step, corpus, together):
    """A call of `fit` for each epoch: one can then begin at any step, and a resumed run does what another one does."""
    feed, training, validation = backends.current().feed, corpus.training, corpus.validation
    told = StepCallbacks(callbacks, model, epochs.stop, training.num_steps, together)
    for epoch in epochs:
        told.first_step = first_step if epoch == epochs.start else 0
        num_steps = training.num_steps - told.first_step
        model.fit(
            feed(lambda epoch=epoch: training.iterate(epoch, told.first_step), num_steps),
            initial_epoch=epoch,
            epochs=epoch + 1,
            steps_per_epoch=num_steps,
            validation_data=feed(validation.iterate, validation.num_steps),
            validation_steps=validation.num_steps,
            callbacks=told,
            shuffle=False,
            verbose=0,
        )
        if model.stop_training:
            break
    told.end()


def _build(model):
    """Makes moments and sums, which Keras would make in the first step.

    That is too late for a checkpoint to be put back, and on TensorFlow the step would be traced twice. Keras's own
    `_symbolic_build` calls the model for it, which on torch imports torch.compile and SymPy.
    """
    model.optimizer.build(model.trainable_variables)
    logits, labels = model.output, keras.KerasTensor((None,), "int32")
    for part in (model._compile_metrics, model._compile_loss):
        part.build(labels, logits)


@dataclass(frozen=True)
class Instruments:
    """The callbacks that measure a run."""

    speed: Throughput
    best: BestEpoch
    memory: PeakMemory
    history: HistoryFile
    bar: ProgressBar

    @classmethod
    def of(cls, config, training, folder, done):
        """The instruments of a run that has done these (epochs, steps); without a folder they write nothing."""
        monitor, mode = _MONITORS[config.monitor]
        speed = Throughput(training, backends.current().COMPILES_EACH_SHAPE)
        return cls(
            speed=speed,
            best=BestEpoch(monitor, mode, folder and folder / records.WEIGHTS),
            memory=PeakMemory(),
            history=HistoryFile(folder and folder / records.HISTORY, speed),
            bar=ProgressBar(config.epochs, done, is_shown=folder is not None),
        )

    def callbacks(self):
        """In the order they are told: the clock first, so that no other's work counts as training."""
        return [self.speed, StopIfNotFinite(), self.best, self.memory, self.history, self.bar]

    def metrics(self, model, training, memory):
        """{name: value}, as in metrics.json, of the run so far; memory: the state of each worker's PeakMemory."""
        extra = {
            "samples_per_second": self.speed.samples_per_second,
            "tokens_per_second": self.speed.tokens_per_second,
            "compile_seconds": self.speed.compile_seconds,
            "real_token_fraction": real_token_fraction(training.plan(), training.tokenized.lengths),
            "num_parameters": model.count_params(),
        }
        return records.build_metrics(self.history.lines, self.best.epoch, self.speed.seconds, memory, extra)
