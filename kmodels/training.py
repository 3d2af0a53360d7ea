"""train: from a run's settings to its record."""

import contextlib
import sys
from dataclasses import replace
from pathlib import Path

from kmodels import backend, checkpoints, corpus, locks, records, run_folder
from kmodels.config import RunConfig
from kmodels.errors import InputError


def train(config=None, callbacks=(), **settings):
    """Trains a sentence classifier and leaves its folder.

    Args:
        config: kmodels.config.RunConfig; or give its settings as keywords.
        callbacks: Keras callbacks to call beside kmodels' own.
        settings: settings of RunConfig by name, where no config is given.

    Returns:
        kmodels.records.Record. If the folder holds this very run, finished, its record as it is; if unfinished, it
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
    config = config.resolved(backend.resolve(config.backend))
    if config.tensorboard and not backend.is_installed("tensorboard"):
        raise InputError("--tensorboard needs the package tensorboard: pip install 'kmodels[tensorboard]'")
    found = run_folder.look_into(config)
    if found.record:
        return found.record
    with contextlib.ExitStack() as held:
        folder = Path(config.output_dir)
        if folder.is_dir():
            held.enter_context(locks.hold(folder))
        dataset = corpus.load_dataset(found.config)
        backend.choose(config.backend, config.deterministic)
        return _run(found, dataset, callbacks, held)


def _run(found, dataset, callbacks, held):
    """Everything after the one framework is chosen.

    Args:
        found: kmodels.run_folder.Found.
        dataset: what kmodels.data.datasets.load gave.
        callbacks: Keras callbacks.
        held: contextlib.ExitStack that keeps the run's folder this process's own, if it exists already.
    """
    import keras

    from kmodels import backends, loop, models

    config, folder = found.config, Path(found.config.output_dir)
    checkpoint = _last_checkpoint(folder) if found.unfinished else None
    keras.utils.set_random_seed(config.seed)
    framework = backends.current()
    framework.configure(config.deterministic)
    if config.precision == "auto":
        config = replace(config, precision=framework.precision(config.architecture.is_encoder))
    keras.config.set_dtype_policy(config.precision)
    texts, pretrained = corpus.build(config, dataset, checkpoint)
    config = replace(config, num_buckets=config.num_buckets or len(texts.training.buckets))
    if pretrained.word_vectors is not None:
        config = replace(config, embedding_dim=pretrained.word_vectors.shape[1])
    description = corpus.describe(texts, pretrained.backbone)
    model = models.build(config, len(texts.label_names), texts.tokenizer.vocabulary_size, *pretrained)
    loop.compile_model(model, config, texts.training.num_steps)
    environment = run_folder.environment(config.backend, framework)
    facts = {"data": texts.digest(), "environment": environment}
    if checkpoint:
        _check_continuation(folder, checkpoint, facts)
        run_folder.go_on(folder, config, environment, checkpoint)
    else:
        if run_folder.make(folder):
            held.enter_context(locks.hold(folder))
        run_folder.begin(folder, config, environment, description, texts.tokenizer)
    ended = checkpoint is not None and checkpoint.state["ended"] and not found.longer
    metrics = loop.fit(model, config, texts, folder, facts, callbacks, checkpoint, ended)
    metrics |= _after_training(model, config, texts, folder, metrics)
    records.write_json(folder / records.METRICS, metrics)
    return records.read(folder)


def _after_training(model, config, texts, folder, metrics):
    """What is asked for beside training. Returns more figures: {name: value}."""
    from kmodels import peak, prediction

    if config.save_predictions and (folder / records.WEIGHTS).is_file():
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


def _last_checkpoint(folder):
    """The checkpoint that an unfinished run goes on from; None if it came to none."""
    checkpoint = checkpoints.newest(folder, _say)
    if checkpoint is None:
        _say(f"the run in {folder} was stopped before its first checkpoint; it begins anew")
    else:
        _say(f"going on with the run in {folder} from epoch {checkpoint.epoch}, step {checkpoint.step}")
    return checkpoint


def _check_continuation(folder, checkpoint, facts):
    """Raises InputError if the data is not the run's; says so if the software is not."""
    if checkpoint.state["data"] != facts["data"]:
        raise InputError(f"the data is not what the run in {folder} began with; give that data, or --overwrite")
    before, now = checkpoint.state["environment"], facts["environment"]
    changed = [f"{name} {before.get(name)} → {now.get(name)}" for name in now if before.get(name) != now.get(name)]
    if changed:
        _say(f"not the same bits from here on: {', '.join(changed)}")


def _say(line):
    print(line, file=sys.stderr)
