"""From a run's folder back to its model, and the six as plain Keras models."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kmodels import backend, backends, evaluation, records
from kmodels.config import RunConfig
from kmodels.data import labelled
from kmodels.data.tokenizers import TokenizedTexts, Tokenizer
from kmodels.errors import InputError
from kmodels.models import encoder_sizes, preset_files, weight_files
from kmodels.prediction import Predictor
from kmodels.settings import did_you_mean

# Settings of RunConfig that `build` takes: those of the model, but for word vectors, which need a vocabulary.
BUILD_SETTINGS = tuple(
    field.name
    for field in dataclasses.fields(RunConfig)
    if (field.metadata["group"] == "Model" and field.name not in ("model", "embeddings", "frozen_embeddings"))
    or field.name in ("precision", "seed")
)


@dataclass(frozen=True)
class Classifier:
    """A trained sentence classifier; `predict`, `predict_proba` and `classes_` mean what they mean in scikit-learn.

    Attributes:
        model: keras.Model from {"token_ids", "padding_mask"} to float32 logits, (batch, num_classes).
        tokenizer: kmodels.data.tokenizers.Tokenizer.
        label_names: the name of each class.
        config: the kmodels.config.RunConfig it was trained with.

    >>> classifier = load(folder)
    >>> classifier.predict(["the film is great", "the plot is awful"])
    ['1', '0']
    >>> classifier.predict_proba([]).shape
    (0, 2)
    >>> classifier.evaluate(["the film is great"], ["1"]).accuracy
    1.0
    """

    model: Any
    tokenizer: Tokenizer
    label_names: tuple[str, ...]
    config: RunConfig

    @functools.cached_property
    def predictor(self) -> Predictor:
        """What computes `predict_proba`: from token ids, made ready once."""
        return Predictor(self.model, self.tokenizer.padding_id, self.config.max_length)

    @property
    def classes_(self) -> np.ndarray:
        """The names of the classes, in the order of `predict_proba`'s columns: (num_classes,) of str."""
        return np.array(self.label_names)

    def predict_proba(self, texts: Iterable[str]) -> np.ndarray:
        """Probabilities of every class.

        Args:
            texts: several str; none give an empty array. TypeError for a single str, or what is none.

        Returns:
            float32, (num_texts, num_classes); columns as in `classes_`.
        """
        texts = _several(texts)
        if not texts:
            return np.zeros((0, len(self.label_names)), np.float32)
        return self.predictor.probabilities(self.encode(texts))

    def encode(self, texts: Iterable[str]) -> TokenizedTexts:
        """The token ids of texts, read as the run's training read its own. TypeError as of `predict_proba`."""
        return self.tokenizer.encode(labelled.as_trained(_several(texts), self.config), self.config.max_length)

    def predict(self, texts: Iterable[str]) -> list[str]:
        """The name of the likeliest class of each text; texts as for `predict_proba`."""
        return [self.label_names[number] for number in self.predict_proba(texts).argmax(axis=1)]

    def evaluate(
        self,
        texts: Iterable[str] | None = None,
        labels: Iterable[str] | Iterable[int] | None = None,
        *,
        file: str | os.PathLike[str] | None = None,
        text_column: str | None = None,
        label_column: str | None = None,
    ) -> evaluation.Evaluation:
        """The figures that `kmodels evaluate` prints, on sentences, on a file, or on the run's validation data.

        Args:
            texts: several str; with labels, and without file.
            labels: the class of each text, by name (str) or by number (int).
            file: labelled sentences: .tsv, .csv or .jsonl. Without texts and file, the run's validation data.
            text_column, label_column: columns of the file; None for the run's own.

        Raises:
            InputError: a label that the run does not know, a file that does not fit, or nothing to evaluate on.
        """
        if (texts is None) != (labels is None) or (texts is not None and file is not None):
            raise InputError("evaluate needs texts and labels, or a file, or none of these; got something in between")
        if texts is None or labels is None:
            examples, _ = labelled.find(self.config, self.label_names, file, text_column, label_column)
            return evaluation.evaluate(self.predict_proba(examples.texts), examples.labels, self.label_names)
        texts, numbers = _several(texts), labelled.class_numbers(labels, self.label_names)
        if len(texts) != len(numbers):
            raise InputError(f"evaluate needs a label for each text; got {len(texts)} texts and {len(numbers)} labels")
        return evaluation.evaluate(self.predict_proba(texts), numbers, self.label_names)


def load(output_dir: str | os.PathLike[str], backend_name: str | None = None) -> Classifier:
    """The classifier that a run left, with the weights of its best epoch.

    Args:
        output_dir: a run's folder, wherever it was moved.
        backend_name: the backend to run on, any; None for KERAS_BACKEND, else Keras's in this process, else the
            first installed.

    Raises:
        InputError: the folder holds no run, or it is damaged.
    """
    classifier = load_for_export(output_dir, backend_name)
    backends.current().prepare(classifier.model)
    return classifier


def load_for_export(output_dir: str | os.PathLike[str], backend_name: str | None = None) -> Classifier:
    """As `load`, of Keras's own layers: a backend's faster ones hold operations that converters don't know."""
    folder = Path(output_dir)
    config, description = _read(folder)
    tokenizer = Tokenizer.load(folder / records.TOKENIZER)
    label_names = tuple(description["label_names"])
    least = _least_weights(config, len(label_names), tokenizer.vocabulary_size, description, folder / records.MODEL)
    weight_files.check([folder / records.WEIGHTS]).check_holds(*least, folder / records.MODEL)
    backend.choose(backend.resolve(backend_name))
    backends.current().configure()
    try:
        model = _build(config, len(label_names), tokenizer.vocabulary_size, description)
    except ValueError as error:
        reason = preset_files.reason_of(error)
        raise InputError(f"{folder} must describe a model that can be built; it doesn't: {reason}") from error
    weight_files.load(model, folder / records.WEIGHTS)
    return Classifier(model, tokenizer, label_names, config)


def settings_of(output_dir: str | os.PathLike[str]) -> tuple[RunConfig, tuple[str, ...]]:
    """(config, label_names) of the run in a folder, without a framework. InputError as of `load`."""
    config, description = _read(Path(output_dir))
    return config, tuple(description["label_names"])


def build(name: str, num_classes: int = 2, **settings: Any) -> Any:
    """One of the six, untrained: a keras.Model to compile and fit as any other.

    Args:
        name: one of kmodels.ARCHITECTURES.
        num_classes: number of classes.
        settings: of BUILD_SETTINGS, as for training. Models over words take vocabulary_size, the number of token ids
            (20000 where it is not given); encoders take preset, whose weights they then have: a name, a folder, or
            "scratch:tiny" with vocabulary_size. Without precision, Keras's own dtype policy holds.

    Returns:
        keras.Model from {"token_ids": int, (batch, length); "padding_mask": bool, (batch, length), True on real
        tokens} to float32 logits, (batch, num_classes).

    Raises:
        InputError: a setting is unknown or not possible, or the preset can't be read.

    >>> model = build("bilstm", num_classes=3, vocabulary_size=1000, embedding_dim=8, lstm_units=8)
    >>> model.output_shape
    (None, 3)
    """
    for setting in settings:
        if setting not in BUILD_SETTINGS:
            hint = did_you_mean(setting, BUILD_SETTINGS)
            raise InputError(f"{setting!r} must be a setting of a model: {', '.join(BUILD_SETTINGS)}{hint}")
    if not isinstance(num_classes, int) or num_classes < 2:
        raise InputError(f"num_classes must be a whole number, at least 2; got {num_classes!r}")
    config = RunConfig.from_settings(model=name, **settings)
    config = config.resolved(backend.resolve(config.backend))
    backend.choose(config.backend)
    from kmodels import models

    with contextlib.nullcontext() if config.precision == "auto" else _dtype_policy(config.precision):
        return models.build(config, num_classes, config.vocabulary_size, _new_encoder(config))


def _several(texts: Iterable[str]) -> list[str]:
    """Texts as a list, of whatever kind they came in."""
    if isinstance(texts, str):
        raise TypeError("texts must be several str, as in a list; got a single str")
    return list(texts)


def _read(folder):
    """(RunConfig, the dict in model.json) of a run."""
    if not (folder / records.WEIGHTS).is_file():
        raise InputError(f"{folder} holds no trained model: it has no {records.WEIGHTS}")
    for name in (records.CONFIG, records.MODEL, records.TOKENIZER, records.WEIGHTS):
        preset_files.check_file(folder, name)
    config = RunConfig.from_json(records.read_json(folder / records.CONFIG))
    description = records.read_object(folder / records.MODEL)
    names = description.get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{folder / records.MODEL}: label_names must be a list of text; got {names!r:.80}")
    if len(set(names)) < len(names):
        raise InputError(f"{folder / records.MODEL}: label_names must differ from each other; got {names!r:.80}")
    config = config.resolved(config.backend)
    # With word vectors, it is theirs, and only the run knows it.
    if config.embedding_dim is None and "embedding_dim" in config.architecture.defaults:
        raise InputError(f"{folder / records.CONFIG}: embedding_dim must be a whole number; got none")
    return config, description


def _least_weights(config, num_classes, vocabulary_size, description, path):
    """What a model has at least: (arrays, numbers in them). All but vectors; of an extension's, nothing is known."""
    if callable(config.architecture.builder):
        return 0, 0
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
    return num_arrays, num_numbers


def _build(config, num_classes, vocabulary_size, description):
    """The model as it was when its weights were saved, low-rank updates already merged."""
    from kmodels import models

    with _dtype_policy(config.precision):
        encoder = None
        if config.architecture.is_encoder:
            from kmodels.models import presets

            encoder = presets.from_description(description["backbone"])
        return models.build(config, num_classes, vocabulary_size, encoder)


def _new_encoder(config):
    """The encoder that a config's preset names, without a tokenizer; None for models over words."""
    if not config.architecture.is_encoder:
        return None
    from kmodels.models import adaptation, preset_places, presets

    preset, reads = config.preset, config.architecture.reads
    preset_places.check(preset, reads)
    if preset_places.is_scratch(preset):
        encoder = presets.scratch_backbone(preset, reads, config.vocabulary_size, config.dropout, config.seed)
    else:
        encoder = presets.load_backbone(preset, reads, config.dropout, needs_pooler=config.pooling == "pooler")
    if config.lora_rank:
        adaptation.add_lora(encoder, config.lora_rank, config.seed)
    adaptation.freeze(encoder, config.frozen_layers)
    return encoder


@contextlib.contextmanager
def _dtype_policy(precision):
    """Lets layers be made in this precision, and Keras's own policy hold again afterwards."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
