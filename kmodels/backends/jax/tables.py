"""Gradients of tables of vectors that several workers look up: the vectors' own gradients go round, not the table's."""

import contextlib
import contextvars
import functools

import jax
import keras
from jax import numpy as jnp
from keras.src.backend.jax import numpy as keras_numpy

_keras_take = keras_numpy.take
# id of a table's variable -> the name of the workers' axis
_averaged: contextvars.ContextVar[dict[int, str] | None] = contextvars.ContextVar("_averaged", default=None)


def take(x, indices, axis=None):
    """Keras's `take`, whose gradient for a table is the mean over the workers while they are `averaged`."""
    workers = (_averaged.get() or {}).get(id(x))
    if workers is None or axis != 0:
        return _keras_take(x, indices, axis)
    return _lookup(x.value, jnp.asarray(indices), workers)


def tables_of(model):
    """What a model trains that is looked up and used for nothing else: [keras.Variable, …]."""
    from kmodels.layers.word_embedding import WordEmbedding

    kinds = (WordEmbedding, keras.layers.Embedding)
    tables = [layer.embeddings for layer in model._flatten_layers() if isinstance(layer, kinds)]
    # With LoRA, what is looked up is a sum and no weight.
    return [table for table in tables if isinstance(table, keras.Variable) and table.trainable]


@contextlib.contextmanager
def averaged(tables, workers):
    """A context for tracing a worker's gradients: those of tables are the workers' mean already.

    Args:
        tables: [keras.Variable, …].
        workers: the name of the workers' axis.
    """
    before = _averaged.set({id(table): workers for table in tables})
    try:
        yield
    finally:
        _averaged.reset(before)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _lookup(table, places, workers):
    return jnp.take(table, places, axis=0)


def _looked_up(table, places, workers):
    return _lookup(table, places, workers), (table, places)


def _gradient(workers, kept, gradient):
    """The mean over the workers, by way of whatever is less to send: the vectors' gradients, or the table's."""
    table, places = kept
    places, gradient = places.reshape(-1), gradient.reshape(-1, table.shape[1])
    size = jax.lax.axis_size(workers)
    sends_vectors = size * len(places) < 2 * len(table)
    if sends_vectors:
        places, gradient = (jax.lax.all_gather(each, workers, tiled=True) for each in (places, gradient))
    whole = jnp.zeros_like(table).at[places].add(gradient) / size
    return whole if sends_vectors else jax.lax.psum(whole, workers), None


_lookup.defvjp(_looked_up, _gradient)
