"""Keras's Adam and AdamW with PyTorch's fused kernel, and with gradients that several workers average."""

from typing import Any

import keras
import torch
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule
from torch import distributed

from kmodels.backends import gradients
from kmodels.backends.torch import deferred
from kmodels.backends.torch.on_host import HostCopy
from kmodels.backends.torch.tables import rows_of, set_rows, whole


def optimizer_class(kind: Any):
    """Keras's Adam or AdamW with PyTorch's fused kernel for the update."""
    kind = _fused(kind)
    # Keras 3.15 has no workers on PyTorch.
    return gradients.with_averaged(kind, _averaged) if distributed.is_initialized() else kind


def _fused(kind: Any):
    """An optimizer whose decay, clipping by the global norm and update are one pass over every weight.

    Keras's own takes a dozen. The moments stay in Keras's variables, so a checkpoint is the same on every backend. The
    number of the step and the learning rate, which the kernel wants, are known on the host: nothing waits for a GPU.
    """

    class Fused(kind):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            self._batches_on_host = HostCopy()
            self._parts = {}
            self._plain = {}

        def build(self, variables):
            # The kernel goes through a weight and its moments as they lie in memory, whatever their strides say.
            for variable in variables:
                variable.value.data = variable.value.data.contiguous()
            super().build(variables)

        def apply(self, grads, trainable_variables=None):
            variables = None if trainable_variables is None else list(trainable_variables)
            if any(gradient is None for gradient in grads) or not self._are_plain(variables):
                super().apply(grads, variables)
                self._batches_on_host.counted(self._iterations._value)
            else:
                self._backend_apply_gradients(grads, variables)
                self._batches_on_host.count_up(self._iterations._value)

        def _are_plain(self, variables):
            """True for those of which Keras would only find out, in every step, that nothing else is to be done."""
            if variables is None or not self.built or self.loss_scale_factor is not None:
                return False
            chosen = tuple(map(id, variables))
            if chosen not in self._plain:
                self._check_variables_are_known(variables)
                self._plain[chosen] = not any(each.constraint or each.overwrite_with_gradient for each in variables)
            return self._plain[chosen]

        def _batches(self):
            """How many batches were seen."""
            return self._batches_on_host.numbers(self._iterations._value)[0]

        def _get_current_learning_rate(self):
            if not isinstance(self._learning_rate, LearningRateSchedule):
                return super()._get_current_learning_rate()
            if hasattr(self._learning_rate, "on_host"):
                return self._learning_rate.on_host(self._batches())
            with keras.device("cpu"):
                return float(self._learning_rate(self._batches()))

        def _clip_gradients(self, grads):
            """Finds by what the kernel has to divide."""
            self._divisor = None
            if self.global_clipnorm:
                rows = [rows_of(gradient) for gradient in grads]
                parts = [gradient if known is None else known[1] for gradient, known in zip(grads, rows)]
                norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(parts)))
                self._divisor = torch.clamp(norm / self.global_clipnorm, min=1.0)  # of what is no number: no number
            return grads

        def _apply_weight_decay(self, variables):
            """The kernel does it."""

        @property
        def can_defer(self):
            """Whether rows of a table may be updated when they are needed: all that happens to a weight is Adam's."""
            others = self.use_ema, hasattr(self, "averages"), self.gradient_accumulation_steps, self.loss_scale_factor
            return self.built and not any(others) and not distributed.is_initialized() and deferred.is_exact(self)

        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            step = self._batches() // (self.gradient_accumulation_steps or 1) + 1
            grads, trainable_variables = self._update_rows(grads, trainable_variables, learning_rate, step)
            chosen = tuple(map(id, trainable_variables))
            if chosen not in self._parts:
                self._parts[chosen] = self._parts_of(trainable_variables)
            if not isinstance(learning_rate, float):
                learning_rate = ops.convert_to_tensor(learning_rate)
            for decay, numbers, *tensors in self._parts[chosen]:
                with torch.no_grad():
                    self._run_kernel(tensors, [grads[number] for number in numbers], step, learning_rate, decay)

        def _run_kernel(self, tensors, grads, step, learning_rate, decay):
            """Updates weights and their moments in place.

            Args:
                tensors: [weights, first moments, second moments], each [torch.Tensor, …].
                grads: [torch.Tensor, …], to be divided by what `_clip_gradients` found.
                step: number of this update, from 1.
                learning_rate: float or torch.Tensor.
                decay: float.
            """
            weights, momentums, velocities = tensors
            done = torch.full((), float(step), device=weights[0].device)
            torch._fused_adamw_(
                weights,
                [gradient.contiguous() for gradient in grads],
                momentums,
                velocities,
                [],
                [done] * len(weights),
                lr=learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                weight_decay=decay,
                # Keras adds epsilon before the second moment is corrected for its start, PyTorch after.
                eps=self.epsilon / (1 - self.beta_2**step) ** 0.5,
                amsgrad=False,
                maximize=False,
                grad_scale=self._divisor,
            )

        def _update_rows(self, grads, variables, learning_rate, step):
            """(gradients, variables) of those that were not updated by the rows that a batch has."""
            left = []
            for gradient, variable in zip(grads, variables):
                rows = getattr(variable, "kmodels_deferred", None)
                if rows is not None and rows.has_taken(gradient):
                    rows.update(self._run_kernel, gradient, step, float(learning_rate), self._decay_of(variable))
                    continue
                if rows is not None:
                    rows.bring_up_to_date()
                left.append((whole(gradient), variable))
            return [gradient for gradient, _ in left], [variable for _, variable in left]

        def _decay_of(self, variable):
            return self.weight_decay if self.weight_decay and self._use_weight_decay(variable) else 0.0

        def _parts_of(self, variables):
            """[(decay, [number of a variable that has it, …], its tensors, their first and second moments), …]."""
            parts: dict[float, list[int]] = {}
            for number, variable in enumerate(variables):
                parts.setdefault(self._decay_of(variable), []).append(number)
            places = [self._get_variable_index(variable) for variable in variables]
            return [
                (
                    of,
                    numbers,
                    [variables[number].value for number in numbers],
                    [self._momentums[places[number]].value for number in numbers],
                    [self._velocities[places[number]].value for number in numbers],
                )
                for of, numbers in parts.items()
            ]

    return Fused


def _averaged(grads, are_tables):
    """The mean of each gradient over the workers: one message for all, with those rows of tables that some batch used.

    Args:
        grads: [torch.Tensor, …]; those of tables are changed in place.
        are_tables: [bool, …], True for a gradient whose rows are 0 but for words that occur.
    """
    tables = [gradient for gradient, is_table in zip(grads, are_tables) if is_table]
    rows = _rows_in_use(tables)
    whole = [gradient for gradient, is_table in zip(grads, are_tables) if not is_table]
    sent = [*whole, *[table[places] for table, places in zip(tables, rows)]]
    flat = torch.cat([each.reshape(-1) for each in sent])
    distributed.all_reduce(flat)
    parts = (flat / distributed.get_world_size()).split([each.numel() for each in sent])
    averaged = [part.view_as(each) for part, each in zip(parts, sent)]
    for table, places, part in zip(tables, rows, averaged[len(whole) :]):
        table[places] = part
        if rows_of(table) is not None:
            set_rows(table, places, part)
    others = iter(averaged)
    return [gradient if is_table else next(others) for gradient, is_table in zip(grads, are_tables)]


def _rows_in_use(tables):
    """The rows of each table that are not 0 in some worker: [int64, (num_rows,), …]."""
    if not tables:
        return []
    masks = torch.cat([_is_in_use(table) for table in tables]).to(torch.uint8)
    distributed.all_reduce(masks, distributed.ReduceOp.MAX)
    return [mask.nonzero()[:, 0] for mask in masks.split([len(table) for table in tables])]


def _is_in_use(table):
    """True for each row of a table's gradient that may not be 0."""
    known = rows_of(table)
    if known is None:
        # A tenth of what the largest absolute number takes, and a quarter of `any`.
        return (table.amax(dim=1) != 0) | (table.amin(dim=1) != 0)
    return torch.zeros(len(table), dtype=torch.bool, device=table.device).index_fill_(0, known[0], True)
