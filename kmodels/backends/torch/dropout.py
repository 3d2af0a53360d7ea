"""Dropout that draws fewer random numbers, on a CPU."""

import numpy as np
import torch
from keras.src.backend.torch import random as keras_random

_CHOICES = 2**16  # of a 16-bit number, which decides about an element
_keras_dropout = keras_random.dropout


def dropout(inputs, rate, noise_shape=None, seed=None):
    """Keras's dropout; on a CPU each random number of 64 bits decides about four elements.

    PyTorch draws one for each, in one thread (on processors that are not Intel's): a seventh of an encoder's step. The
    rate is that asked for to 1 / 131,072, and what stays is scaled by just that.

    Args:
        inputs: torch.Tensor, float.
        rate, noise_shape, seed: as keras.random.dropout has them.
    """
    dropped = round(rate * _CHOICES)
    if inputs.device.type != "cpu" or noise_shape is not None or not 0 < dropped < _CHOICES:
        return _keras_dropout(inputs, rate, noise_shape, seed)
    is_seeded = seed is not None and getattr(seed, "_initial_seed", seed) is not None
    return _Dropout.apply(inputs, dropped, _generator(seed) if is_seeded else None)


def _generator(seed):
    """A generator for the next call with this seed. Keras adds seed and number of the call: 7 and 1 are as 8 and 0."""
    numbers = [number % 2**32 for number in keras_random.draw_seed(seed).tolist()]
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


class _Dropout(torch.autograd.Function):
    """Elements times 0 or a scale, the same in the gradient."""

    @staticmethod
    def forward(ctx, inputs, dropped, generator):
        size = inputs.numel()
        numbers = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
        stays = numbers.view(torch.int16)[:size].view(inputs.shape) >= dropped - _CHOICES // 2
        scale = stays.to(inputs.dtype).mul_(_CHOICES / (_CHOICES - dropped))
        ctx.save_for_backward(scale)
        return inputs * scale

    @staticmethod
    def backward(ctx, gradient):
        (scale,) = ctx.saved_tensors
        return gradient * scale, None, None
