"""Products of matrices on a CPU, by the library that knows the processor.

PyTorch multiplies float32 matrices by MKL, which uses vectors of 512 bits on Intel's processors alone: on an AMD one
that has them, oneDNN, which PyTorch has for other number formats, is faster: twice as fast since Zen 5, by a tenth on
Zen 4, which computes with 256 bits at once and where MKL keeps what oneDNN is slower at (docs/performance.md). Who sets
`torch.backends.mkldnn.enabled = False` has MKL's.
"""

import functools
import itertools
from typing import Any

import torch
from keras.src.backend.torch import numpy as keras_numpy
from keras.src.backend.torch.core import convert_to_tensor

from kmodels.backends import cpu

_ROWS_STEP = 64
_FEWEST = 2**20  # multiplications, below which oneDNN takes longer to begin than MKL to end
_keras_matmul = keras_numpy.matmul


def matmul(x1, x2):
    """Keras's `matmul`: of vectors, (…, dim), and a matrix as `product`."""
    if _has_onednn():
        x1, x2 = convert_to_tensor(x1), convert_to_tensor(x2)
        if x1.dim() >= 2 and x2.dim() == 2 and _are_for_onednn(x1, x2):
            return product(None, x1.flatten(0, -2), x2).view(*x1.shape[:-1], -1)
    return _keras_matmul(x1, x2)


def product(bias, x, kernel):
    """`torch.addmm`, and its gradients; without these, in prediction, by MKL: oneDNN compiles and keeps each shape.

    Args:
        bias: (out,); None for none.
        x: (rows, dim).
        kernel: (dim, out).

    Returns:
        (rows, out).
    """
    return of_each(x, (bias, kernel))[0]


def of_each(x, *layers, columns=None):
    """The `product` of the same rows with each of some (bias, kernel): [(rows, out), …].

    Args:
        x: (rows, dim).
        layers: (bias, kernel), as `product` has them.
        columns: int64, (dim,): the rows of the kernels that x is to be multiplied with, different ones; None for all.
    """
    if torch.is_grad_enabled() and _are_for_onednn(x, layers[0][1]):
        return _Products.apply(x, columns, *itertools.chain(*layers))
    found = []
    for bias, kernel in layers:
        kernel = kernel if columns is None else kernel.index_select(0, columns)
        found.append(torch.mm(x, kernel) if bias is None else torch.addmm(bias, x, kernel))
    return found


def rounded(num_rows):
    """How many rows to multiply instead, so that batches have few such numbers: oneDNN compiles a product for each."""
    if not (torch.is_grad_enabled() and _has_onednn()):
        return num_rows
    return -(-num_rows // _ROWS_STEP) * _ROWS_STEP


def batched(x, kernels):
    """`torch.bmm`, without gradients: (batch, rows, dim) and (batch, dim, out) → (batch, rows, out)."""
    if _is_each_for_onednn(x.numel() * kernels.shape[-1], x):
        return torch.stack([_times(each, kernel.t()) for each, kernel in zip(x, kernels)])
    return torch.bmm(x, kernels)


class Recurrence:
    """Products with the same matrices step after step, without gradients.

    Where it is twice as fast, oneDNN multiplies by each with all cores; else MKL by all of them, side by side.

    Args:
        kernels: (number, dim, out).
        num_rows: of what is multiplied with each.
    """

    def __init__(self, kernels, num_rows):
        self._kernels = kernels
        is_each = _is_each_for_onednn(num_rows * kernels.numel(), kernels)
        self._turned = [kernel.t() for kernel in kernels] if is_each else []

    def steps(self, x):
        """What `added` and `squash` take in each step, [each, …], of (number, steps, rows, …)."""
        return list(zip(*(each.unbind() for each in x))) if self._turned else x.unbind(1)

    def added(self, start, x):
        """start + x · kernels, (number, rows, out), of a step's (number, rows, out) and (number, rows, dim)."""
        return torch.stack(self._sums(start, x)) if self._turned else torch.baddbmm(start, x, self._kernels)

    def squash(self, start, x):
        """Makes of start the sigmoid of what `added` gives."""
        if not self._turned:
            # Added to start in place, where the rows of each lie apart in memory, one would follow the other.
            torch.sigmoid(torch.baddbmm(start, x, self._kernels), out=start)
            return
        for each, found in zip(start, self._sums(start, x)):
            torch.sigmoid(found, out=each)

    def _sums(self, start, x):
        return list(map(_plus, start, x, self._turned))


def _are_for_onednn(x, kernel):
    return x.dtype == kernel.dtype and _is_for_onednn(x.numel() * kernel.shape[-1], x)


def _is_for_onednn(num_multiplications, x):
    is_float32 = x.dtype == torch.float32 and x.device.type == "cpu"
    return num_multiplications >= _FEWEST and is_float32 and _has_onednn()


def _is_each_for_onednn(num_multiplications, x):
    """Of some products of the same sizes: False where MKL is as fast in each, which then begins all of them at once."""
    return _is_onednn_twice_as_fast() and _is_for_onednn(num_multiplications, x)


def _has_onednn():
    """False, too, where operations are noted for others, who know PyTorch's own."""
    is_noted = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return not is_noted and torch.backends.mkldnn.enabled and _is_onednn_faster()


@functools.cache
def _is_onednn_twice_as_fast():
    return cpu.is_amd_with_512_bit_units()


@functools.cache
def _is_onednn_faster():
    return cpu.is_amd_with_avx512() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _times(x, turned, bias=None):
    """x · kernel + bias, of a kernel that was turned round, (out, dim)."""
    return torch.ops.mkldnn._linear_pointwise(x, turned, bias, "none", [], "")


def _plus(start, x, turned):
    return torch.ops.mkldnn._linear_pointwise.binary(x, start, turned, None, "add")


def _in_kernel(x, kernel):
    """x's part in the gradient of a kernel that it is multiplied with: a function of what came out's, (rows, out).

    Where oneDNN is not twice as fast, MKL is the faster one for a kernel that is not wider than high.
    """
    dim, out = kernel.shape
    if out <= dim and not _is_onednn_twice_as_fast():
        return functools.partial(torch.mm, x.t())
    turned = x.t().contiguous()
    return lambda gradient: _times(turned, gradient.t())


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, columns, *biases_and_kernels):
        biases, kernels = biases_and_kernels[::2], biases_and_kernels[1::2]
        ctx.columns, ctx.height = columns, len(kernels[0])
        if columns is not None:
            kernels = tuple(kernel.index_select(0, columns) for kernel in kernels)
        ctx.save_for_backward(x, *kernels)
        return tuple(_times(x, kernel.t(), bias) for bias, kernel in zip(biases, kernels))

    @staticmethod
    def backward(ctx, *gradients):
        x, *kernels = ctx.saved_tensors
        in_kernel: Any = _in_kernel(x, kernels[0]) if any(ctx.needs_input_grad[2:]) else None
        of_x, found = None, []
        for number, (gradient, kernel) in enumerate(zip(gradients, kernels)):
            of_bias, of_kernel = ctx.needs_input_grad[2 + 2 * number : 4 + 2 * number]
            found.append(gradient.sum(0) if of_bias else None)
            found.append(_among(ctx.height, ctx.columns, in_kernel(gradient)) if of_kernel else None)
            if ctx.needs_input_grad[0]:
                of_x = _times(gradient, kernel) if of_x is None else _plus(of_x, gradient, kernel)
        return of_x, None, *found


def _among(num_rows, places, rows):
    """Rows at some places of so many, the others 0; as they are where the places are None."""
    if places is None:
        return rows
    return rows.new_zeros(num_rows, rows.shape[1]).index_copy_(0, places, rows)
