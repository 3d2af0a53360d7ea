"""train: from a run's settings to its record."""

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kmodels import backend, records
from kmodels.config import RunConfig
from kmodels.data import datasets, tokenizers
from kmodels.data.batching import Batches, bucket_lengths, default_num_buckets
from kmodels.errors import InputError


@dataclass(frozen=True)
class Corpus:
    """The data of a run, ready for the loop.

    Attributes:
        label_names: the name of each class.
        tokenizer: kmodels.data.tokenizers.Tokenizer.
        training, validation: kmodels.data.batching.Batches.
    """

    label_names: tuple[str, ...]
    tokenizer: tokenizers.Tokenizer
    training: Batches
    validation: Batches


def train(config=None, callbacks=(), **settings):
    """Trains a sentence classifier and leaves its folder.

    Args:
        config: kmodels.config.RunConfig; or give its settings as keywords.
        callbacks: Keras callbacks to call beside kmodels' own.
        settings: settings of RunConfig by name, where no config is given.

    Returns:
        kmodels.records.Record. If the folder holds this very run, finished, its record as it is.

    Raises:
        InputError: something given can't be used; nothing was written.
        RunError: the run could not go on; the best weights so far stay in its folder.

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
    finished = _look_into(config)
    if finished is not None:
        return finished
    dataset = datasets.load(
        config.dataset,
        config.data_dir,
        config.train_file,
        config.validation_file,
        config.text_column,
        config.label_column,
    )
    backend.choose(config.backend)
    return _run(config, dataset, callbacks)


def _look_into(config):
    """The record that the run's folder holds already, or None if the run is to begin.

    Raises:
        InputError: the folder holds another run or other things, or can't be written.
    """
    folder = Path(config.output_dir)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output_dir must be a folder; {folder} is a file")
    existing = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"output_dir {folder} can't be written: no permission in {existing}")
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not (folder / records.CONFIG).is_file():
        raise InputError(f"output_dir must be empty or hold a run; {folder} holds other things; give another one")
    if config.overwrite:
        return None
    there = RunConfig.from_json(records.read_json(folder / records.CONFIG))
    differences = there.differences(config)
    if differences:
        raise InputError(
            f"{folder} holds another run ({'; '.join(differences)}); give another --output_dir, or --overwrite"
        )
    return records.read(folder) if records.is_finished(folder) else None


def _run(config, dataset, callbacks):
    """Everything after the one framework is chosen."""
    import keras

    from kmodels import backends, loop, models

    keras.utils.set_random_seed(config.seed)
    framework = backends.current()
    framework.configure()
    if config.precision == "auto":
        config = replace(config, precision=framework.precision(config.architecture.is_encoder))
    keras.config.set_dtype_policy(config.precision)
    corpus, backbone = _prepare(config, dataset)
    config = replace(config, num_buckets=config.num_buckets or len(corpus.training.buckets))
    model = models.build(config, len(corpus.label_names), corpus.tokenizer.vocabulary_size, backbone)
    loop.compile_model(model, config, corpus.training.num_steps)
    folder = _begin_folder(config, corpus, framework, backbone)
    metrics = loop.fit(model, config, corpus.training, corpus.validation, folder, callbacks)
    records.write_json(folder / records.METRICS, metrics)
    return records.read(folder)


def _prepare(config, dataset):
    """(Corpus, KerasHub encoder or None): sentences to token ids, and the encoder that knows these ids."""
    train = dataset.train
    texts, labels = train.texts[: config.max_train_examples], train.labels[: config.max_train_examples]
    if not config.architecture.is_encoder:
        tokenizer, backbone = tokenizers.words(texts, config.vocabulary_size), None
    else:
        from kmodels.models import presets

        tokenizer, backbone = presets.load(config, texts)
    training = tokenizer.encode(texts, config.max_length)
    validation = tokenizer.encode(dataset.validation.texts, config.max_length)
    num_buckets = config.num_buckets or default_num_buckets(-(-len(texts) // config.batch_size))
    buckets = bucket_lengths(np.concatenate([training.lengths, validation.lengths]), num_buckets)
    shared = {"buckets": buckets, "batch_size": config.batch_size, "padding_id": tokenizer.padding_id}
    corpus = Corpus(
        label_names=dataset.label_names,
        tokenizer=tokenizer,
        training=Batches(training, labels, seed=config.seed, **shared),
        validation=Batches(validation, dataset.validation.labels, **shared),
    )
    return corpus, backbone


def _begin_folder(config, corpus, framework, backbone):
    """Makes the run's folder, with all that is known before the first step. Returns its path."""
    folder = Path(config.output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output_dir {folder} can't be made: {error.strerror}") from error
    # Metrics first: what lies between is never taken for a finished run.
    for name in reversed(records.FILES):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / records.TENSORBOARD, ignore_errors=True)
    corpus.tokenizer.save(folder / records.TOKENIZER)
    records.write_json(folder / records.ENVIRONMENT, _environment(config, framework))
    records.write_json(folder / records.MODEL, _description(corpus, backbone))
    records.write_json(folder / records.CONFIG, config.to_json())
    return folder


def _environment(config, framework):
    versions = {name: importlib.metadata.version(name) for name in ("keras", "keras-hub", "numpy", "tokenizers")}
    return {
        "backend": config.backend,
        **framework.describe(),
        **versions,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }


def _description(corpus, backbone):
    """What model.json says: enough, with config.json, to build the model again without its preset."""
    description = {
        "label_names": list(corpus.label_names),
        "vocabulary_size": corpus.tokenizer.vocabulary_size,
    }
    if backbone is not None:
        from kmodels.models import presets

        description["backbone"] = presets.describe(backbone)
    return description
