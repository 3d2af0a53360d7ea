"""A batch in two halves, each computed by one of two cores.

TensorFlow has all cores compute one operation, and the next one begins when the last of them is done. Two halves of a
batch wait for each other only where their gradients are added up.
"""

import contextlib
import functools
import os

import keras
import tensorflow as tf

from kmodels.backends import cpu
from kmodels.backends.plain import is_plain

_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_OPERATIONS = ("Cast", "GetItem", "ZerosLike")  # of KerasHub's encoders, beside layers
_halved: list[bool] = []  # holds something once each operation of this process has one core


def split_cores():
    """Has an operation use one of two cores in this process.

    Without effect with another number of cores, or of threads by TensorFlow's own environment variables, with a GPU, or
    once TensorFlow has started.
    """
    threads = [os.environ.get(name, "") for name in _VARIABLES]
    if {number or str(cpu.cores()) for number in threads} != {"2"} or tf.config.list_physical_devices("GPU"):
        return
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(2)
        _halved[:] = [True]


def num_streams():
    """How many operations of this process are meant to run side by side."""
    return 2 if _halved else 1


def prepare(model):
    """Has a model compute the halves of a batch apart, if the cores of this process were split.

    A model stays as it is that may add to the loss or look at a batch as a whole.

    Args:
        model: keras.Model from {"token_ids", "padding_mask"} to logits.
    """
    if _halved and is_plain(model) and not _may_look_at_batch(model):
        model.call = functools.partial(_call, model.call)


def _may_look_at_batch(model):
    layers = list(model._flatten_layers())  # the model is one of them
    operations = [each for layer in layers if isinstance(layer, keras.Model) for each in layer.operations]
    return any(isinstance(layer, (keras.layers.BatchNormalization, keras.layers.Lambda)) for layer in layers) or any(
        type(each).__name__ not in _OPERATIONS for each in operations if not isinstance(each, keras.layers.Layer)
    )


def _call(keras_call, inputs, training=None, mask=None):
    masks = mask.values() if isinstance(mask, dict) else [mask]  # Keras gives each input one, None
    if any(each is not None for each in masks) or not all(tf.is_tensor(each) for each in inputs.values()):
        return keras_call(inputs, training=training, mask=mask)
    size = tf.shape(inputs["token_ids"])[0]
    half = tf.maximum(size // 2, 1)
    rest = tf.minimum(half, size - 1)  # one sentence is computed twice: operations fail on none
    first, second = ({name: each[rows] for name, each in inputs.items()} for rows in (slice(half), slice(rest, None)))
    return tf.concat([keras_call(part, training=training) for part in (first, second)], 0)[:size]
