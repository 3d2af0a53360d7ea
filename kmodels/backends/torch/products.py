"""Products of matrices on a CPU, by the library that knows the processor.

PyTorch multiplies float32 matrices by MKL, which uses vectors of 512 bits on Intel's processors alone: on an AMD one
that has them, oneDNN, which PyTorch has for other number formats, is twice as fast (docs/performance.md). Who sets
`torch.backends.mkldnn.enabled = False` has MKL's.
"""

import functools

import torch
from keras.src.backend.torch import numpy as keras_numpy
from keras.src.backend.torch.core import convert_to_tensor

from kmodels.backends import cpu

_ROWS_STEP = 64
_keras_matmul = keras_numpy.matmul


def matmul(x1, x2):
    """Keras's `matmul`: of vectors, (…, dim), and a matrix as `product`."""
    if _is_for_onednn():
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
    if torch.is_grad_enabled() and _are_for_onednn(x, kernel):
        return _Product.apply(bias, x, kernel)
    return torch.mm(x, kernel) if bias is None else torch.addmm(bias, x, kernel)


def rounded(num_rows):
    """How many rows to multiply instead, so that batches have few such numbers: oneDNN compiles a product for each."""
    if not (torch.is_grad_enabled() and _is_for_onednn()):
        return num_rows
    return -(-num_rows // _ROWS_STEP) * _ROWS_STEP


def added(start, x, kernels):
    """`torch.baddbmm`, without gradients.

    Args:
        start: (batch, rows, out).
        x: (batch, rows, dim).
        kernels: (batch, dim, out).
    """
    if _are_for_onednn(x, kernels):
        return torch.add(start, batched(x, kernels))
    return torch.baddbmm(start, x, kernels)


def squashed(start, x, kernels, out):
    """The sigmoid of what `added` gives.

    Args:
        start, x, kernels: as of `added`.
        out: (batch, rows, out), where it goes; may be `start`.
    """
    if not _are_for_onednn(x, kernels):
        torch.baddbmm(start, x, kernels, out=out).sigmoid_()
        return
    for each_start, each_x, kernel, each_out in zip(start, x, kernels, out):
        torch.sigmoid(_plus(each_start, each_x, kernel), out=each_out)


def batched(x, kernels):
    """`torch.bmm`, without gradients: (batch, rows, dim) and (batch, dim, out) → (batch, rows, out)."""
    if _are_for_onednn(x, kernels):
        return torch.stack([_times(*each) for each in zip(x, kernels)])
    return torch.bmm(x, kernels)


def _are_for_onednn(x, kernel):
    are_float32 = x.dtype == kernel.dtype == torch.float32 and x.device.type == "cpu"
    return are_float32 and _is_for_onednn() and x.numel() > 0


def _is_for_onednn():
    """False, too, where operations are noted for others, who know PyTorch's own."""
    is_noted = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return not is_noted and torch.backends.mkldnn.enabled and _is_onednn_faster()


@functools.cache
def _is_onednn_faster():
    return cpu.is_amd_with_avx512() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _times(x, kernel, bias=None):
    return torch.ops.mkldnn._linear_pointwise(x, kernel.t(), bias, "none", [], "")


def _plus(start, x, kernel):
    return torch.ops.mkldnn._linear_pointwise.binary(x, start, kernel.t(), None, "add")


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, bias, x, kernel):
        ctx.save_for_backward(x, kernel)
        return _times(x, kernel, bias)

    @staticmethod
    def backward(ctx, gradient):
        x, kernel = ctx.saved_tensors
        of_bias, of_x, of_kernel = ctx.needs_input_grad
        return (
            gradient.sum(0) if of_bias else None,
            _times(gradient, kernel.t()) if of_x else None,
            _times(x.t(), gradient) if of_kernel else None,
        )
