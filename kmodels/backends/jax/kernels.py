"""What a transformer layer is made of on JAX: the kernels of `kmodels.backends.encoder`.

XLA on a CPU multiplies matrices as they lie. For products over (batch, length) and over (heads, size), which Keras has,
it first makes transposed copies of what goes in, of the gradients and of the weights.
"""

import jax
from jax import numpy as jnp

from kmodels.backends.encoder import dropped, value_of


def rows(x, num_tokens):
    return x[:, :num_tokens].reshape(-1, x.shape[-1])


def sentences(rows, x):
    return rows.reshape(x.shape[0], -1, x.shape[-1])


def attention(layer, x, first, padding_mask, training):
    batch, _, dim = x.shape
    heads, size = layer._num_heads, layer._key_dim

    def by_heads(rows, layer):
        """(batch, heads, tokens, size)."""
        return product(rows, layer).reshape(batch, -1, heads, size).transpose(0, 2, 1, 3)

    every = x.reshape(-1, dim)
    query = by_heads(first, layer._query_dense)
    key, value = by_heads(every, layer._key_dense), by_heads(every, layer._value_dense)
    scores = jnp.einsum("bhqd,bhkd->bhqk", query, key) * layer._inverse_sqrt_key_dim
    weights = jax.nn.softmax(scores + _hidden(padding_mask, x.dtype))
    mixed = jnp.matmul(dropped(weights, layer._dropout_layer, training), value)
    return product(mixed.transpose(0, 2, 1, 3).reshape(-1, heads * size), layer._output_dense)


def _hidden(padding_mask, dtype):
    """What is added to scores: a large negative number on padding, as Keras has it. (batch, 1, 1, length)."""
    number = -3e4 if dtype == jnp.float16 else -1e9
    return (padding_mask == 0).astype(dtype)[:, None, None] * jnp.asarray(number, dtype)


def product(x, layer):
    kernel, bias = (value_of(weight).astype(x.dtype) for weight in (layer.kernel, layer.bias))
    return jnp.matmul(x, kernel.reshape(x.shape[-1], -1)) + bias.reshape(-1)


def activated(x, activation):
    return activation(x)


def normalised(x, layer):
    centred = x.astype(jnp.float32)
    centred -= centred.mean(-1, keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + layer.epsilon)
    return (centred * inverse * value_of(layer.gamma) + value_of(layer.beta)).astype(x.dtype)
