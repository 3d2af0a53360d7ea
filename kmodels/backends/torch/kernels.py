"""What a transformer layer is made of on PyTorch: the kernels of `kmodels.backends.encoder`."""

import torch
from keras import Variable
from torch.nn import functional

from kmodels.backends.torch import products
from kmodels.backends.torch.dropout import dropout


def rows(x, num_tokens):
    return x[:, :num_tokens].reshape(-1, x.shape[-1])


def sentences(rows, x):
    return rows.view(x.shape[0], -1, x.shape[-1])


def attention(layer, x, first, padding_mask, training):
    batch, length, dim = x.shape
    heads, size = layer._num_heads, layer._key_dim
    projections = [layer._query_dense, layer._key_dense, layer._value_dense]

    def by_heads(rows, *layers):
        """(number of layers, batch * heads, tokens, size)"""
        together = product(rows, *layers).view(batch, -1, len(layers), heads, size)
        return together.permute(2, 0, 3, 1, 4).reshape(len(layers), batch * heads, -1, size)

    if first.shape[0] == batch * length:
        query, key, value = by_heads(first, *projections)
    else:
        (query,), (key, value) = by_heads(first, projections[0]), by_heads(x.reshape(-1, dim), *projections[1:])
    hidden = _hidden(padding_mask, heads, x.dtype)
    scores = torch.baddbmm(hidden, query, key.transpose(1, 2), alpha=layer._inverse_sqrt_key_dim)
    weights = dropped(torch.softmax(scores, -1), layer._dropout_layer, training)
    mixed = torch.bmm(weights, value).view(batch, heads, -1, size)
    return product(mixed.transpose(1, 2).reshape(-1, heads * size), layer._output_dense)


def _hidden(padding_mask, heads, dtype):
    """What is added to scores: a large negative number on padding, as Keras has it. (batch * heads, 1, length)."""
    number = -3e4 if dtype == torch.float16 else -1e9
    added = (padding_mask == 0).to(dtype).mul_(number)  # (batch, length)
    return added[:, None].expand(-1, heads, -1).reshape(-1, 1, added.shape[1])


def product(x, *layers):
    """As `kmodels.backends.encoder` says; of several layers, their kernels side by side."""
    kernels = [_value(_kernel(layer), x).reshape(x.shape[1], -1) for layer in layers]
    biases = [_value(layer.bias, x).reshape(-1) for layer in layers]
    kernel = kernels[0] if len(kernels) == 1 else torch.cat(kernels, 1)
    bias = biases[0] if len(biases) == 1 else torch.cat(biases)
    return products.product(bias.to(x.dtype), x, kernel.to(x.dtype))


def activated(x, activation):
    return activation(x)


def normalised(x, layer):
    gamma, beta = _value(layer.gamma, x), _value(layer.beta, x)
    if x.device.type == "cpu":  # its kernel takes weights of another type
        return functional.layer_norm(x, x.shape[-1:], gamma, beta, layer.epsilon)
    return functional.layer_norm(x.float(), x.shape[-1:], gamma, beta, layer.epsilon).to(x.dtype)


def dropped(x, layer, training):
    return dropout(x, layer.rate, seed=layer.seed_generator) if training and layer.rate else x


def _kernel(layer):
    """A layer's kernel; Keras's property looks for low-rank updates and for a dozen kinds of quantisation."""
    return layer.kernel if layer.lora_enabled or layer.quantization_mode else layer._kernel


def _value(weight, x):
    """The tensor of a weight, for work on x; one with low-rank updates is a tensor already."""
    if not isinstance(weight, Variable):
        return weight
    # `value` asks for scopes first, hundreds of times a step. Where Keras only finds out shapes, it has to.
    return weight.value if x.is_meta else weight._value
