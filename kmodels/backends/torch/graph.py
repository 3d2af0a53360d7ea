"""A Keras model as the plain calls it is made of.

Before each layer's work Keras looks at its arguments, converts them, finds out whether it trains and keeps scopes: on
PyTorch, where all of that happens in every step, more than the work of a small layer. Here it is found out once.
"""

import functools

import keras
import torch
from keras import tree
from keras.src.backend.common.variables import AutocastScope
from keras.src.backend.torch.core import to_torch_dtype
from keras.src.models.functional import Functional

from kmodels.backends.torch import kernels

# Layers that do nothing beside their `call`, and call no others as layers; of their very class and not derived ones.
_PLAIN = {
    "keras": ("Add", "Concatenate", "Dense", "Dropout", "Embedding", "LayerNormalization"),
    "keras_hub": ("PositionEmbedding", "ReversibleEmbedding", "TransformerEncoder"),
    "kmodels": (
        "BidirectionalLSTM",
        "ConvolutionMaxima",
        "FirstTokenOfLayer",
        "HiddenTokens",
        "MaskedPooling",
        "ShownStates",
        "WordEmbedding",
    ),
}


def is_graph(model):
    """True for a model made of inputs and outputs whose `call` is Keras's."""
    return isinstance(model, Functional) and type(model).call is Functional.call


def function_of(model):
    """What a model computes.

    Args:
        model: keras.Model; one that is not made of inputs and outputs, and layers of other kinds than kmodels' models
            have, are called as they are.

    Returns:
        function of the model's inputs, in its own structure and on its device, and of `training`, bool; it gives the
        model's outputs as a list of tensors.
    """
    if not is_graph(model):
        return lambda given, training: [model(given, training=training)]
    calls = [
        _call_of_node(node)
        for depth in sorted(model._nodes_by_depth, reverse=True)
        for node in model._nodes_by_depth[depth]
        if node.operation and not node.is_input
    ]
    inputs = [(_path_of(model, tensor), id(tensor), to_torch_dtype(tensor.dtype)) for tensor in model.inputs]
    outputs = [id(tensor) for tensor in model.outputs]

    def computed(given, training):
        values = {}
        for path, place, dtype in inputs:
            value = given if path is None else given[path]
            values[place] = value if value.dtype == dtype else value.to(dtype)
        for call in calls:
            call(values, training)
        return [values[place] for place in outputs]

    return computed


def _path_of(model, tensor):
    """The key or number of an input in what the model is given; None if that is the input itself."""
    inputs = model._inputs_struct
    if isinstance(inputs, dict):
        return next(name for name, each in inputs.items() if each is tensor)
    if isinstance(inputs, (list, tuple)):
        return next(number for number, each in enumerate(inputs) if each is tensor)
    return None


def _call_of_node(node):
    """A function of {id of a symbolic tensor: tensor} and `training` that adds what a node of the graph gives."""
    args, kwargs = _filling(node.arguments.args), _filling(node.arguments.kwargs)
    function, places = _function_of(node.operation), [id(output) for output in node.outputs]

    def call(values, training):
        found = function(args(values), kwargs(values), training)
        if len(places) == 1 and isinstance(found, torch.Tensor):
            values[places[0]] = found
        else:
            values.update(zip(places, tree.flatten(found)))

    return call


def _filling(structure):
    """A function of {id: tensor} that gives the structure with tensors where it has symbolic ones."""
    if isinstance(structure, keras.KerasTensor):
        place = id(structure)
        return lambda values: values[place]
    if isinstance(structure, dict):
        parts = {name: _filling(part) for name, part in structure.items()}
        return lambda values: {name: part(values) for name, part in parts.items()}
    if isinstance(structure, (list, tuple)):
        fillings, kind = [_filling(part) for part in structure], type(structure)
        return lambda values: kind(part(values) for part in fillings)
    return lambda values: structure


def _function_of(operation):
    """A function of (args, kwargs, training) that does what calling the operation does."""
    if is_graph(operation):
        inner = function_of(operation)
        return lambda args, kwargs, training: inner(args[0], training)
    if not isinstance(operation, keras.layers.Layer):
        return lambda args, kwargs, training: operation.call(*args, **kwargs)
    if not _is_plain(operation):
        return lambda args, kwargs, training: operation(*args, **kwargs | {"training": training})
    dtype = to_torch_dtype(operation.input_dtype) if operation.autocast else None
    scope = operation.compute_dtype if operation.compute_dtype != operation.variable_dtype else None
    takes_training = operation._call_has_training_arg
    work = functools.partial(_dense, operation) if type(operation) is keras.layers.Dense else operation.call

    def call(args, kwargs, training):
        if dtype is not None:
            args = _converted(args, dtype)
        if takes_training:
            kwargs = kwargs | {"training": training}
        with AutocastScope(scope):
            return work(*args, **kwargs)

    return call


def _dense(layer, x, training=None):
    """Dense.call, of one row for each sentence in one operation."""
    if x.dim() != 2 or layer.bias is None:
        return layer.call(x)
    found = kernels.product(x, layer)
    return found if layer.activation is None else layer.activation(found)


def _is_plain(layer):
    """True for a layer that does nothing but its `call`."""
    kind = type(layer)
    names = _PLAIN.get(kind.__module__.partition(".")[0], ())
    return kind.__name__ in names and layer.built and getattr(layer, "activity_regularizer", None) is None


def _converted(value, dtype):
    """Arguments with floating-point tensors in a layer's number format."""
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() and value.dtype != dtype else value
    if isinstance(value, (list, tuple)):
        return [_converted(part, dtype) for part in value]
    return value
