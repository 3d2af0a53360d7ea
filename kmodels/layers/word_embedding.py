"""Vectors of words, zero on padding."""

import keras
from keras import ops

from kmodels.layers.initializers import Uniform, dropout_seed


@keras.saving.register_keras_serializable("kmodels")
class WordEmbedding(keras.layers.Layer):
    """Looks words up and, while training, hides some of them.

    Args:
        vocabulary_size: number of words.
        embedding_dim: size of a word's vector.
        word_dropout: part of the words that a training batch shows as zero vectors (Iyyer et al. 2015, section 4).
        dropout: part of a vector's elements that training drops, to the nearest number of them, the same ones of all
            words of a batch and others in the next: what is multiplied with them need not be (Sarma et al. 2021).
        limit: initial vectors are uniform within ± this (Kim 2014 has 0.25).
        table: initial vectors to take instead, float32, (vocabulary_size, embedding_dim).
        learning_rate_factor: the vectors learn at this part of the rate (`kmodels.optimizers`).
        seed: of the initial vectors and of the hiding.

    Call arguments:
        token_ids: int, (batch, length).
        padding_mask: bool, (batch, length); True on real tokens.

    Returns:
        float, (batch, length, embedding_dim); zero on padding.

    Source: of such dropout, Sarma et al. 2021, "Structured in Space, Randomized in Time" (NeurIPS).
    """

    def __init__(
        self,
        vocabulary_size,
        embedding_dim,
        word_dropout=0.0,
        dropout=0.0,
        limit=0.25,
        table=None,
        learning_rate_factor=1.0,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.embedding_dim = embedding_dim
        self.word_dropout = word_dropout
        self.dropout = dropout
        self.num_dropped = min(round(dropout * embedding_dim), embedding_dim - 1)
        self.limit = limit
        self.table = table
        self.learning_rate_factor = learning_rate_factor
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(dropout_seed(seed, f"{self.name}/word_dropout"))
        if dropout:
            self.dropout_generator = keras.random.SeedGenerator(dropout_seed(seed, f"{self.name}/dropout"))

    def build(self, token_ids_shape, padding_mask_shape=None):
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.vocabulary_size, self.embedding_dim),
            initializer=self._initial,
        )
        self.embeddings.learning_rate_factor = self.learning_rate_factor
        self.table = None  # the weights hold it now

    def _initial(self, shape, dtype=None):
        if self.table is None:
            return Uniform(self.limit, self.seed, f"{self.name}/embeddings")(shape, dtype)
        return ops.convert_to_tensor(self.table, dtype=dtype)

    def call(self, token_ids, padding_mask, training=False):
        x = ops.take(self.embeddings, token_ids, axis=0)  # (batch, length, embedding_dim)
        if training and self.num_dropped:
            x = x * (ops.cast(self.kept(), x.dtype) * self.factor)
        return x * ops.cast(self.shown(padding_mask, training), x.dtype)[:, :, None]

    @property
    def factor(self):
        """By what the elements that training keeps are multiplied."""
        return self.embedding_dim / (self.embedding_dim - self.num_dropped)

    def kept(self):
        """Which elements of its words' vectors the next batch keeps: bool, (embedding_dim,)."""
        draw = keras.random.uniform((self.embedding_dim,), seed=self.dropout_generator)
        return ops.argsort(ops.argsort(draw)) >= self.num_dropped

    def shown(self, padding_mask, training):
        """Which tokens have their word's vector: bool, (batch, length)."""
        if not training or not self.word_dropout:
            return padding_mask
        draw = keras.random.uniform(ops.shape(padding_mask), seed=self.seed_generator)  # (batch, length)
        return ops.logical_and(padding_mask, draw >= self.word_dropout)

    def compute_output_shape(self, token_ids_shape, padding_mask_shape=None):
        return (*token_ids_shape, self.embedding_dim)

    def get_config(self):
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "word_dropout": self.word_dropout,
            "dropout": self.dropout,
            "limit": self.limit,
            "learning_rate_factor": self.learning_rate_factor,
            "seed": self.seed,
        }
