"""Adam for a table of vectors on a CPU, each row of which is updated when a batch has it, by all that it missed.

Adam moves every row in every step, for what is left of a row's momentum goes on after the last batch that had it. Of a
table of 15,000 words a batch has some 300: to read and write all of it, with its two moments, takes a fourth of
TextCNN's step, and leaves nothing else in the processor's cache. What a row misses is known, though: without a gradient
its moments m and v shrink by their factors, b1 and b2, and with x = sqrt(v) and u = x / (x + epsilon) it moves by

    m / (x + epsilon) * sum over the steps i of  a_i b1^i / (1 - (1 - b2^(i/2)) u)

where a_i is a step's rate, corrected for the moments' start. As 1 - b2^(i/2) is small for as long as b1^i is not,
four terms of the geometric series are the sum to float32's last digit, and their factors are the same for all rows
that were updated last in the same step. Every 128 steps, and when somebody reads the table or its moments, all rows
are brought up to date. It is the same optimizer, with the same moments in a checkpoint; only the last digits are
others. PyTorch's own view of the model, `parameters()` and `state_dict()`, asks nobody: there, the rows are as they
were last updated.
"""

from typing import Any

import numpy as np
import torch

from kmodels.backends.torch.tables import GradientByRows, rows_of

STEPS = 128  # after which all rows are brought up to date
_TERMS = 4
_SHARE = 8  # of a table, less than one in so many rows of a batch
_ROWS_AT_ONCE = 1000  # as many as a cache holds


def gradient_of(variable, optimizer):
    """How a step finds a table's gradient: a GradientByRows, whose rows are updated when they are read if that can be.

    Args:
        variable: keras.Variable, as `tables.tables_of` gives it.
        optimizer: keras.Optimizer.
    """
    if hasattr(variable, "kmodels_deferred"):
        variable.kmodels_deferred.bring_up_to_date()
        del variable.kmodels_deferred
    if not getattr(optimizer, "can_defer", False):
        return GradientByRows(variable)
    place = optimizer._get_variable_index(variable)
    return DeferredRows(variable, optimizer._momentums[place], optimizer._velocities[place], optimizer)


def is_exact(optimizer):
    """Whether so few terms are enough, by an optimizer's decay of moments.

    Args:
        optimizer: with `beta_1` and `beta_2`.
    """
    steps = np.arange(1, STEPS + 1)
    left, small = optimizer.beta_1**steps, 1 - optimizer.beta_2 ** (steps / 2)
    return bool((left * small**_TERMS / (1 - small)).sum() <= 1e-7 * left.sum())


class DeferredRows(GradientByRows):
    """The gradient of a table by rows, and its rows' update.

    Args:
        variable: keras.Variable, (number of rows, dim), float32, on a CPU.
        momentum, velocity: keras.Variable, its moments.
        optimizer: with `beta_1`, `beta_2` and `epsilon`.
    """

    def __init__(self, variable, momentum, velocity, optimizer):
        super().__init__(variable)
        self._variables = variable, momentum, velocity
        self._tensors = [each.value.detach() for each in self._variables]
        self._epsilon = optimizer.epsilon
        self._missed = _Missed(optimizer.beta_1, optimizer.beta_2)
        self._updated_in = torch.zeros(len(self._tensors[0]), dtype=torch.int64)
        self._taken: Any = None
        variable.kmodels_deferred = self

    @property
    def is_up_to_date(self):
        """Whether no row has missed a step."""
        return self._missed.num_steps == 0

    def read(self, places, are_different):
        """As of all tables, after all steps."""
        if not are_different or len(places) * _SHARE > len(self._updated_in):
            self.bring_up_to_date()
            return super().read(places, are_different)
        rows = [tensor.index_select(0, places) for tensor in self._tensors]
        self._catch_up(rows, self._updated_in.index_select(0, places))
        self._taken = places, rows
        return rows[0]

    def add(self, places, gradient, are_different):
        """As of all tables; of rows that were taken, the gradient is noted and not written."""
        if self._taken is None or not are_different or self.variable._value.grad is not None:
            self._taken = None
            super().add(places, gradient, are_different)
        else:
            self.note(places, gradient)

    def has_taken(self, gradient):
        """Whether a gradient of the table is of the rows that were read last, and of no others."""
        known = rows_of(gradient)
        return known is not None and self._taken is not None and known[0] is self._taken[0]

    def update(self, kernel, gradient, step, learning_rate, decay):
        """Updates the rows that were read, and nothing else.

        Args:
            kernel: function that updates in place, of ([[weights], [momentums], [velocities]], [gradient], step,
                learning rate, decay).
            gradient: of those rows, as `has_taken` says.
            step: number of this update, from 1.
            learning_rate, decay: float.
        """
        (places, rows), self._taken = self._taken, None
        kernel([[each] for each in rows], [rows_of(gradient)[1]], step, learning_rate, decay)
        for tensor, updated in zip(self._tensors, rows):
            tensor.index_copy_(0, places, updated)
        beta_1, beta_2 = self._missed.betas
        rate = learning_rate * (1 - beta_2**step) ** 0.5 / (1 - beta_1**step)
        self._missed.add_step(rate, 1 - learning_rate * decay)
        self._updated_in.index_fill_(0, places, self._missed.num_steps)
        for variable in self._variables:
            _watch(variable, self)
        if self._missed.num_steps == STEPS:
            self.bring_up_to_date()

    @torch.no_grad()
    def bring_up_to_date(self):
        """Updates all rows by what they missed."""
        if self.is_up_to_date:
            return
        parts = zip(*[each.split(_ROWS_AT_ONCE) for each in (*self._tensors, self._updated_in)])
        for *rows, updated_in in parts:
            self._catch_up(rows, updated_in)
        self._missed.begin()
        self._updated_in.zero_()
        for variable in self._variables:
            _unwatch(variable)

    def _catch_up(self, rows, updated_in):
        """Updates rows in place.

        Args:
            rows: [float32, (number, dim), …]: of the table and of its moments.
            updated_in: int64, (number,): in which step since all were up to date.
        """
        weights, momentums, velocities = rows
        kept, left, left_squared, *terms = self._missed.factors.index_select(0, updated_in)[:, :, None].unbind(1)
        roots = torch.from_numpy(np.sqrt(velocities.numpy()))  # PyTorch's takes four times as long where some are 0
        divisors = roots + self._epsilon
        parts = roots.div_(divisors)
        moved = terms[-1]
        for term in terms[-2::-1]:
            moved = torch.addcmul(term, parts, moved)
        weights.mul_(kept).addcdiv_(moved.mul_(momentums), divisors, value=-1)
        momentums.mul_(left)
        velocities.mul_(left_squared)


class _Missed:
    """What rows have missed, by the step that they were updated in last.

    Args:
        beta_1, beta_2: the parts of the moments that a step leaves.

    Attributes:
        num_steps: since all rows were up to date.
        factors: float32, (STEPS + 1, 3 + terms): what is left of a weight, of its momentum and of its velocity, and by
            what the powers of u in the module's formula are multiplied.
    """

    def __init__(self, beta_1, beta_2):
        self.betas = beta_1, beta_2
        missed = np.arange(STEPS + 1)
        left, left_squared = beta_1**missed, beta_2**missed
        terms = left * (1 - beta_2 ** (missed / 2)) ** np.arange(_TERMS)[:, None]
        self._of_missed = np.stack([left, left_squared, *terms], axis=1)  # (STEPS + 1, 2 + terms)
        self.begin()

    def begin(self):
        self.num_steps = 0
        self._factors = np.zeros((STEPS + 1, 3 + _TERMS))
        self._factors[:, :3] = 1.0
        self.factors = torch.from_numpy(self._factors.astype(np.float32))

    def add_step(self, rate, kept):
        """A step that all rows miss which it does not update.

        Args:
            rate: the learning rate, corrected for the moments' start.
            kept: the part of a weight that its decay leaves.
        """
        self.num_steps += 1
        missed = self._of_missed[self.num_steps : 0 : -1]  # by how many steps a row missed
        earlier = self._factors[: self.num_steps]
        earlier[:, 0] *= kept
        earlier[:, 1:3] = missed[:, :2]
        terms = earlier[:, 3:]
        terms *= kept
        terms += rate * missed[:, 2:]
        self.factors = torch.from_numpy(self._factors.astype(np.float32))


def _watch(variable, deferred):
    """Has whoever reads a variable find it up to date."""
    variable.kmodels_deferred = deferred
    kind = type(variable)
    if not hasattr(kind, "kmodels_plain"):
        variable.__class__ = _watched(kind)


def _unwatch(variable):
    variable.__class__ = getattr(type(variable), "kmodels_plain", type(variable))


_kinds: dict[type, type] = {}


def _watched(kind: Any):
    if kind not in _kinds:

        class Watched(kind):
            kmodels_plain = kind

            @property
            def value(self):
                self.kmodels_deferred.bring_up_to_date()
                return self.value  # by now a plain variable's

        _kinds[kind] = Watched
    return _kinds[kind]
