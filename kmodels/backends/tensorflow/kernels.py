"""What a transformer layer is made of on TensorFlow: the kernels of `kmodels.backends.encoder`."""

import keras
import tensorflow as tf

from kmodels.backends.encoder import dropped, value_of


def rows(x, num_tokens):
    return tf.reshape(x[:, :num_tokens], (-1, x.shape[-1]))


def sentences(rows, x):
    return tf.reshape(rows, (tf.shape(x)[0], -1, x.shape[-1]))


def attention(layer, x, first, padding_mask, training):
    batch, dim = tf.shape(x)[0], x.shape[-1]
    heads, size = layer._num_heads, layer._key_dim

    def by_heads(rows, layer):
        """(batch, heads, tokens, size)."""
        return tf.transpose(tf.reshape(product(rows, layer), (batch, -1, heads, size)), (0, 2, 1, 3))

    every = tf.reshape(x, (-1, dim))
    query = by_heads(first, layer._query_dense)
    key, value = by_heads(every, layer._key_dense), by_heads(every, layer._value_dense)
    scores = tf.matmul(query, key, transpose_b=True) * layer._inverse_sqrt_key_dim
    weights = tf.nn.softmax(scores + _hidden(padding_mask, x.dtype))
    mixed = tf.matmul(dropped(weights, layer._dropout_layer, training), value)
    return product(tf.reshape(tf.transpose(mixed, (0, 2, 1, 3)), (-1, heads * size)), layer._output_dense)


def _hidden(padding_mask, dtype):
    """What is added to scores: a large negative number on padding, as Keras has it. (batch, 1, 1, length)."""
    number = -3e4 if dtype == tf.float16 else -1e9
    return tf.cast(tf.equal(tf.cast(padding_mask, tf.int32), 0), dtype)[:, None, None] * number


def product(x, layer):
    kernel, bias = (tf.cast(value_of(weight), x.dtype) for weight in (layer.kernel, layer.bias))
    return tf.nn.bias_add(tf.matmul(x, tf.reshape(kernel, (x.shape[-1], -1))), tf.reshape(bias, (-1,)))


def activated(x, activation):
    """GELU by erf, which TensorFlow computes for many numbers at once; its own takes erfc, one by one."""
    return _gelu(x) if activation is keras.activations.gelu else activation(x)


@tf.custom_gradient
def _gelu(x):
    """x times the part of a normal distribution below it. Source: Hendrycks & Gimpel 2016."""
    wide = tf.cast(x, tf.float32)
    below = 0.5 + 0.5 * tf.math.erf(wide * 0.5**0.5)

    def gradient(upstream):
        slope = below + wide * tf.exp(-0.5 * tf.square(wide)) * 0.3989422804014327  # 1 / sqrt(2 pi)
        return upstream * tf.cast(slope, x.dtype)

    return tf.cast(wide * below, x.dtype), gradient


def normalised(x, layer):
    gamma, beta = (tf.convert_to_tensor(value_of(weight)) for weight in (layer.gamma, layer.beta))
    return _normalised(x, gamma, beta, layer)


def _normalised(x, gamma, beta, layer):
    """Layer normalisation whose gradient is the closed form: TensorFlow derives three times as many operations."""

    @tf.custom_gradient
    def computed(x, gamma, beta):
        centred = tf.cast(x, tf.float32)
        centred -= _mean(centred)
        inverse = tf.math.rsqrt(_mean(tf.square(centred)) + layer.epsilon)
        normal = centred * inverse

        def gradient(upstream):
            wide = tf.cast(upstream, tf.float32)
            along = wide * normal
            inner, outer = wide * gamma, along * gamma
            change = (
                inner - tf.reduce_mean(inner, -1, keepdims=True) - normal * tf.reduce_mean(outer, -1, keepdims=True)
            )
            return tf.cast(change * inverse, x.dtype), tf.reduce_sum(along, 0), tf.reduce_sum(wide, 0)

        return tf.cast(normal * gamma + beta, x.dtype), gradient

    return computed(x, gamma, beta)


def _mean(x):
    return tf.reduce_mean(x, -1, keepdims=True)
