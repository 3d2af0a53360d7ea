"""A transformer layer as one function of few operations.

KerasHub's TransformerEncoder is fourteen Keras layers. On torch each looks at its arguments, casts and checks in every
step; on TensorFlow each is a dozen small operations. Here the same is one function, made of what a backend's `kernels`
have. Weights, seeds and results stay KerasHub's: what differs is rounding.

    rows(x, num_tokens)                   the first tokens of each sentence, (batch * num_tokens, dim); None: all
    attention(layer, x, first, padding_mask, training)
                                          multi-head attention of the first tokens over all, (batch * num_tokens, dim)
    product(x, layer)                     rows times a dense layer's kernel, plus its bias
    activated(x, activation)              a dense layer's activation
    normalised(x, layer)                  layer normalisation, in float32 inside
    dropped(x, layer, training)           what a dropout layer leaves, by its own seed
    sentences(rows, x)                    rows as (batch, num_tokens, dim) again
"""

import functools

import keras
from keras.src.backend.common.variables import AutocastScope

from kmodels.layers.first_token import FirstTokenOfLayer


def prepare(model, kernels):
    """Has the transformer layers of a model computed by a backend's kernels.

    A layer that is not just what KerasHub's BERT and RoBERTa have stays as it is.

    Args:
        model: keras.Model.
        kernels: a module with the functions above.

    Returns:
        Those layers, whose `call` takes (inputs, padding_mask, training).
    """
    prepared = []
    for layer in model._flatten_layers():
        call = _call_of(layer, kernels)
        if call is not None:
            layer.call = call
            prepared.append(layer)
    return prepared


def _call_of(layer, kernels):
    """The function to call instead of a layer's own; None to leave it."""
    if isinstance(layer, FirstTokenOfLayer) and _is_plain(layer.transformer_layer):
        return functools.partial(_call_first, layer.transformer_layer, kernels, layer.call)
    return functools.partial(_call, layer, kernels, layer.call) if _is_plain(layer) else None


def _is_plain(layer):
    """True for a TransformerEncoder of KerasHub's own class that normalises after each block."""
    kind = type(layer)
    if kind.__name__ != "TransformerEncoder" or not kind.__module__.startswith("keras_hub."):
        return False
    attention = layer._self_attention_layer
    return not layer.normalize_first and attention._use_bias and not getattr(attention, "_use_gate", False)


def _call(layer, kernels, keras_call, inputs, padding_mask=None, attention_mask=None, training=None, **more):
    """TransformerEncoder.call."""
    if attention_mask is not None or more or not _can_compute(layer, padding_mask):
        return keras_call(inputs, padding_mask, attention_mask, training=training, **more)
    return _computed(layer, kernels, inputs, padding_mask, training)


def _call_first(layer, kernels, keras_call, x, padding_mask, training=None):
    """FirstTokenOfLayer.call."""
    if not _can_compute(layer, padding_mask):
        return keras_call(x, padding_mask, training=training)
    return _computed(layer, kernels, x, padding_mask, training, num_tokens=1)[:, 0]


def _can_compute(layer, padding_mask):
    """True if it is said what is padding, and the products are not quantized."""
    return padding_mask is not None and layer._feedforward_output_dense.quantization_mode is None


def _computed(layer, kernels, x, padding_mask, training, num_tokens=None):
    """What a TransformerEncoder gives for the first tokens of each sentence.

    Args:
        layer: the TransformerEncoder.
        kernels: as `prepare` has them.
        x: (batch, length, dim).
        padding_mask: (batch, length), 0 on padding.
        training: whether anything is dropped.
        num_tokens: for how many tokens; None for all.

    Returns:
        (batch, num_tokens, dim), of the type of x.
    """
    with AutocastScope(None):  # weights as they are; each is cast where it is used
        first = kernels.rows(x, num_tokens)
        y = kernels.attention(layer._self_attention_layer, x, first, padding_mask, training)
        y = kernels.dropped(y, layer._self_attention_dropout, training)
        y = kernels.normalised(y + first, layer._self_attention_layer_norm)
        inner = layer._feedforward_intermediate_dense
        z = kernels.activated(kernels.product(y, inner), inner.activation)
        z = kernels.product(z, layer._feedforward_output_dense)
        z = kernels.dropped(z, layer._feedforward_dropout, training)
        return kernels.sentences(kernels.normalised(z + y, layer._feedforward_layer_norm), x)


def dropped(x, layer, training):
    """The kernel of that name by Keras's own function, which a backend may have replaced."""
    if not training or not layer.rate:
        return x
    return keras.random.dropout(x, layer.rate, seed=layer.seed_generator)


def value_of(weight):
    """A weight as the framework has it; one with low-rank updates is that already."""
    return weight.value if isinstance(weight, keras.Variable) else weight
