"""Classifiers that start from a KerasHub encoder: BERT or RoBERTa, with pooling or with an LSTM on top."""

import keras

from kmodels.layers.bidirectional_lstm import BidirectionalLSTM
from kmodels.layers.first_token import FirstTokenOfLayer
from kmodels.layers.hidden_tokens import HiddenTokens, ShownStates
from kmodels.layers.initializers import TruncatedNormal
from kmodels.layers.pooling import MaskedPooling
from kmodels.models.inputs import dropout_layer, encoder_features, logits_layer, token_inputs

# Devlin et al. 2019 draw every new weight with this standard deviation.
STDDEV = 0.02


def encoder_pool(backbone, num_classes, pooling="pooler", dropout=0.1, word_dropout=0.0, seed=0):
    """An encoder, one vector a sentence, a linear layer.

    Args:
        backbone: keras_hub BertBackbone or RobertaBackbone.
        num_classes: number of classes.
        pooling: "pooler": the first token through dense + tanh, pretrained in BERT and new in RoBERTa; or "first",
            "mean" or "max" of the last hidden states.
        dropout: rate before the last layer.
        word_dropout: part of the tokens, but not of first ones, that a training batch does not show.
        seed: of the new layers' initial weights, the same numbers on every backend.

    Returns:
        keras.Model from {"token_ids": int, (batch, length); "padding_mask": bool, (batch, length)} to float32 logits,
        (batch, num_classes).

    Source: Devlin et al. 2019, section 4.1; Liu et al. 2019 (RoBERTa).
    """
    inputs = token_inputs()
    shown = _shown(inputs, word_dropout, seed)
    if pooling in ("mean", "max"):
        pooled = MaskedPooling(pooling, name="pooling")(_encode(backbone, shown), shown["padding_mask"])
        _freeze_unused_pooler(backbone)
    elif pooling == "first":
        pooled = _encode_first(backbone, shown)
        _freeze_unused_pooler(backbone)
    elif hasattr(backbone, "pooled_dense"):
        pooled = backbone.pooled_dense(_encode_first(backbone, shown))
    else:
        first = _encode_first(backbone, shown)
        pooled = keras.layers.Dense(
            backbone.hidden_dim,
            activation="tanh",
            kernel_initializer=TruncatedNormal(STDDEV, seed, "pooled_dense/kernel"),
            name="pooled_dense",
        )(dropout_layer(dropout, seed, "pooling_dropout")(first))
    x = dropout_layer(dropout, seed, "dropout")(pooled)
    return keras.Model(inputs, logits_layer(num_classes, seed, STDDEV)(x), name="encoder_pool")


def encoder_lstm(backbone, num_classes, lstm_units=256, pooling="last", dropout=0.1, word_dropout=0.0, seed=0):
    """An encoder, a bidirectional LSTM over its sequence output, a linear layer.

    Args:
        backbone: keras_hub BertBackbone or RobertaBackbone.
        num_classes: number of classes.
        lstm_units: size of each direction's state.
        pooling: "last" (the last states of both directions), "mean" or "max" over the tokens.
        dropout: rate before the last layer.
        word_dropout: part of the tokens, but not of first ones, that a training batch does not show.
        seed: of the new layers' initial weights, the same numbers on every backend.

    Returns:
        keras.Model from {"token_ids": int, (batch, length); "padding_mask": bool, (batch, length)} to float32 logits,
        (batch, num_classes).
    """
    inputs = token_inputs()
    shown = _shown(inputs, word_dropout, seed)
    hidden = _encode(backbone, shown)  # (batch, length, hidden_dim)
    if word_dropout:  # by the padding mask alone the LSTM would read what stands at hidden tokens, too
        hidden = ShownStates(name="shown_states")(hidden, shown["padding_mask"])
    _freeze_unused_pooler(backbone)
    lstm = BidirectionalLSTM(lstm_units, pooling, seed=seed, name="lstm")
    x = lstm(hidden, inputs["padding_mask"])  # (batch, 2 * lstm_units)
    x = dropout_layer(dropout, seed, "dropout")(x)
    return keras.Model(inputs, logits_layer(num_classes, seed, STDDEV)(x), name="encoder_lstm")


def _shown(inputs, word_dropout, seed):
    """The inputs with another padding mask, if some tokens are hidden while training."""
    if not word_dropout:
        return inputs
    return inputs | {"padding_mask": HiddenTokens(word_dropout, seed, name="word_dropout")(inputs["padding_mask"])}


def _encode(backbone, inputs):
    """The last hidden states: (batch, length, hidden_dim)."""
    outputs = backbone(encoder_features(backbone, inputs))
    return outputs["sequence_output"] if isinstance(outputs, dict) else outputs


def _encode_first(backbone, inputs):
    """The last hidden state of the first token, (batch, hidden_dim); the last layer computes no other.

    The encoder's layers become the model's in two parts: all below the last in a model, and the last.
    """
    features = encoder_features(backbone, inputs)
    last = backbone.transformer_layers[-1]
    x, _ = last.input  # the hidden states below, and the padding mask, in the encoder's own graph
    below = keras.Model(backbone.input, x, name=backbone.name)
    below.num_layers, below.hidden_dim = backbone.num_layers - 1, backbone.hidden_dim
    return FirstTokenOfLayer(last, dtype=last.dtype_policy, name="first_token")(
        below(features), features["padding_mask"]
    )


def _freeze_unused_pooler(backbone):
    """Keeps the optimizer from decaying a pretrained pooler that no loss reaches."""
    if hasattr(backbone, "pooled_dense"):
        backbone.pooled_dense.trainable = False
