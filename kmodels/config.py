"""RunConfig: every setting of a run, once: its default, its help, its check and its JSON.

The command line's flags, the keywords of `kmodels.train` and the file config.json all derive from this class. A default
of None means «as the architecture has it» (`kmodels.architectures`); `RunConfig.resolved` fills those in.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from kmodels import settings
from kmodels.architectures import (
    ARCHITECTURES,
    LSTM_POOLINGS,
    ONLY_FOR,
    POOLINGS,
    SCRATCH_LEARNING_RATES,
    SCRATCH_SIZES,
)
from kmodels.errors import InputError
from kmodels.settings import did_you_mean, setting

BACKENDS = ("jax", "tensorflow", "torch")
# What `--dataset` takes: names, with the function that loads it where an extension brought it.
DATASETS: dict[str, Callable | None] = {"sst2": None, "sample": None}
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
MONITORS = ("loss", "accuracy")
SCHEDULES = ("constant", "linear")


@dataclass(frozen=True)
class RunConfig:
    """Every setting of a run. Immutable; see `--help` or each field's metadata for what it means."""

    model: str = setting("textcnn", "Model", "which classifier to train", choices=ARCHITECTURES)
    backend: str | None = setting(
        None,
        "Model",
        "the framework that does the work; default: KERAS_BACKEND, else the first installed of these",
        choices=BACKENDS,
    )
    preset: str | None = setting(
        None,
        "Model",
        "the pretrained encoder: a KerasHub name, a folder in Keras or Hugging Face format, hf://… or kaggle://…, or "
        f"scratch:SIZE for random weights ({', '.join(SCRATCH_SIZES)})",
    )
    pooling: str | None = setting(
        None,
        "Model",
        f"how hidden states become one vector: {', '.join(POOLINGS)} for the models that end in an encoder, "
        f"{', '.join(LSTM_POOLINGS)} for those that end in an LSTM",
        choices=POOLINGS + LSTM_POOLINGS[:1],
    )
    embedding_dim: int | None = setting(None, "Model", "size of a word's vector (textcnn, bilstm)", least=1)
    embeddings: str | None = setting(
        None,
        "Model",
        "word vectors to begin with (textcnn, bilstm): a GloVe or word2vec text file, or a pretrained encoder as for "
        "--preset, that reads each word alone; default: random ones",
    )
    embedding_layers: int | None = setting(
        None,
        "Model",
        "of an encoder given to --embeddings: a word's vector is the mean of what its first N layers make of it; "
        "0: of its pieces in the token table; default: half of the layers",
        least=0,
    )
    frozen_embeddings: bool | None = setting(
        None, "Model", "leave the vectors of --embeddings as they are; default: they are trained too"
    )
    num_filters: int | None = setting(None, "Model", "filters of each width (textcnn)", least=1)
    kernel_sizes: tuple[int, ...] | None = setting(None, "Model", "widths of the convolutions (textcnn)", least=1)
    lstm_units: int | None = setting(None, "Model", "units of each direction (bilstm, bert_base_lstm)", least=1)
    dropout: float | None = setting(
        None, "Model", "the rate of every dropout of the model; 0 turns them all off", least=0, below=1
    )
    word_dropout: float | None = setting(
        None,
        "Model",
        "part of the words, or of an encoder's tokens, that a training batch does not show",
        least=0,
        below=1,
    )
    vocabulary_size: int | None = setting(
        None, "Model", "most entries of a vocabulary made from the training text; default: 20000", least=100
    )
    frozen_layers: int = setting(
        0, "Model", "train neither the encoder's embeddings nor its lowest N layers, where N > 0", least=0
    )
    lora_rank: int = setting(
        0, "Model", "train the encoder's query and value projections by updates of this rank only; 0: off", least=0
    )

    dataset: str = setting("sst2", "Data", "which data to train on, unless --train_file says", choices=DATASETS)
    data_dir: str | None = setting(None, "Data", "a folder with SST-2's train.tsv and dev.tsv")
    train_file: str | None = setting(None, "Data", "your own training data: .tsv, .csv or .jsonl")
    validation_file: str | None = setting(None, "Data", "your own validation data: .tsv, .csv or .jsonl")
    text_column: str | None = setting(None, "Data", "column of the text; default: sentence, text, review or content")
    label_column: str | None = setting(
        None, "Data", "column of the label; default: label, labels, class, category or target"
    )
    max_train_examples: int | None = setting(None, "Data", "train on the first N examples only", least=1)
    max_length: int | None = setting(
        None, "Data", "most tokens of a sentence, special ones included; the rest is cut off", least=3
    )
    num_buckets: int | None = setting(
        None,
        "Data",
        "most different lengths of batches; default: where each is compiled, as by jax, one for every 20 steps, up to "
        "12; else 64",
        least=1,
        most=64,
    )

    epochs: int | None = setting(None, "Recipe", "passes over the training data", least=1)
    batch_size: int | None = setting(None, "Recipe", "sentences in a batch", least=1)
    learning_rate: float | None = setting(None, "Recipe", "the highest learning rate", above=0)
    layer_decay: float | None = setting(
        None,
        "Recipe",
        "each layer of the encoder, or the table of word vectors, learns at this part of the rate of the layer above, "
        "as 0.8; 1: all alike",
        above=0,
        most=1,
    )
    schedule: str | None = setting(
        None, "Recipe", "what follows the warm-up: constant, or linear decay to 0", choices=SCHEDULES
    )
    warmup_fraction: float | None = setting(
        None, "Recipe", "part of all updates over which the rate climbs from 0", least=0, most=1
    )
    weight_decay: float | None = setting(
        None, "Recipe", "AdamW's decay of weights; biases and norms are left alone", least=0
    )
    clip_norm: float = setting(
        1.0, "Recipe", "longest global gradient norm; longer ones are scaled down; 0: no clipping", least=0
    )
    gradient_accumulation_steps: int = setting(
        1, "Recipe", "batches whose gradients are averaged for one update", least=1
    )
    ema_momentum: float | None = setting(
        None,
        "Recipe",
        "validate and keep the moving average of the weights, of which each update leaves this part, as 0.999; 0: off",
        least=0,
        below=1,
    )
    label_smoothing: float | None = setting(
        None, "Recipe", "part of the target spread over all classes; reported losses are without it", least=0, below=1
    )
    monitor: str = setting("loss", "Recipe", "the validation figure by which an epoch is the best", choices=MONITORS)
    patience: int | None = setting(
        None, "Recipe", "stop when the best epoch lies this many epochs back; default: never", least=1
    )
    precision: str = setting(
        "auto", "Recipe", "number format of the work; auto: the fastest here that keeps accuracy", choices=PRECISIONS
    )
    deterministic: bool = setting(
        False, "Recipe", "use only kernels that give the same bits each time, where a GPU has faster ones"
    )
    seed: int = setting(0, "Recipe", "decides initial weights, batches and dropout", least=0, below=2**31)

    workers: int = setting(
        1, "Workers", "processes that share each batch, one for each GPU, or for some cores, of this machine", least=1
    )
    cluster: str | None = setting(
        None, "Workers", "a Ray cluster that places them: auto, HOST:PORT or ray://HOST:10001; default: this machine"
    )

    output_dir: str | None = setting(None, "Output", "the run's folder; default: results/runs/MODEL-BACKEND-DIGEST")
    overwrite: bool = setting(False, "Output", "replace the run that the folder holds")
    checkpoint_seconds: float = setting(
        300.0, "Output", "save the whole state this often inside an epoch; 0: only at epochs' ends", least=0
    )
    save_predictions: bool = setting(
        False, "Output", "at the end, write the best epoch's probabilities for every validation sentence"
    )
    measure_peak: bool = setting(
        False, "Output", "at the end, measure how fast this device multiplies matrices, and what part training reached"
    )
    tensorboard: bool = setting(False, "Output", "write TensorBoard logs into the run's folder")

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = settings.coerced(field, getattr(self, field.name))
            if field.name in _PATHS and isinstance(value, str) and value.startswith("~"):
                value = os.path.expanduser(value)
            object.__setattr__(self, field.name, value)
            settings.check(field, value)
        _check_together(self)

    @property
    def architecture(self):
        return ARCHITECTURES[self.model]

    def resolved(self, backend):
        """This config with every None that has a default filled in, for a run on `backend`."""
        filled = {name: value for name, value in self.architecture.defaults.items() if getattr(self, name) is None}
        if self.embeddings is not None:
            recipe = self.architecture.defaults_with_embeddings
            filled |= {name: value for name, value in recipe.items() if getattr(self, name) is None}
            filled.pop("embedding_dim", None)  # the vectors' own
            if self.frozen_embeddings and self.layer_decay is None:
                filled["layer_decay"] = 1.0
        filled["backend"] = backend
        if self.preset is None:
            filled["preset"] = self.architecture.preset
        elif self.learning_rate is None and self.preset.removeprefix("scratch:") in SCRATCH_LEARNING_RATES:
            filled["learning_rate"] = SCRATCH_LEARNING_RATES[self.preset.removeprefix("scratch:")]
        if self.pooling is None and self.architecture.poolings:
            filled["pooling"] = self.architecture.poolings[0]
        if self.vocabulary_size is None and not _has_own_vocabulary(filled.get("preset", self.preset)):
            filled.setdefault("vocabulary_size", 20000)
        config = dataclasses.replace(self, **filled)
        if config.output_dir is None:
            config = dataclasses.replace(config, output_dir=_default_output_dir(config))
        return config

    def to_flags(self):
        """The command line that gives this config: ["--name=value", …] of all that is not the default."""
        default = RunConfig().to_json()
        settings = {name: value for name, value in self.to_json().items() if value != default[name]}
        return [
            f"--{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
            for name, value in settings.items()
        ]

    def to_json(self):
        """A dict that json can write and `from_json` reads back to an equal config."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, values):
        """The config that `to_json` wrote.

        Raises:
            InputError: a setting is unknown or its value is not possible.
        """
        if not isinstance(values, dict):
            raise InputError(f"a config must be a JSON object; got {type(values).__name__}")
        return cls.from_settings(**values)

    @classmethod
    def from_settings(cls, /, **values):
        """A config from keywords.

        Raises:
            InputError: a setting is unknown (the nearest one is named) or its value is not possible.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise InputError(f"unknown setting {name!r}{did_you_mean(name, names)}")
        return cls(**values)

    def differences(self, other, going_on=False):
        """["name: this one's value, the other's value", …] of the settings that make two runs different runs.

        What the other leaves to the run does not differ from what this run made of it.

        Args:
            other: the RunConfig asked for, resolved.
            going_on: leave out what may change where a run goes on.
        """
        same = NOT_THE_RUN + (MAY_CHANGE if going_on and other.epochs >= self.epochs else ())
        pairs = {name: (value, getattr(other, name)) for name, value in vars(self).items()}
        return [
            f"{name}: {there!r} there, {now!r} now"
            for name, (there, now) in pairs.items()
            if there != now and not (name in _LEFT_TO_THE_RUN and now in (None, "auto"))
            # Without files of one's own the data is another one.
            if name not in same or (name in _OWN_FILES and (there is None or now is None))
        ]

    def going_on_as(self, other):
        """This run's config as it goes on with what may change taken from another."""
        changed = {name: getattr(other, name) for name in MAY_CHANGE + NOT_THE_RUN}
        return dataclasses.replace(self, **changed | {"data_dir": other.data_dir or self.data_dir})


# Where a run is made and written, how often it is saved, what is done about an older one: none makes it another run.
NOT_THE_RUN = (
    *("cluster", "output_dir", "overwrite"),
    *("checkpoint_seconds", "save_predictions", "measure_peak", "tensorboard"),
)
# An unfinished run may go on with other values of these: epochs only upwards; of data, another place of the same data.
MAY_CHANGE = ("backend", "workers", "epochs", "patience", "data_dir", "train_file", "validation_file")
_OWN_FILES = ("train_file", "validation_file")
# What the run finds where it is not given: by the device, the number of batches, the vectors' size, the cache.
_LEFT_TO_THE_RUN = ("precision", "num_buckets", "embedding_dim", "data_dir")
# In these ~ is the home folder: no shell sees to it in --output_dir=~/runs.
_PATHS = ("preset", "embeddings", "data_dir", "train_file", "validation_file", "output_dir")


def _check_together(config):
    """Raises InputError for settings that are possible each, but not together."""
    architecture = config.architecture
    if config.pooling is not None and config.pooling not in architecture.poolings:
        allowed = f"one of {', '.join(architecture.poolings)}" if architecture.poolings else "left out"
        raise InputError(f"pooling must be {allowed} for {config.model}; got {config.pooling!r}")
    for name, models in ONLY_FOR.items():
        value = getattr(config, name)
        if value and value != RunConfig.__dataclass_fields__[name].default and not architecture.has(name):
            raise InputError(f"{name} is a setting of {', '.join(models)}; {config.model} has none")
    if config.frozen_embeddings and config.embeddings is None:
        raise InputError("frozen_embeddings needs embeddings: random vectors must be trained; give --embeddings")
    if config.frozen_embeddings and config.layer_decay not in (None, 1):
        raise InputError("layer_decay is for word vectors that are trained; leave it out, or --frozen_embeddings=false")
    if config.embedding_layers is not None and config.embeddings is None:
        raise InputError("embedding_layers needs embeddings: the encoder whose layers they are; give --embeddings")
    if config.embeddings is not None and config.embeddings.startswith("scratch:"):
        raise InputError(f"embeddings must be pretrained; got {config.embeddings!r}, which is random")
    if config.vocabulary_size is not None and _has_own_vocabulary(config.preset or architecture.preset):
        raise InputError(
            "vocabulary_size is for vocabularies made from the training text; a pretrained preset has its own"
        )
    if bool(config.train_file) != bool(config.validation_file):
        raise InputError("train_file and validation_file must be given together; got only one of them")
    if config.train_file and config.data_dir:
        raise InputError("give either data_dir or train_file and validation_file; got both")


def _has_own_vocabulary(preset):
    return preset is not None and not preset.startswith("scratch:")


def _default_output_dir(config):
    """results/runs/MODEL-BACKEND-DIGEST: the same settings give the same folder, other settings another one."""
    identity = {name: value for name, value in config.to_json().items() if name not in NOT_THE_RUN}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    return f"results/runs/{config.model}-{config.backend}-{digest}"
