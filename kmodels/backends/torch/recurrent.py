"""An LSTM by PyTorch's own kernel on a CPU as well, where oneDNN computes all of its steps in one call."""

import keras
import torch
from keras.src import backend as keras_backend

_keras_lstm = keras_backend.lstm


def lstm(inputs, initial_h, initial_c, mask, kernel, recurrent_kernel, bias, **settings):
    """Keras's LSTM, which on a CPU is a loop of some twenty operations a step, and as many again for gradients.

    Args:
        inputs: torch.Tensor, float, (batch, length, dim).
        initial_h, initial_c: torch.Tensor, (batch, units).
        mask: None, or what is hidden; with one it is Keras's own loop.
        kernel, recurrent_kernel, bias: keras.Variable, (dim, 4 * units), (units, 4 * units), (4 * units,).
        settings: as keras.layers.LSTM hands them over.

    Returns:
        (the last output, all of them if asked for, [h, c]); (batch, units), (batch, length, units).
    """
    weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
    if mask is not None or bias is None or not _can_compute(inputs, **settings):
        return _keras_lstm(inputs, initial_h, initial_c, mask, **weights, **settings)
    kernel, recurrent_kernel, bias = (keras.ops.convert_to_tensor(weight) for weight in weights.values())
    x, h, c = (each.to(kernel.dtype) for each in (inputs, initial_h, initial_c))
    kernels = [kernel.T, recurrent_kernel.T, bias, torch.zeros_like(bias)]  # PyTorch adds two biases
    outputs, h, c = torch._VF.lstm(
        x, (h[None], c[None]), kernels, True, 1, 0.0, torch.is_grad_enabled(), False, True
    )  # one layer, in one direction, the batch first
    last = outputs[:, -1]
    return last, outputs if settings["return_sequences"] else last[:, None], [h[0], c[0]]


def _can_compute(inputs, activation, recurrent_activation, go_backwards=False, unroll=False, batch_first=True, **more):
    """True on a CPU for an LSTM as it is in books, unless a program is being made of it."""
    standard = activation is keras.activations.tanh and recurrent_activation is keras.activations.sigmoid
    traced = torch.jit.is_tracing() or torch.compiler.is_compiling()
    by_the_book = standard and batch_first and not (go_backwards or unroll)
    return by_the_book and inputs.device.type == "cpu" and inputs.shape[1] > 0 and not traced
