"""One trace for all transformer layers that do the same, where a framework makes a program by Python.

That takes Python long, operation by operation, and then the gradient of each. The layers of an encoder differ in their
weights only, so one of them is traced, as a function of its weights, and put in for each.
"""

import functools
import json
from typing import Any

import keras
from keras.src.backend.common.variables import AutocastScope


def prepare(layers, traced, makes_program):
    """Has transformer layers call one function, where they do the same.

    Args:
        layers: those of a model, as `kmodels.backends.encoder.prepare` gives them.
        traced: has a function of (values of variables, array, array, bool) traced once for all calls with the same
            shapes.
        makes_program: function of a layer's input; True where it is no array, but stands for one in a program.
    """
    functions: dict[tuple, Any] = {}
    for layer in layers:
        function = functions.setdefault(_kind(layer), traced(_function(layer)))
        layer.call = functools.partial(_call, layer, function, layer.call, makes_program)


def _kind(layer):
    """Equal for layers that give the same for equal inputs and weights."""
    settings = {name: value for name, value in layer.get_config().items() if name != "name"}
    variables = [(each.path.rpartition("/")[2], each.shape, each.dtype, each.trainable) for each in layer.variables]
    return type(layer), json.dumps(settings, sort_keys=True, default=str), str(variables)


def _function(layer):
    """function(values of variables, inputs, padding_mask, training) -> (outputs, what `_seeds` are after it)."""
    keras_call = layer.call

    def function(values, inputs, padding_mask, training):
        with AutocastScope(None):
            scope = keras.StatelessScope(zip(layer.variables, values))
        with scope:
            outputs = keras_call(inputs, padding_mask=padding_mask, training=training)
        return outputs, [scope.get_current_value(seed) for seed in _seeds(layer)]

    return function


def _call(layer, function, keras_call, makes_program, inputs, padding_mask=None, training=None, **more):
    if more or padding_mask is None or not makes_program(inputs):
        return keras_call(inputs, padding_mask=padding_mask, training=training, **more)
    with AutocastScope(None):  # weights as they are
        values = [variable.value for variable in layer.variables]
    outputs, seeds = function(values, inputs, padding_mask, bool(training))
    for variable, seed in zip(_seeds(layer), seeds):
        variable.assign(seed)
    return outputs


def _seeds(layer):
    """The variables that a call changes: the states of its random numbers."""
    weights = {id(weight) for weight in layer.weights}
    return [variable for variable in layer.variables if id(variable) not in weights]
