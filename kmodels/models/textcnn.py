"""TextCNN: convolutions over word vectors and their maximum over time. Source: Kim 2014."""

import keras

from kmodels.layers.convolutions import ConvolutionMaxima
from kmodels.layers.word_embedding import WordEmbedding
from kmodels.models.inputs import dropout_layer, logits_layer, token_inputs


def textcnn(
    vocabulary_size,
    num_classes,
    embedding_dim=300,
    num_filters=100,
    kernel_sizes=(2, 3, 4, 5),
    dropout=0.5,
    word_dropout=0.0,
    word_vectors=None,
    frozen_embeddings=False,
    layer_decay=1.0,
    seed=0,
):
    """A convolutional sentence classifier.

    Args:
        vocabulary_size: number of words.
        num_classes: number of classes.
        embedding_dim: size of a word's vector.
        num_filters: filters of each width.
        kernel_sizes: widths of the convolutions, in words, each once.
        dropout: rate before the last layer.
        word_dropout: part of the words that a training batch does not show.
        word_vectors: initial vectors, float32, (vocabulary_size, embedding_dim); None for random ones.
        frozen_embeddings: leave the vectors as they are.
        layer_decay: the vectors learn at this part of the learning rate.
        seed: of the initial weights, the same numbers on every backend.

    Returns:
        keras.Model from {"token_ids": int, (batch, length); "padding_mask": bool, (batch, length)} to float32 logits,
        (batch, num_classes).

    Source: Kim 2014 (CNN-rand; with vectors, CNN-non-static or CNN-static; widths and sizes as given).
    """
    inputs = token_inputs()
    padding_mask = inputs["padding_mask"]
    embedding = WordEmbedding(
        vocabulary_size,
        embedding_dim,
        word_dropout,
        table=word_vectors,
        seed=seed,
        trainable=not frozen_embeddings,
        learning_rate_factor=layer_decay,
        name="embedding",
    )
    x = embedding(inputs["token_ids"], padding_mask)  # (batch, length, embedding_dim)
    # Only windows centred on a word count, and beyond the sentence all is zero: so padding changes nothing.
    convolutions = ConvolutionMaxima(num_filters, kernel_sizes, seed, name="convolutions")
    x = convolutions(x, padding_mask)  # (batch, num_widths * num_filters)
    x = dropout_layer(dropout, seed, "dropout")(x)
    return keras.Model(inputs, logits_layer(num_classes, seed)(x), name="textcnn")
