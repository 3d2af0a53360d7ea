"""Dropout that draws fewer random numbers on a CPU."""

import tensorflow as tf
from keras.src.backend.tensorflow import random as keras_random

_CHOICES = 2**16  # of a 16-bit number, which decides about an element
_keras_dropout = keras_random.dropout


def dropout(inputs, rate, noise_shape=None, seed=None):
    """Keras's dropout; each random number of 64 bits decides about four elements.

    The rate is that asked for to 1 / 131,072, and what stays is scaled by just that. On a GPU it is Keras's own, which
    XLA makes one kernel of.

    Args:
        inputs: tf.Tensor, float.
        rate, noise_shape, seed: as keras.random.dropout has them.
    """
    dropped = round(rate * _CHOICES)
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    if on_gpu or noise_shape is not None or not 0 < dropped < _CHOICES:
        return _keras_dropout(inputs, rate, noise_shape, seed)
    seed = keras_random._cast_seed(keras_random.draw_seed(seed))
    size = tf.size(inputs)
    numbers = tf.random.stateless_uniform([-(-size // 4)], seed, minval=None, maxval=None, dtype=tf.uint64)
    stays = tf.reshape(tf.bitcast(numbers, tf.uint16), [-1])[:size] >= dropped
    scale = tf.cast(tf.reshape(stays, tf.shape(inputs)), inputs.dtype) * (_CHOICES / (_CHOICES - dropped))
    return inputs * scale
