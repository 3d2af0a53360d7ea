"""Gradients of several workers, for the backends whose optimizer has to average them."""

from typing import Any


def with_averaged(kind: Any, averaged):
    """A Keras optimizer that clips and applies the mean of the workers' gradients.

    Args:
        kind: the optimizer's class.
        averaged: function of [gradient, …] and [whether it is a table's, …] that gives the mean of each.
    """

    class Averaged(kind):
        def apply(self, grads, trainable_variables=None):
            variables = trainable_variables or self._trainable_variables
            self._are_tables = [_is_table(each) for each, gradient in zip(variables, grads) if gradient is not None]
            return super().apply(grads, trainable_variables)

        def _clip_gradients(self, grads):
            return super()._clip_gradients(averaged(grads, self._are_tables))

    return Averaged


def _is_table(variable):
    """True for a table of vectors to look up: its gradient is 0 but in the rows of the words that occur."""
    return variable.path.endswith("/embeddings")
