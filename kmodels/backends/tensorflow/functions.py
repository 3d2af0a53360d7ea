"""One trace for all transformer layers that do the same.

TensorFlow makes a graph by Python, operation by operation, and then the gradient of each. The layers of an encoder
differ in their weights only, so one of them is traced, as a function of its weights, and put in for each.
"""

import functools
import json
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common.variables import AutocastScope


def prepare(layers):
    """Has transformer layers call one function, where they do the same.

    Args:
        layers: those of a model, as `kmodels.backends.encoder.prepare` gives them.
    """
    functions: dict[tuple, Any] = {}
    for layer in layers:
        function = functions.setdefault(_kind(layer), _function(layer))
        layer.call = functools.partial(_call, layer, function, layer.call)


def _kind(layer):
    """Equal for layers that give the same for equal inputs and weights."""
    settings = {name: value for name, value in layer.get_config().items() if name != "name"}
    variables = [(each.path.rpartition("/")[2], each.shape, each.dtype, each.trainable) for each in layer.variables]
    return type(layer), json.dumps(settings, sort_keys=True, default=str), str(variables)


def _function(layer):
    """function(values of variables, inputs, padding_mask, training) -> (outputs, what `_seeds` are after it)."""
    keras_call = layer.call

    @functools.partial(tf.function, autograph=False)
    def function(values, inputs, padding_mask, training):
        with AutocastScope(None):
            scope = keras.StatelessScope(zip(layer.variables, values))
        with scope:
            outputs = keras_call(inputs, padding_mask=padding_mask, training=training)
        return outputs, [scope.get_current_value(seed) for seed in _seeds(layer)]

    return function


def _call(layer, function, keras_call, inputs, padding_mask=None, training=None, **more):
    if more or padding_mask is None or tf.executing_eagerly():
        return keras_call(inputs, padding_mask=padding_mask, training=training, **more)
    with AutocastScope(None):  # weights as they are
        values = [tf.convert_to_tensor(variable.value) for variable in layer.variables]
    outputs, seeds = function(values, inputs, padding_mask, bool(training))
    for variable, seed in zip(_seeds(layer), seeds):
        variable.assign(seed)
    return outputs


def _seeds(layer):
    """The variables that a call changes: the states of its random numbers."""
    weights = {id(weight) for weight in layer.weights}
    return [variable for variable in layer.variables if id(variable) not in weights]
