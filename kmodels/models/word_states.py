"""An encoder's lower layers as a source of word vectors."""

import keras
from keras import ops

from kmodels.layers.pooling import MaskedPooling
from kmodels.models.inputs import encoder_features, token_inputs


def word_states(backbone, num_layers):
    """A model that gives a word, read alone between the special tokens, one vector.

    Of each of the word's tokens, the mean of what enters the first layer and of what the first `num_layers` give; of
    the word, the mean over its tokens, the special ones left out. The lower half of the layers says most about a word
    by itself; what the upper ones add is about the sentence.

    Args:
        backbone: keras_hub BertBackbone or RobertaBackbone.
        num_layers: from 1 to the encoder's number of layers.

    Returns:
        keras.Model from {"token_ids": int, (batch, length); "padding_mask": bool, (batch, length)}, special tokens
        included, to float, (batch, hidden_dim).

    Source: Vulić et al. 2020, «Probing Pretrained Language Models for Lexical Semantics»: words in isolation, without
    special tokens, averaged over layers.
    """
    layers, dtype = backbone.transformer_layers[:num_layers], backbone.dtype_policy
    entering, _ = layers[0].input  # and the padding mask, in the encoder's own graph
    states = [entering, *(layer.output for layer in layers)]
    states = keras.layers.Average(dtype=dtype)(states)  # (batch, length, hidden_dim)
    inputs = token_inputs()
    x = keras.Model(backbone.input, states, name="lower_layers")(encoder_features(backbone, inputs))
    # A token that is neither the first nor the last has one after it.
    has_next = ops.cast(inputs["padding_mask"], "int32")[:, 2:]  # (batch, length - 2)
    inner = ops.cast(ops.pad(has_next, [[0, 0], [1, 1]]), "bool")  # (batch, length)
    return keras.Model(inputs, MaskedPooling("mean", dtype=dtype, name="pooling")(x, inner), name="word_states")
