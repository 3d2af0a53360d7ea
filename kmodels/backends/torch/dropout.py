"""Dropout that draws fewer random numbers on a CPU, and is one kernel on a GPU."""

import functools

import torch
from keras.config import floatx
from keras.src.backend.torch import random as keras_random
from keras.src.backend.torch.core import get_device, to_torch_dtype
from torch.nn import functional

from kmodels.backends.torch.on_host import HostCopy

_KINDS = [(torch.int8, 2**8), (torch.int16, 2**16)]  # of numbers that decide about an element, how many there are
_keras_dropout = keras_random.dropout
_keras_uniform = keras_random.uniform


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Keras's random numbers from 0 to 1 by a seed, which is known without a dozen operations on its state.

    Args:
        shape, minval, maxval, dtype, seed: as keras.random.uniform has them.
    """
    device = get_device()
    if (minval, maxval) != (0.0, 1.0) or not hasattr(seed, "_initial_seed") or device == "meta":
        return _keras_uniform(shape, minval, maxval, dtype, seed)
    generator = torch.Generator(device).manual_seed(_number(seed))
    return torch.rand(shape, generator=generator, dtype=to_torch_dtype(dtype or floatx()), device=device)


def dropout(inputs, rate, noise_shape=None, seed=None):
    """Keras's dropout.

    On a CPU each random number of 64 bits decides about four elements, or about eight where the rate is so many 256ths:
    PyTorch draws one for each, in one thread (on processors that are not Intel's), a seventh of an encoder's step. The
    rate is that asked for to 1 / 131,072, and what stays is scaled by just that. On a GPU it is PyTorch's one kernel:
    Keras's are six, and wait for the device to tell the seed.

    Args:
        inputs: torch.Tensor, float.
        rate, noise_shape, seed: as keras.random.dropout has them.
    """
    kind = inputs.device.type
    if kind not in ("cpu", "cuda") or noise_shape is not None or _choice(rate) is None:
        return _keras_dropout(inputs, rate, noise_shape, seed)
    number = None if seed is None or getattr(seed, "_initial_seed", seed) is None else _number(seed)
    return _on_gpu(inputs, rate, number) if kind == "cuda" else inputs * _scale(inputs, rate, number)


@functools.cache
def _choice(rate):
    """(type of a number that decides, the least one that lets an element stay, by what this is multiplied) or None."""
    kind, number = next((each for each in _KINDS if rate * each[1] % 1 == 0), _KINDS[-1])
    dropped = round(rate * number)
    return (kind, dropped - number // 2, number / (number - dropped)) if 0 < dropped < number else None


def _scale(inputs, rate, number):
    """What to multiply elements with: 0, or what makes up for those that have 0."""
    kind, least, factor = _choice(rate)
    numbers = torch.empty(-(-inputs.numel() * kind.itemsize // 8), dtype=torch.int64)
    numbers.random_(-(2**63), None, generator=None if number is None else torch.Generator().manual_seed(number))
    scale = torch.empty(inputs.shape, dtype=inputs.dtype)
    numbers = numbers.view(kind).as_strided(scale.shape, scale.stride())
    # As numbers at once: to make them of a bool tensor takes longer than all else.
    return torch.ge(numbers, least, out=scale).mul_(factor)


def _number(seed):
    """What a generator starts from for the next call with this seed: 64 bits of the seed and the call's number.

    Keras adds the two: 7 and 1 are as 8 and 0.

    Source: Steele, Lea & Flood 2014, "Fast Splittable Pseudorandom Number Generators" (SplitMix64's last mixing).
    """
    if isinstance(seed, int):
        first, call = seed, 0
    else:
        if not hasattr(seed, "on_host"):
            seed.on_host = HostCopy()
        state = seed.state._value
        first, call = seed.on_host.numbers(state)
        seed.on_host.count_up(state)
    mixed = (first % 2**32 << 32) + call % 2**32 + 0x9E3779B97F4A7C15
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
    return mixed ^ mixed >> 31


def _on_gpu(inputs, rate, number):
    """PyTorch's own dropout. It knows no generator but the device's: that takes the number, and has its state back."""
    if number is None:
        return functional.dropout(inputs, rate)
    generator = torch.cuda.default_generators[inputs.device.index]
    seed, offset = generator.initial_seed(), generator.get_offset()
    generator.manual_seed(number)
    try:
        return functional.dropout(inputs, rate)
    finally:
        generator.manual_seed(seed)
        generator.set_offset(offset)
