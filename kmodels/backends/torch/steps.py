"""A training step of few calls.

In every step Keras's own looks at the structure of targets, losses and figures, asks the whole model for its weights
several times, and computes each figure by a dozen small operations. Here the same is done for just the loss and the
figures that a run has (`kmodels.loop.compile_model`). Weights, moments, seeds and figures stay in Keras's variables,
whose tensors are taken as they are: `value` first asks for scopes, which cost a step more than what is done to them.
"""

from typing import Any

import torch
from torch.nn import functional

from kmodels.backends.plain import is_plain
from kmodels.backends.torch import deferred, graph, tables
from kmodels.callbacks.finite import FirstNonFiniteStep
from kmodels.losses import Accuracy, CrossEntropy, SmoothedCrossEntropy

FIGURES = [CrossEntropy, Accuracy, FirstNonFiniteStep]


class Step:
    """`train_step` of a model; its own where it is not plain, or was compiled with another loss or other figures.

    Args:
        model: keras.Model from {"token_ids", "padding_mask"} to logits.
    """

    def __init__(self, model):
        self._model = model
        self._own = model.train_step
        self._optimizer: Any = None
        self._tables: list[tables.GradientByRows] = []

    @property
    def is_settled(self):
        """Whether every weight is as all steps have left it."""
        return all(table.is_up_to_date for table in self._tables)

    def __call__(self, data):
        """Trains on a batch.

        Args:
            data: ({"token_ids", "padding_mask"}, labels, weights), torch.Tensor on any device.

        Returns:
            {name of a figure: its value so far in this epoch}, not waited for.
        """
        if self._model.optimizer is not self._optimizer:
            self._look_at_model()
        if not self._is_ours:
            return self._own(data)
        inputs, labels, weights = (_moved(part, self._device) for part in data)
        labels = labels.long()
        for tensor in self._tensors:
            tensor.grad = None
        with tables.by_rows(self._tables):
            (logits,) = self._computed(inputs, True)
            logits = logits.float()
            loss, cross_entropies = _Loss.apply(
                logits, labels, weights, self._model.loss.label_smoothing, self._model.loss.num_rows
            )
            self._optimizer.scale_loss(loss).backward()
        with torch.no_grad():
            self._optimizer.apply([tensor.grad for tensor in self._tensors], self._variables)
            return self._figures(loss.detach(), logits.detach(), cross_entropies, labels, weights)

    def _look_at_model(self):
        """Finds once what a compiled model has."""
        model = self._model
        self._optimizer = model.optimizer
        figures = model._compile_metrics.metrics if model._compile_metrics else []
        kinds = [type(figure) for figure in figures]
        self._is_ours = is_plain(model) and type(model.loss) is SmoothedCrossEntropy and kinds == FIGURES
        if not self._is_ours:
            return
        self._computed = graph.function_of(model)
        self._variables = list(model.trainable_weights)
        self._tensors = [variable.value for variable in self._variables]
        self._device = self._tensors[0].device
        self._tables = [deferred.gradient_of(each, model.optimizer) for each in tables.tables_of(self._variables)]
        self._means, self._finite = [model._loss_tracker, *figures[:-1]], figures[-1]

    def _figures(self, loss, logits, cross_entropies, labels, weights):
        """Brings the figures up to date, and tells them."""
        are_rows = (weights > 0).float()  # (batch,)
        cross_entropy, rows = cross_entropies.dot(are_rows), are_rows.sum()
        correct = (logits.argmax(-1) == labels).float().dot(are_rows)
        totals = [mean.total._value for mean in self._means]
        counts = [mean.count._value for mean in self._means]
        torch._foreach_add_([*totals, *counts[1:]], [loss * len(labels), cross_entropy, correct, rows, rows])
        counts[0].add_(len(labels))
        values = torch._foreach_div(totals, torch._foreach_clamp_min(counts, 1e-30))
        steps, first = self._finite.steps._value, self._finite.first._value
        steps.add_(1)
        is_finite = torch.linalg.vector_norm(logits, torch.inf) < torch.inf  # the largest; no number if one is none
        torch.where((first == 0) > is_finite, steps, first, out=first)
        names = [mean.name for mean in self._means]
        return dict(zip(names, values)) | {self._finite.name: first - 1}


class _Loss(torch.autograd.Function):
    """SmoothedCrossEntropy's mean over a batch, and each sentence's cross-entropy without smoothing or a gradient."""

    @staticmethod
    def forward(ctx, logits, labels, weights, smoothing, num_rows):
        """
        Args:
            logits: float32, (batch, num_classes).
            labels: int64, (batch,).
            weights: float32, (batch,).
            smoothing: the part of a target that all classes share.
            num_rows: by what a sum is divided; None for the sum of the weights.
        """
        log_probabilities = functional.log_softmax(logits, -1)
        losses = cross_entropies = functional.nll_loss(log_probabilities, labels, reduction="none")
        if smoothing:
            losses = torch.lerp(cross_entropies, -log_probabilities.mean(-1), smoothing)
        parts = weights / (num_rows or weights.sum().clamp(min=1e-30))
        ctx.save_for_backward(log_probabilities, labels, parts)
        ctx.smoothing = smoothing
        ctx.mark_non_differentiable(cross_entropies)
        return losses.dot(parts), cross_entropies

    @staticmethod
    def backward(ctx, gradient, _):
        log_probabilities, labels, parts = ctx.saved_tensors
        found = log_probabilities.exp()
        if ctx.smoothing:
            found.sub_(ctx.smoothing / found.shape[1])
        found.scatter_add_(1, labels[:, None], found.new_full((len(labels), 1), ctx.smoothing - 1))
        return found.mul_((parts * gradient)[:, None]), None, None, None, None


def _moved(part, device):
    if isinstance(part, dict):
        return {name: tensor.to(device, non_blocking=True) for name, tensor in part.items()}
    return part.to(device, non_blocking=True)
