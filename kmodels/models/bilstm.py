"""BiLSTM: a bidirectional LSTM over word vectors."""

import keras

from kmodels.layers.bidirectional_lstm import BidirectionalLSTM
from kmodels.layers.word_embedding import WordEmbedding
from kmodels.models.inputs import dropout_layer, logits_layer, token_inputs


def bilstm(
    vocabulary_size,
    num_classes,
    embedding_dim=300,
    lstm_units=150,
    pooling="last",
    dropout=0.5,
    word_dropout=0.0,
    word_vectors=None,
    frozen_embeddings=False,
    layer_decay=1.0,
    seed=0,
):
    """A recurrent sentence classifier.

    Args:
        vocabulary_size: number of words.
        num_classes: number of classes.
        embedding_dim: size of a word's vector.
        lstm_units: size of each direction's state.
        pooling: "last" (the last states of both directions), "mean" or "max" over the words.
        dropout: rate on the vectors of a batch's words and before the last layer.
        word_dropout: part of the words that a training batch does not show.
        word_vectors: initial vectors, float32, (vocabulary_size, embedding_dim); None for random ones.
        frozen_embeddings: leave the vectors as they are.
        layer_decay: the vectors learn at this part of the learning rate.
        seed: of the initial weights, the same numbers on every backend.

    Returns:
        keras.Model from {"token_ids": int, (batch, length); "padding_mask": bool, (batch, length)} to float32 logits,
        (batch, num_classes).

    Source: Graves & Schmidhuber 2005; as a sentence classifier, Tai et al. 2015 (Bidirectional LSTM).
    """
    inputs = token_inputs()
    padding_mask = inputs["padding_mask"]
    embedding = WordEmbedding(
        vocabulary_size,
        embedding_dim,
        word_dropout,
        dropout,
        table=word_vectors,
        seed=seed,
        trainable=not frozen_embeddings,
        learning_rate_factor=layer_decay,
        name="embedding",
    )
    x = embedding(inputs["token_ids"], padding_mask)  # (batch, length, embedding_dim)
    x = BidirectionalLSTM(lstm_units, pooling, seed=seed, name="lstm")(x, padding_mask)  # (batch, 2 * lstm_units)
    x = dropout_layer(dropout, seed, "dropout")(x)
    return keras.Model(inputs, logits_layer(num_classes, seed)(x), name="bilstm")
