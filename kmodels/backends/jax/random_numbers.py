"""Random numbers on JAX: dropout that a CPU draws quickly, and other numbers for each of several workers."""

import contextlib
import contextvars

import jax
import numpy as np
from keras.src.backend.jax import random as keras_random

_keras_dropout = keras_random.dropout
_keras_draw_seed = keras_random.jax_draw_seed
_workers: contextvars.ContextVar[str | None] = contextvars.ContextVar("_workers", default=None)


def dropout(inputs, rate, noise_shape=None, seed=None):
    """Keras's dropout; an element is dropped by a hash of its number and two random numbers of the call.

    JAX's own generator, which is made for more than coin tosses, takes seven times as long on a CPU.

    Args:
        inputs: jax.Array, float.
        rate, noise_shape, seed: as keras.random.dropout has them.

    Source: Wellons 2018, "Prospecting for Hash Functions" (the shifts and factors of its lowest bias).
    """
    dropped = round(rate * 2**32)
    if noise_shape is not None or not 0 < dropped < 2**32:
        return _keras_dropout(inputs, rate, noise_shape, seed)
    first, second = jax.random.bits(keras_random.jax_draw_seed(seed), (2,), "uint32")
    hashed = jax.lax.iota("uint32", inputs.size).reshape(inputs.shape) * np.uint32(0x9E3779B9) + first
    hashed = (hashed ^ (hashed >> 16)) * np.uint32(0x21F0AAAD)
    hashed = (hashed ^ (hashed >> 15) ^ second) * np.uint32(0xD35A2D97)
    hashed = hashed ^ (hashed >> 15)
    return jax.lax.select(hashed >= np.uint32(dropped), inputs / (1 - rate), jax.numpy.zeros_like(inputs))


@contextlib.contextmanager
def of_each_worker(axis):
    """A context for tracing what each worker computes by itself: every one draws numbers of its own.

    Args:
        axis: the name of the workers' axis.
    """
    before = _workers.set(axis)
    try:
        yield
    finally:
        _workers.reset(before)


def draw_seed(seed):
    """Keras's, from which a worker's rank makes one of its own where they compute apart: uint32, (2,)."""
    drawn, axis = _keras_draw_seed(seed), _workers.get()
    return drawn if axis is None else jax.random.fold_in(drawn, jax.lax.axis_index(axis))
