"""The figures of an epoch so far, in Keras's variables, brought up to date by few operations."""

import numpy as np
import torch

from kmodels.callbacks.finite import FirstNonFiniteStep
from kmodels.losses import Accuracy, CrossEntropy

KINDS = [CrossEntropy, Accuracy, FirstNonFiniteStep]


class Figures:
    """What Keras's `update_state` of a run's figures does, and `result`.

    Args:
        loss: keras.metrics.Mean, of the loss.
        cross_entropy, accuracy, finite: keras.Metric, of `KINDS`.
    """

    def __init__(self, loss, cross_entropy, accuracy, finite):
        self._means, self._finite = (loss, cross_entropy, accuracy), finite

    def __call__(self, loss, logits, cross_entropies, labels, weights):
        """Adds a batch.

        Args:
            loss: float32, (): of the batch.
            logits: float32, (batch, num_classes).
            cross_entropies: float32, (batch,).
            labels: int64, (batch,).
            weights: float32, (batch,); only sentences with more than 0 count.

        Returns:
            {name of a figure: its value so far in this epoch}, not waited for.
        """
        add = self._on_cpu if logits.device.type == "cpu" else self._on_device
        *values, first = add(loss, logits, cross_entropies, labels, weights)
        names = [mean.name for mean in self._means]
        return dict(zip(names, values)) | {self._finite.name: first - 1}

    def _on_cpu(self, *of_batch):
        """By NumPy, whose operations on so few numbers begin sooner."""
        loss, logits, cross_entropies, labels, weights = (tensor.numpy() for tensor in of_batch)
        are_rows = weights > 0
        correct = np.count_nonzero((logits.argmax(1) == labels) & are_rows)
        rows = np.count_nonzero(are_rows)
        sums = (loss * len(labels), len(labels)), (cross_entropies.dot(are_rows), rows), (correct, rows)
        values = []
        for mean, (added, number) in zip(self._means, sums):
            total, count = mean.total._value.numpy(), mean.count._value.numpy()
            total += added
            count += number
            values.append(total / max(count, 1e-30))
        steps, first = self._finite.steps._value.numpy(), self._finite.first._value.numpy()
        steps += 1
        if first == 0 and not np.isfinite(logits).all():
            first[...] = steps
        return *values, first

    def _on_device(self, loss, logits, cross_entropies, labels, weights):
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
        return *values, first
