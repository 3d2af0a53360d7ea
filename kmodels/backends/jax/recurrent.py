"""Keras's LSTM on JAX."""

import jax
from keras.src import backend as keras_backend

_keras_lstm = keras_backend.lstm


def lstm(inputs, *states, kernel, recurrent_kernel, bias, **settings):
    """Keras's LSTM by cuDNN; of bfloat16 in float32, for jaxlib 0.11 hands cuDNN no bfloat16 and fails when compiling.

    Args:
        inputs: jax.Array, float, (batch, length, dim).
        states: the initial ones, and a mask or None.
        kernel, recurrent_kernel, bias: keras.Variable.
        settings: as keras.layers.LSTM hands them over.

    Raises:
        NotImplementedError: there is no such kernel here; Keras then computes step by step.
    """
    weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
    if inputs.dtype != jax.numpy.bfloat16:
        return _keras_lstm(inputs, *states, **weights, **settings)

    def single(array):
        return None if array is None else jax.numpy.asarray(array).astype("float32")

    weights = {name: single(weight) for name, weight in weights.items()}
    found = _keras_lstm(single(inputs), *map(single, states[:-1]), states[-1], **weights, **settings)
    return jax.tree.map(lambda array: array.astype(inputs.dtype), found)
