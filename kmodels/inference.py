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
        batch_size = self.config.batch_size or 1
        numbers = np.arange(len(texts))
        batches = Batches(tokenized, numbers, buckets, batch_size, self.tokenizer.padding_id)
        probabilities = np.zeros((len(texts), len(self.label_names)), np.float32)
        for inputs, rows, weights in batches.iterate([0]):
            logits = np.asarray(self.model.predict_on_batch(inputs), np.float32)
            real = weights > 0
            probabilities[rows[real]] = _softmax(logits[real])
        return probabilities

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
    config = RunConfig.from_json(records.read_json(folder / records.CONFIG))
    description = records.read_json(folder / records.MODEL)
    tokenizer = Tokenizer.load(folder / records.TOKENIZER)
    backend.choose(backend.resolve(backend_name))
    model = _build(config, description)
    try:
        model.load_weights(folder / records.WEIGHTS)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / records.WEIGHTS} does not fit the run's model: {error}") from error
    return Classifier(model, tokenizer, tuple(description["label_names"]), config)


def _build(config, description):
    """The model as it was when its weights were saved, low-rank updates already merged."""
    import keras

    from kmodels import models

    keras.config.set_dtype_policy(config.precision)
    encoder = None
    if config.architecture.is_encoder:
        from kmodels.models import presets

        encoder = presets.from_description(description["backbone"])
    return models.build(config, len(description["label_names"]), description["vocabulary_size"], encoder)


def _softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
