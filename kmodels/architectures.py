"""The six classifiers by name, as plain data: what each reads, its default preset and its default recipe.

This table is read by `--help` and by the checks of a run's settings, so it imports no framework. The functions that
build the models stand in `kmodels.models`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

POOLINGS = ("pooler", "first", "mean", "max")
LSTM_POOLINGS = ("last", "mean", "max")


@dataclass(frozen=True)
class Architecture:
    """One sentence classifier.

    Attributes:
        name: what `--model` takes.
        builder: "module:function" inside `kmodels.models`, or a function (`kmodels.extensions`).
        reads: "words", "wordpiece" or "byte_level_bpe".
        summary: one line for `--help`.
        seed_accuracy: best accuracy on SST-2's dev of the run that kmodels set out from (results/seed.json), if there
            was one.
        preset: the pretrained encoder it starts from by default; None for models over words.
        poolings: the values `--pooling` takes, the default first; empty where there is nothing to choose.
        defaults: settings of `kmodels.config.RunConfig` that this architecture wants otherwise than the rest.
        defaults_with_embeddings: what it wants instead where it begins with pretrained word vectors.
    """

    name: str
    builder: str | Callable
    reads: str
    summary: str
    seed_accuracy: float | None = None
    preset: str | None = None
    poolings: tuple[str, ...] = ()
    defaults: dict = field(default_factory=dict)
    defaults_with_embeddings: dict = field(default_factory=dict)

    def has(self, name):
        """False for a setting that only other architectures have."""
        return name not in ONLY_FOR or self.name in ONLY_FOR[name] or name in self.defaults

    @property
    def is_encoder(self):
        """True for the models that start from a pretrained encoder."""
        return self.preset is not None


# What all models over words, and all that start from an encoder, want otherwise than the rest.
WORD_DEFAULTS = {
    "epochs": 5,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "weight_decay": 0.0,
    "warmup_fraction": 0.0,
    "max_length": 128,
    "word_dropout": 0.0,
    "ema_momentum": 0.0,
    "label_smoothing": 0.0,
}
# Devlin et al. 2019, appendix A.3: 2e-5 to 5e-5, batches of 16 or 32, 2 to 4 epochs.
ENCODER_DEFAULTS = {
    "epochs": 3,
    "batch_size": 32,
    "learning_rate": 2e-5,
    "schedule": "linear",
    "weight_decay": 0.01,
    "warmup_fraction": 0.1,
    "max_length": 128,
    "word_dropout": 0.0,
    "layer_decay": 1.0,
    "ema_momentum": 0.0,
    "label_smoothing": 0.0,
}

ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            "textcnn",
            "textcnn:textcnn",
            reads="words",
            summary="embedding, convolutions of several widths, max over time (Kim 2014)",
            seed_accuracy=0.8073,
            defaults=WORD_DEFAULTS
            | {"embedding_dim": 300, "num_filters": 100, "kernel_sizes": (2, 3, 4, 5), "dropout": 0.5}
            | {"epochs": 3, "schedule": "linear", "label_smoothing": 0.1, "layer_decay": 1.0},
            # A large table: more words that the training text has not.
            defaults_with_embeddings={"frozen_embeddings": False, "vocabulary_size": 50_000, "learning_rate": 5e-4}
            | {"label_smoothing": 0.0, "word_dropout": 0.1, "num_filters": 200, "kernel_sizes": (2, 3, 4, 5, 7)},
        ),
        Architecture(
            "bilstm",
            "bilstm:bilstm",
            reads="words",
            summary="embedding, bidirectional LSTM, maximum over time (--pooling=last: its last states, as the seed's)",
            seed_accuracy=0.8291,
            # The maximum first: it was two to three points better than the last states on SST-2 (results/README.md).
            poolings=("max", "last", "mean"),
            defaults=WORD_DEFAULTS
            | {"embedding_dim": 300, "lstm_units": 150, "dropout": 0.5, "word_dropout": 0.2}
            | {"epochs": 4, "schedule": "linear", "label_smoothing": 0.1, "layer_decay": 1.0},
            defaults_with_embeddings={"frozen_embeddings": False, "vocabulary_size": 50_000, "lstm_units": 256}
            | {"dropout": 0.3, "word_dropout": 0.1, "epochs": 5, "schedule": "constant", "ema_momentum": 0.999}
            | {"layer_decay": 0.1},
        ),
        Architecture(
            "bert_base_pool",
            "encoder:encoder_pool",
            reads="wordpiece",
            summary="BERT base, its pretrained pooler",
            seed_accuracy=0.9323,
            preset="bert_base_en_uncased",
            poolings=POOLINGS,
            defaults=ENCODER_DEFAULTS | {"dropout": 0.1},
        ),
        Architecture(
            "bert_large_pool",
            "encoder:encoder_pool",
            reads="wordpiece",
            summary="BERT large, its pretrained pooler",
            seed_accuracy=0.9312,
            preset="bert_large_en_uncased",
            poolings=POOLINGS,
            defaults=ENCODER_DEFAULTS | {"dropout": 0.1},
        ),
        Architecture(
            "bert_base_lstm",
            "encoder:encoder_lstm",
            reads="wordpiece",
            summary="BERT base, a bidirectional LSTM over its sequence output",
            seed_accuracy=0.9243,
            preset="bert_base_en_uncased",
            poolings=LSTM_POOLINGS,
            defaults=ENCODER_DEFAULTS | {"lstm_units": 256, "dropout": 0.1},
        ),
        Architecture(
            "roberta_pool",
            "encoder:encoder_pool",
            reads="byte_level_bpe",
            summary="RoBERTa large, first token through dense + tanh",
            seed_accuracy=0.9564,
            preset="roberta_large_en",
            poolings=POOLINGS,
            defaults=ENCODER_DEFAULTS | {"learning_rate": 1e-5, "dropout": 0.1},
        ),
    )
}

# Settings that only these architectures have, and those with a default of their own for it; for another one they are
# refused, not ignored.
_ENCODERS = tuple(name for name, architecture in ARCHITECTURES.items() if architecture.is_encoder)
ONLY_FOR = {
    "embedding_dim": ("textcnn", "bilstm"),
    "embeddings": ("textcnn", "bilstm"),
    "frozen_embeddings": ("textcnn", "bilstm"),
    "embedding_layers": ("textcnn", "bilstm"),
    "num_filters": ("textcnn",),
    "kernel_sizes": ("textcnn",),
    "lstm_units": ("bilstm", "bert_base_lstm"),
    "word_dropout": ("textcnn", "bilstm", *_ENCODERS),
    "preset": _ENCODERS,
    "layer_decay": ("textcnn", "bilstm", *_ENCODERS),
    "frozen_layers": _ENCODERS,
    "lora_rank": _ENCODERS,
}

# Turc et al. 2019, "Well-Read Students Learn Better": the miniature BERTs, and the two sizes of Devlin et al. 2019.
# name: (num_layers, hidden_dim); heads of 64 dimensions, an intermediate layer four times as wide.
SCRATCH_SIZES = {
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
    "large": (24, 1024),
}
# Random weights want larger steps than pretrained ones; the deeper the encoder, the smaller.
SCRATCH_LEARNING_RATES = {"tiny": 1e-3, "mini": 5e-4, "small": 5e-4, "medium": 2e-4, "base": 1e-4, "large": 5e-5}
