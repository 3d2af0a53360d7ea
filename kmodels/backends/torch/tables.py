"""Gradients of tables of vectors, of which a batch uses few rows.

PyTorch makes such a gradient as large as its table, 0 in all other rows: to fill it, to add it up for the norm and, in
bfloat16, to convert the table and its gradient takes longer than what is done to the rows. Here one gradient is kept
for all steps, in which only rows are written, and those of the step before are made 0 again.
"""

import contextlib
import functools
from typing import Any

import numpy as np
import torch
from keras import Variable
from keras.src.backend.common.variables import get_autocast_scope
from keras.src.backend.torch import numpy as keras_numpy
from torch.nn import functional

_FEWEST_ROWS = 1000  # of a table for which this is less work
_keras_take = keras_numpy.take


def take(x, indices, axis=None):
    """Keras's `take`, which finds the gradient of a table by its rows while a step does `by_rows`."""
    gradient = getattr(x, "gradient_by_rows", None) if isinstance(x, Variable) else None
    if gradient is None or axis != 0:
        return _keras_take(x, indices, axis)
    return _looked_up(x, indices.long(), gradient)


def take_different(table, rows, num_rows=None, columns=None, factor=1.0):
    """The same of rows that are all different and in order, and after them rows of 0.

    Args:
        table: keras.Variable, (number of rows, dim).
        rows: int64, (number,).
        num_rows: how many to give; None for no more than these.
        columns: int64, different ones in order: of which columns; None for all.
        factor: what these are multiplied with.
    """
    num_rows = len(rows) if num_rows is None else num_rows
    gradient = getattr(table, "gradient_by_rows", None)
    if gradient is not None:
        return _looked_up(table, rows, gradient, num_rows, columns, factor)
    vectors = functional.pad(_keras_take(table, rows, 0), (0, 0, 0, num_rows - len(rows)))
    return vectors if columns is None else vectors.index_select(1, columns) * factor


def is_found_by_rows(table):
    """Whether a training step is under way that finds a table's gradient by its rows."""
    return getattr(table, "gradient_by_rows", None) is not None


def _looked_up(table, places, gradient, *of_different):
    vectors = _Lookup.apply(table._value, places, gradient, *of_different)
    scope = get_autocast_scope()
    return scope.maybe_cast(vectors) if scope and table._autocast else vectors


def tables_of(variables):
    """Those of the weights that a step trains whose gradient is worth finding by rows: [keras.Variable, …]."""
    return [
        variable
        for variable in variables
        if variable.path.endswith("/embeddings")
        and len(variable.shape) == 2
        and variable.shape[0] >= _FEWEST_ROWS
        and variable.value.device.type == "cpu"
    ]


@contextlib.contextmanager
def by_rows(gradients):
    """A context for a step's model and `backward`: what is looked up in the tables has its gradient found by rows.

    Args:
        gradients: [GradientByRows, …].
    """
    for gradient in gradients:
        gradient.variable.gradient_by_rows = gradient
    try:
        yield
    finally:
        for gradient in gradients:
            gradient.variable.gradient_by_rows = None
            gradient.check()


class GradientByRows:
    """The gradient of a table, float32, (number of rows, dim), which becomes its tensor's `grad`.

    Args:
        variable: keras.Variable.
    """

    def __init__(self, variable):
        self.variable = variable
        self._kept: Any = None
        self._version = None

    @property
    def is_up_to_date(self):
        """Whether all rows are as all steps have left them."""
        return True

    def read(self, places, are_different):
        """Vectors of the table.

        Args:
            places: int64, (…).
            are_different: they are different rows, in order.

        Returns:
            (…, dim); of different rows the table's own, which whoever keeps them has to copy.
        """
        return functional.embedding(places, self.variable._value)

    def add(self, places, gradient, are_different):
        """Adds the gradients of vectors to the rows that they are from.

        Args:
            places: int64, (…).
            gradient: float, (…, dim).
            are_different: they are different rows, in order.
        """
        table = self.variable._value
        rows, values = places.reshape(-1), gradient.reshape(-1, table.shape[1]).to(table.dtype)
        if not are_different:
            rows, values = _summed(rows, values, len(table))
        if table.grad is not None:  # looked up twice
            table.grad = whole(table.grad).index_add(0, rows, values)
            return
        self.note(rows, values)
        self._kept.index_copy_(0, rows, values)
        self._kept.kmodels_is_written = True
        self._version = self._kept._version

    def note(self, rows, values):
        """Makes the table's `grad` what is 0 but for some rows, whose values are still to be written.

        Args:
            rows: int64, (number,), different ones.
            values: (number, dim).
        """
        table = self.variable._value
        if self._kept is None:
            self._kept = torch.zeros_like(table, requires_grad=False)
        elif self._kept.kmodels_is_written:
            self._kept.index_fill_(0, rows_of(self._kept)[0], 0.0)
        set_rows(self._kept, rows, values)
        self._kept.kmodels_is_written = False
        self._version = self._kept._version
        table.grad = self._kept

    def check(self):
        """After `backward`: what a table was used for beside looking up was added to all rows; they are let go."""
        kept = self._kept
        if kept is not None and kept._version != self._version:
            if self.variable._value.grad is kept:
                self.variable._value.grad = whole(kept)
            del kept.kmodels_rows
            self._kept = None


def whole(gradient: Any):
    """A gradient with what was noted of its rows and not written."""
    if rows_of(gradient) is None or gradient.kmodels_is_written:
        return gradient
    return gradient.index_add(0, *rows_of(gradient))


def rows_of(gradient):
    """(the rows that may not be 0, int64, (number,), their values) of a gradient, or None if that isn't known."""
    return getattr(gradient, "kmodels_rows", None)


def set_rows(gradient, rows, values):
    """Notes them."""
    gradient.kmodels_rows = rows, values


def distinct(places, num_rows):
    """(the different places, in order, which of them each place is): int64, (number,) and (number of places,).

    Args:
        places: int64, (number of places,), each less than num_rows.
        num_rows: of the table.
    """
    places = places.numpy()  # whose operations on so few numbers take a fourth of the time
    is_used = np.zeros(num_rows, bool)
    is_used[places] = True
    rows = np.flatnonzero(is_used)
    number = np.empty(num_rows, np.int64)
    number[rows] = np.arange(len(rows))
    return torch.from_numpy(rows), torch.from_numpy(number[places])


def _summed(places, gradients, num_rows):
    """(the different places, in order, the sum of each one's gradients)."""
    rows, numbers = distinct(places, num_rows)
    return rows, torch.ops.aten.embedding_dense_backward(gradients, numbers, len(rows), -1, False)


class _Lookup(torch.autograd.Function):
    """Rows of a table; of different ones, as `take_different` has it."""

    @staticmethod
    def forward(ctx, table, places, gradient, num_rows=None, columns=None, factor=1.0):
        are_different = num_rows is not None
        ctx.save_for_backward(places)
        ctx.add = functools.partial(gradient.add, are_different=are_different)
        ctx.dim, ctx.columns, ctx.factor = table.shape[1], columns, factor
        rows = gradient.read(places, are_different)
        return _filled_up(rows, num_rows, columns, factor) if are_different else rows

    @staticmethod
    def backward(ctx, gradient):
        (places,) = ctx.saved_tensors
        gradient = gradient[: len(places)]
        if ctx.columns is not None:
            gradient = _spread(gradient, ctx.dim, ctx.columns, ctx.factor)
        ctx.add(places, gradient)
        return None, None, None, None, None, None


def _filled_up(rows, num_rows, columns, factor):
    """A copy of rows, (number, dim), as `take_different` has it."""
    number, dim = rows.shape
    if columns is None:
        found = rows.new_empty(num_rows, dim)
        found[:number] = rows
    else:
        found = rows.new_empty(num_rows, len(columns))
        torch.gather(rows, 1, columns.expand(number, -1), out=found[:number]).mul_(factor)
    found[number:] = 0
    return found


def _spread(gradient, dim, columns, factor):
    """The gradient of rows, (number, dim), by that of some of their columns, which were multiplied with a factor."""
    found = gradient.new_zeros(len(gradient), dim)
    return found.scatter_(1, columns.expand(len(gradient), -1), gradient * factor)
