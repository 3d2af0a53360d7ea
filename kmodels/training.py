"""train: from a run's settings to its record."""

import contextlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from kmodels import backend, backends, checkpoints, corpus, locks, records, run_folder
from kmodels.config import RunConfig
from kmodels.errors import InputError, Interrupted
from kmodels.workers import group as groups
from kmodels.workers import launch, meeting
from kmodels.workers.group import ALONE

WAIT_VARIABLE = "KMODELS_WAIT_SECONDS"
# Settings that may differ from worker to worker: where they find and leave things.
_OF_ONE_WORKER = ("output_dir", "overwrite", "data_dir", "train_file", "validation_file", "preset", "embeddings")


def train(config=None, callbacks=(), **settings):
    """Trains a sentence classifier and leaves its folder.

    Args:
        config: kmodels.config.RunConfig; or give its settings as keywords.
        callbacks: Keras callbacks to call beside kmodels' own.
        settings: settings of RunConfig by name, where no config is given.

    Returns:
        kmodels.records.Record; None in a worker other than the first, of those that were started from outside. If the
        folder holds this very run, finished, its record as it is; if unfinished, it
        goes on from its last checkpoint.

    Raises:
        InputError: something given can't be used; nothing was written.
        RunError: the run could not go on; its checkpoints and the best weights so far stay in its folder.
        Interrupted: SIGINT or SIGTERM came; the state was saved, and the same call goes on from there.

    Example:

    >>> record = train(model="textcnn", dataset="sample", epochs=2)
    >>> record["best_validation_accuracy"] > 0.5
    True
    """
    if config is None:
        config = RunConfig.from_settings(**settings)
    elif settings:
        raise TypeError(f"give a config or settings, not both; got both config and {', '.join(settings)}")
    launch.end_with_parent()
    group = groups.from_environment() or ALONE
    if group.size > 1:
        if config.workers not in (1, group.size):
            raise InputError(f"workers must be {group.size}, as WORLD_SIZE says, or left out; got {config.workers}")
        config = replace(config, workers=group.size)
    config = config.resolved(backend.resolve(config.backend))
    if config.batch_size % config.workers:
        raise InputError(
            f"batch_size must be a multiple of the number of workers, {config.workers}; got {config.batch_size}"
        )
    if config.tensorboard and not backend.is_installed("tensorboard"):
        raise InputError("--tensorboard needs the package tensorboard: pip install 'kmodels[tensorboard]'")
    found = run_folder.look_into(config)
    if found.record:
        return _of_the_same_data(found.record, config)
    try:
        if config.workers > group.size or (config.cluster and group is ALONE):
            return _launch(config, callbacks)
        with contextlib.ExitStack() as held:
            return _train(config, group, callbacks, held)
    except Interrupted as stop:
        raise stop.without_overwrite() if config.overwrite else stop from None


def _train(config, group, callbacks, held):
    """Trains in this process, one of the group's. Returns what `train` does.

    Args:
        config: kmodels.config.RunConfig, resolved.
        group: kmodels.workers.group.Group.
        callbacks: Keras callbacks.
        held: contextlib.ExitStack that keeps the run's folder this process's own.
    """
    backend.check_free(config.backend)
    folder = Path(config.output_dir)
    is_own = group.is_first and folder.is_dir()
    if is_own:
        held.enter_context(locks.hold(folder))
    found = run_folder.look_into(config)  # again: before it was held, another process may have worked there
    if found.record:
        return _of_the_same_data(found.record, config)
    dataset = corpus.load_dataset(found.config)
    checkpoint = _last_checkpoint(folder, group) if found.unfinished else None
    join = _meet(group, found.config, dataset, checkpoint) if group.size > 1 else None
    backend.choose(config.backend, config.deterministic)
    if join:
        join(backends.current())
    return _run(found, dataset, checkpoint, group, callbacks, None if is_own else held)


def _of_the_same_data(record, config):
    """A finished run's record, if its data is still what it was, as far as that can be told: it may be gone."""
    noted = records.read_object(record.output_dir / records.MODEL).get("dataset_digest")  # 0.2.0 did not note it
    try:
        same = noted is None or corpus.dataset_digest(config, corpus.load_dataset(config)) == noted
    except InputError:
        return record
    if same:
        return record
    raise InputError(
        f"the data is not what the finished run in {record.output_dir} had; give that data, another --output_dir, or "
        "--overwrite"
    )


def _wait_seconds():
    """For how long to wait for a worker that doesn't come, or no longer answers."""
    given = os.environ.get(WAIT_VARIABLE, "50")
    with contextlib.suppress(ValueError):
        if 1 <= float(given) < float("inf"):
            return float(given)
    raise InputError(f"{WAIT_VARIABLE} must be seconds, a number of at least 1; got {given!r}")


def _launch(config, callbacks):
    """Trains in worker processes, on this machine or a cluster. Returns the run's kmodels.records.Record."""
    if callbacks:
        raise InputError("callbacks can't be handed to worker processes; start the workers yourself, or --workers=1")
    if config.cluster:
        from kmodels.cluster import workers

        workers.run(config, config.output_dir)
    else:
        launch.run(launch.command(config.to_flags()), config.workers, config.output_dir)
    return records.read(config.output_dir)


def _meet(group, config, dataset, checkpoint):
    """Waits for the other workers, and sees that all have the same. Returns a function that has a backend join them."""
    seconds = _wait_seconds()
    settings = {name: value for name, value in config.to_json().items() if name not in _OF_ONE_WORKER}
    facts = {
        "settings": json.dumps(settings, sort_keys=True),
        "data": dataset.digest(),
        "checkpoint": f"epoch {checkpoint.epoch}, step {checkpoint.step}" if checkpoint else "none",
        "versions": json.dumps(run_folder.versions(config.backend), sort_keys=True),
    }
    met = meeting.meet(group, facts, seconds)
    return lambda framework: framework.join(group, met, seconds)


def _run(found, dataset, checkpoint, group, callbacks, held):
    """Everything after the one framework is chosen.

    Args:
        found: kmodels.run_folder.Found.
        dataset: what kmodels.data.datasets.load gave.
        checkpoint: kmodels.checkpoints.Checkpoint to go on from; None to begin.
        group: kmodels.workers.group.Group.
        callbacks: Keras callbacks.
        held: contextlib.ExitStack that is to keep the run's folder this process's own; None where it is already.
    """
    import keras

    from kmodels import loop, models

    config, folder = found.config, Path(found.config.output_dir)
    keras.utils.set_random_seed(config.seed)
    framework = backends.current()
    framework.configure(config.deterministic, config.architecture.is_encoder)
    if config.precision == "auto":
        config = replace(config, precision=framework.precision(config.architecture.is_encoder))
    keras.config.set_dtype_policy(config.precision)
    texts, pretrained = corpus.build(config, dataset, checkpoint, group.rank, framework.COMPILES_EACH_SHAPE)
    config = replace(config, num_buckets=config.num_buckets or len(texts.training.buckets))
    if pretrained.word_vectors is not None:
        config = replace(config, embedding_dim=pretrained.word_vectors.shape[1])
    description = corpus.describe(texts, pretrained.backbone)
    description["dataset_digest"] = corpus.dataset_digest(config, dataset)
    model = models.build(config, len(texts.label_names), texts.tokenizer.vocabulary_size, *pretrained)
    loop.compile_model(model, config, texts.training.num_steps)
    environment = run_folder.environment(config.backend, framework)
    end = {"epochs": config.epochs, "patience": config.patience}
    facts = {"data": texts.digest(), "environment": environment, "end": end}
    if checkpoint:
        _check_continuation(folder, checkpoint, facts)
    if not group.is_first:
        pass  # worker 0 writes
    elif checkpoint:
        run_folder.go_on(folder, config, environment, checkpoint)
    else:
        if held:
            _take(found, held)
        run_folder.begin(folder, config, environment, description, texts.tokenizer)
    ended = bool(checkpoint) and not found.longer and _has_ended(checkpoint, end)
    with _left_together(group, framework):
        metrics = loop.fit(model, config, texts, folder, facts, group, callbacks, checkpoint, ended)
    if not group.is_first:
        return None
    metrics |= _after_training(model, config, texts, folder, metrics)
    records.write_json(folder / records.METRICS, metrics)
    return records.read(folder)


def _has_ended(checkpoint, end):
    """True if a run's last epoch was before this checkpoint, and the end that it was to have is still the same."""
    return checkpoint.state["ended"] and checkpoint.state.get("end", end) == end  # 0.2.0 did not note the end


def _take(found, held):
    """Makes a new run's folder, this process's own from now on.

    Raises:
        InputError: another process works there, or has worked there since this one looked.
    """
    folder = Path(found.config.output_dir)
    run_folder.make(folder)
    held.enter_context(locks.hold(folder))
    now = run_folder.look_into(found.config)
    if now.record or now.unfinished:
        raise InputError(f"another process has begun the run in {folder} meanwhile; the same command goes on with it")


@contextlib.contextmanager
def _left_together(group, framework):
    """Leaves the group where all workers end: after the last epoch, or where a signal stopped them all."""
    try:
        yield
    except Interrupted:
        if group.size > 1:
            framework.leave()
        raise
    if group.size > 1:
        framework.leave()


def _after_training(model, config, texts, folder, metrics):
    """What is asked for beside training. Returns more figures: {name: value}."""
    from kmodels import inference, peak, prediction

    if config.save_predictions and (folder / records.WEIGHTS).is_file():
        if config.workers > 1:  # this one's own model, which no other worker has a part in
            model = inference.load(folder, config.backend).model
        else:
            model.load_weights(folder / records.WEIGHTS)
        probabilities = prediction.probabilities(model, texts.validation)
        content = {
            "label_names": list(texts.label_names),
            "labels": texts.validation.labels.tolist(),
            "probabilities": [[round(float(value), 6) for value in row] for row in probabilities],
        }
        records.write_json(folder / records.PREDICTIONS, content)
    if not config.measure_peak:
        return {}
    return peak.figures(model, metrics.get("tokens_per_second"), texts.training.tokenized.lengths)


def _last_checkpoint(folder, group):
    """The checkpoint that an unfinished run goes on from; None if it came to none."""
    checkpoint = checkpoints.newest(folder, _say if group.is_first else None)
    if not group.is_first:
        pass
    elif checkpoint is None:
        _say(f"the run in {folder} was stopped before its first checkpoint; it begins anew")
    else:
        _say(f"going on with the run in {folder} from epoch {checkpoint.epoch}, step {checkpoint.step}")
    return checkpoint


def _check_continuation(folder, checkpoint, facts):
    """Raises InputError if the data is not the run's; says so if the software is not."""
    if checkpoint.state["data"] != facts["data"]:
        raise InputError(f"the data is not what the run in {folder} began with; give that data, or --overwrite")
    before = {"kmodels": "0.1.0"} | checkpoint.state["environment"]  # 0.1.0 did not note its own version
    now = facts["environment"]
    changed = [f"{name} {before[name]} → {now[name]}" for name in now if name in before and before[name] != now[name]]
    if changed:
        _say(f"not the same bits from here on: {', '.join(changed)}")


def _say(line):
    print(line, file=sys.stderr)
