"""From a run's folder back to its model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kmodels import backend, records
from kmodels.config import RunConfig
from kmodels.data.batching import Batches, bucket_lengths
from kmodels.data.tokenizers import Tokenizer
from kmodels.errors import InputError
from kmodels.models import encoder_sizes, preset_files, weight_files
from kmodels.prediction import probabilities

MOST_ROWS = 1024  # of a batch, which config.json may want larger than memory


@dataclass(frozen=True)
class Classifier:
    """A trained sentence classifier.

    Attributes:
        model: keras.Model from {"token_ids", "padding_mask"} to float32 logits, (batch, num_classes).
        tokenizer: kmodels.data.tokenizers.Tokenizer.
        label_names: the name of each class.
        config: the kmodels.config.RunConfig it was trained with.
    """

    model: Any
    tokenizer: Tokenizer
    label_names: tuple[str, ...]
    config: RunConfig

    def predict_proba(self, texts):
        """Probabilities of every class: [str, …] → float32, (num_texts, num_classes)."""
        tokenized = self.tokenizer.encode(texts, self.config.max_length)
        buckets = bucket_lengths(tokenized.lengths, self.config.num_buckets or 1)
        batch_size = min(self.config.batch_size or 1, MOST_ROWS)
        labels = np.zeros(len(texts), np.int32)
        return probabilities(self.model, Batches(tokenized, labels, buckets, batch_size, self.tokenizer.padding_id))

    def predict(self, texts):
        """The name of the likeliest class of each text: [str, …] → [str, …]."""
        return [self.label_names[number] for number in self.predict_proba(texts).argmax(axis=1)]


def load(output_dir, backend_name=None):
    """The classifier that a run left, with the weights of its best epoch.

    Args:
        output_dir: a run's folder, wherever it was moved.
        backend_name: the backend to run on, any; None for KERAS_BACKEND or the first installed.

    Raises:
        InputError: the folder holds no run, or it is damaged.
    """
    folder = Path(output_dir)
    if not (folder / records.WEIGHTS).is_file():
        raise InputError(f"{folder} holds no trained model: it has no {records.WEIGHTS}")
    config, description, tokenizer = _read(folder)
    label_names = tuple(description["label_names"])
    least = _least_weights(config, len(label_names), tokenizer.vocabulary_size, description, folder / records.MODEL)
    weight_files.check([folder / records.WEIGHTS]).check_holds(*least, folder / records.MODEL)
    backend.choose(backend.resolve(backend_name))
    try:
        model = _build(config, len(label_names), tokenizer.vocabulary_size, description)
    except ValueError as error:
        reason = preset_files.reason_of(error)
        raise InputError(f"{folder} must describe a model that can be built; it doesn't: {reason}") from error
    weight_files.load(model, folder / records.WEIGHTS)
    return Classifier(model, tokenizer, label_names, config)


def _read(folder):
    """(RunConfig, the dict in model.json, Tokenizer) of a run."""
    for name in (records.CONFIG, records.MODEL, records.TOKENIZER, records.WEIGHTS):
        preset_files.check_file(folder, name)
    config = RunConfig.from_json(records.read_json(folder / records.CONFIG))
    description = records.read_object(folder / records.MODEL)
    names = description.get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{folder / records.MODEL}: label_names must be a list of text; got {names!r:.80}")
    return config.resolved(config.backend), description, Tokenizer.load(folder / records.TOKENIZER)


def _least_weights(config, num_classes, vocabulary_size, description, path):
    """What a model has at least: (arrays, numbers in them). All but vectors."""
    if config.architecture.is_encoder:
        sizes = encoder_sizes.of_description(description.get("backbone"), path)
        num_arrays, num_numbers = encoder_sizes.least_weights(sizes)
        dim = sizes["hidden_dim"]
    else:
        dim = config.embedding_dim
        num_arrays, num_numbers = 1, vocabulary_size * dim
    widths, num_filters, units = config.kernel_sizes or (), config.num_filters or 0, config.lstm_units or 0
    num_features = len(widths) * num_filters or 2 * units or dim
    num_numbers += sum(widths) * dim * num_filters + 8 * units * (dim + units) + num_features * num_classes
    return num_arrays + 2 * len(widths), num_numbers


def _build(config, num_classes, vocabulary_size, description):
    """The model as it was when its weights were saved, low-rank updates already merged."""
    import keras

    from kmodels import models

    keras.config.set_dtype_policy(config.precision)
    encoder = None
    if config.architecture.is_encoder:
        from kmodels.models import presets

        encoder = presets.from_description(description["backbone"])
    return models.build(config, num_classes, vocabulary_size, encoder)
