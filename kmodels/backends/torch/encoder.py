"""A transformer layer in few calls of PyTorch.

KerasHub's TransformerEncoder is fourteen Keras layers, and each looks at its arguments, casts and checks in every step:
for a small encoder on a CPU that takes as long as half of its arithmetic. Here the same is one function. Weights, seeds
and results stay KerasHub's: what differs is rounding.
"""

import functools

import torch
from keras import Variable
from keras.src.backend.common.variables import AutocastScope
from torch.nn import functional

from kmodels.backends.torch.dropout import dropout
from kmodels.layers.first_token import FirstTokenOfLayer


def prepare(model):
    """Has the transformer layers of a model computed by `_computed`.

    A layer that is not just what KerasHub's BERT and RoBERTa have stays as it is.

    Args:
        model: keras.Model.
    """
    for layer in model._flatten_layers():
        call = _call_of(layer)
        if call is not None:
            layer.call = call


def _call_of(layer):
    """The function to call instead of a layer's own; None to leave it."""
    if isinstance(layer, FirstTokenOfLayer) and _is_plain(layer.transformer_layer):
        return functools.partial(_call_first, layer.transformer_layer, layer.call)
    return functools.partial(_call, layer, layer.call) if _is_plain(layer) else None


def _is_plain(layer):
    """True for a TransformerEncoder of KerasHub's own class that normalises after each block."""
    kind = type(layer)
    if kind.__name__ != "TransformerEncoder" or not kind.__module__.startswith("keras_hub."):
        return False
    attention = layer._self_attention_layer
    return not layer.normalize_first and attention._use_bias and not getattr(attention, "_use_gate", False)


def _call(layer, keras_call, inputs, padding_mask=None, attention_mask=None, training=None, **more):
    """TransformerEncoder.call."""
    if attention_mask is not None or more or not _can_compute(layer, inputs, padding_mask):
        return keras_call(inputs, padding_mask, attention_mask, training=training, **more)
    return _computed(layer, inputs, padding_mask, training, inputs.shape[1])


def _call_first(layer, keras_call, x, padding_mask, training=None):
    """FirstTokenOfLayer.call."""
    if not _can_compute(layer, x, padding_mask):
        return keras_call(x, padding_mask, training=training)
    return _computed(layer, x, padding_mask, training, 1)[:, 0]


def _can_compute(layer, x, padding_mask):
    """True for tensors of three dimensions, of a layer whose products are not quantized."""
    return (
        isinstance(x, torch.Tensor)
        and isinstance(padding_mask, torch.Tensor)
        and x.dim() == 3
        and layer._feedforward_output_dense.quantization_mode is None
    )


def _computed(layer, x, padding_mask, training, num_queries):
    """What the layer gives for the first tokens.

    Args:
        layer: keras_hub.layers.TransformerEncoder.
        x: (batch, length, dim).
        padding_mask: (batch, length), 0 on padding.
        training: whether anything is dropped.
        num_queries: for how many tokens of each sentence.

    Returns:
        (batch, num_queries, dim), of the type of x.
    """
    batch, _, dim = x.shape
    with AutocastScope(None):  # weights as they are; each is cast where it is used
        first = x[:, :num_queries].reshape(-1, dim)  # (batch * num_queries, dim)
        y = _attention(layer._self_attention_layer, x, first, padding_mask, training)
        y = _dropped(y, layer._self_attention_dropout, training)
        y = _normalised(y + first, layer._self_attention_layer_norm)
        inner, outer = layer._feedforward_intermediate_dense, layer._feedforward_output_dense
        z = _product(inner.activation(_product(y, inner)), outer)
        z = _dropped(z, layer._feedforward_dropout, training)
        z = _normalised(z + y, layer._feedforward_layer_norm)
    return z.view(batch, num_queries, dim)


def _attention(attention, x, first, padding_mask, training):
    """Multi-head attention of the first tokens over all: (batch * num_queries, dim)."""
    batch, length, dim = x.shape
    heads, size = attention._num_heads, attention._key_dim
    projections = [attention._query_dense, attention._key_dense, attention._value_dense]
    if first.shape[0] == batch * length:
        together = _product(first, *projections).view(batch, length, 3, heads, size)
        query, key, value = together.permute(2, 0, 3, 1, 4).reshape(3, batch * heads, length, size).unbind()
    else:
        query = _product(first, projections[0]).view(batch, -1, heads, size)
        query = query.transpose(1, 2).reshape(batch * heads, -1, size)
        together = _product(x.reshape(-1, dim), *projections[1:]).view(batch, length, 2, heads, size)
        key, value = together.permute(2, 0, 3, 1, 4).reshape(2, batch * heads, length, size).unbind()
    hidden = _hidden(padding_mask, heads, x.dtype)
    scores = torch.baddbmm(hidden, query, key.transpose(1, 2), alpha=attention._inverse_sqrt_key_dim)
    weights = _dropped(torch.softmax(scores, -1), attention._dropout_layer, training)
    mixed = torch.bmm(weights, value).view(batch, heads, -1, size)
    return _product(mixed.transpose(1, 2).reshape(-1, heads * size), attention._output_dense)


def _hidden(padding_mask, heads, dtype):
    """What is added to scores: a large negative number on padding, as Keras has it. (batch * heads, 1, length)."""
    number = -3e4 if dtype == torch.float16 else -1e9
    added = (padding_mask == 0).to(dtype).mul_(number)  # (batch, length)
    return added[:, None].expand(-1, heads, -1).reshape(-1, 1, added.shape[1])


def _product(x, *layers):
    """x (rows, dim) times the kernels of dense layers side by side, plus their biases: (rows, all their units)."""
    kernels = [_value(layer.kernel) for layer in layers]
    biases = [_value(layer.bias).reshape(-1) for layer in layers]
    kernels = [kernel.reshape(x.shape[1], -1) for kernel in kernels]
    kernel = kernels[0] if len(kernels) == 1 else torch.cat(kernels, 1)
    bias = biases[0] if len(biases) == 1 else torch.cat(biases)
    return torch.addmm(bias.to(x.dtype), x, kernel.to(x.dtype))


def _normalised(x, norm):
    """Layer normalisation, in float32 inside."""
    gamma, beta = _value(norm.gamma), _value(norm.beta)
    if x.device.type == "cpu":  # its kernel takes weights of another type
        return functional.layer_norm(x, x.shape[-1:], gamma, beta, norm.epsilon)
    return functional.layer_norm(x.float(), x.shape[-1:], gamma, beta, norm.epsilon).to(x.dtype)


def _dropped(x, layer, training):
    return dropout(x, layer.rate, seed=layer.seed_generator) if training and layer.rate else x


def _value(weight):
    """The tensor of a weight; one with low-rank updates is a tensor already."""
    return weight.value if isinstance(weight, Variable) else weight
