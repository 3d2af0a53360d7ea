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
from kmodels.backends.torch.figures import KINDS, Figures
from kmodels.losses import SmoothedCrossEntropy


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
            of_loss = self._model.loss
            values = logits.detach().float()
            loss, gradient, cross_entropies = loss_of(
                values, labels, weights, of_loss.label_smoothing, of_loss.num_rows
            )
            gradient = self._optimizer.scale_loss(gradient).to(logits.dtype)
            # A product's gradient is its other factor: `backward(gradient)` would bring sympy up to compare two shapes.
            logits.reshape(-1).dot(gradient.reshape(-1)).backward()
        with torch.no_grad():
            self._optimizer.apply([tensor.grad for tensor in self._tensors], self._variables)
            return self._figures(loss, values, cross_entropies, labels, weights)

    def _look_at_model(self):
        """Finds once what a compiled model has."""
        model = self._model
        self._optimizer = model.optimizer
        figures = model._compile_metrics.metrics if model._compile_metrics else []
        kinds = [type(figure) for figure in figures]
        self._is_ours = is_plain(model) and type(model.loss) is SmoothedCrossEntropy and kinds == KINDS
        if not self._is_ours:
            return
        self._computed = graph.function_of(model)
        self._variables = list(model.trainable_weights)
        self._tensors = [variable.value for variable in self._variables]
        self._device = self._tensors[0].device
        self._tables = [deferred.gradient_of(each, model.optimizer) for each in tables.tables_of(self._variables)]
        self._figures = Figures(model._loss_tracker, *figures)


def loss_of(logits, labels, weights, smoothing, num_rows):
    """SmoothedCrossEntropy's mean over a batch, without autograd.

    Args:
        logits: float32, (batch, num_classes).
        labels: int64, (batch,).
        weights: float32, (batch,).
        smoothing: the part of a target that all classes share.
        num_rows: by what a sum is divided; None for the sum of the weights.

    Returns:
        (the loss, (); its gradient for the logits, (batch, num_classes); each sentence's cross-entropy without
        smoothing, (batch,)).
    """
    log_probabilities = functional.log_softmax(logits, -1)
    losses = cross_entropies = functional.nll_loss(log_probabilities, labels, reduction="none")
    if smoothing:
        losses = torch.lerp(cross_entropies, -log_probabilities.mean(-1), smoothing)
    parts = weights / (num_rows or weights.sum().clamp(min=1e-30))
    gradient = log_probabilities.exp()
    if smoothing:
        gradient.sub_(smoothing / gradient.shape[1])
    gradient.scatter_(1, labels[:, None], smoothing - 1, reduce="add").mul_(parts[:, None])
    return losses.dot(parts), gradient, cross_entropies


def _moved(part, device):
    if isinstance(part, dict):
        return {name: tensor.to(device, non_blocking=True) for name, tensor in part.items()}
    return part.to(device, non_blocking=True)
