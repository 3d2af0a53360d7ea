"""Steps of several workers: each computes its part of a batch by itself, and the gradients are averaged once.

Left to divide a program for the whole batch, XLA sends more than gradients (docs/scaling.md).
"""

import functools

import jax
from jax.sharding import PartitionSpec
from keras.src.trainers.data_adapters import data_adapter_utils

from kmodels.backends.jax import random_numbers, tables

_SAME = PartitionSpec()


class Steps:
    """`train_step` of a model, and what Keras's `test_step` calls, for several workers.

    Its loss must be such that a batch's is the mean of its parts' (`kmodels.losses.SmoothedCrossEntropy`).

    Args:
        model: keras.Model, which keeps its weights in every worker.
        distribution: keras.distribution.DataParallel.
    """

    def __init__(self, model, distribution):
        self._model = model
        self._of_keras = model.compute_loss_and_updates
        self._mesh = distribution.device_mesh.backend_mesh
        self._workers = distribution.batch_dim_name

    def train_step(self, state, data):
        """Trains on a batch.

        Args:
            state: (weights, other variables, optimizer's variables, figures' variables), each [jax.Array, …].
            data: (inputs, labels, weights), of which each worker has its part.

        Returns:
            ({name of a figure: its value so far in this epoch}, the state after it).
        """
        trainable, others, of_optimizer, of_figures = state
        x, y, weights = data_adapter_utils.unpack_x_y_sample_weight(data)
        (loss, logits, others, of_figures), gradients = self._on_parts(self._gradients, (self._own, _SAME))(
            (trainable, others, of_figures, of_optimizer), (x, y, weights)
        )
        trainable, of_optimizer = self._model.optimizer.stateless_apply(of_optimizer, gradients, trainable)
        logs, of_figures = self._model._update_metrics_variables(of_figures, loss, x, y, logits, weights)
        return logs, (trainable, others, of_optimizer, of_figures)

    def compute_loss_and_updates(self, trainable, others, of_figures, x, y, weights, training=False):
        """As JAXTrainer's, where nothing is trained."""
        found = self._on_parts(functools.partial(self._outcome, training=training), self._own)(
            (trainable, others, of_figures, None), (x, y, weights)
        )
        return found[0], found

    @property
    def _own(self):
        """What of an outcome each worker has a part of: the logits."""
        return (_SAME, PartitionSpec(self._workers), _SAME, _SAME)

    def _on_parts(self, function, outputs):
        """A function of (what all have, what each has a part of) that each worker computes by itself."""
        parts = PartitionSpec(self._workers)
        return jax.shard_map(function, mesh=self._mesh, in_specs=(_SAME, parts), out_specs=outputs, check_vma=False)

    def _gradients(self, state, part):
        """(what `_outcome` gives, the gradients' means over the workers)."""
        trainable = state[0]
        looked_up = tables.tables_of(self._model)

        def loss(trainable):
            return self._scaled_loss((trainable, *state[1:]), part, training=True)

        with tables.averaged(looked_up, self._workers):
            (_, outcome), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
        is_table = [any(each is table for table in looked_up) for each in self._model.trainable_variables]
        means = iter(self._mean([gradient for gradient, known in zip(gradients, is_table) if not known]))
        gradients = [gradient if known else next(means) for gradient, known in zip(gradients, is_table)]
        return self._of_all(outcome), gradients

    def _outcome(self, state, part, training):
        """A worker's (loss, logits, other variables, figures' variables), of which the logits are its own."""
        return self._of_all(self._scaled_loss(state, part, training)[1])

    def _scaled_loss(self, state, part, training):
        trainable, others, of_figures, of_optimizer = state
        settings = {"training": training} | ({"optimizer_variables": of_optimizer} if of_optimizer else {})
        with random_numbers.of_each_worker(self._workers):
            return self._of_keras(trainable, others, of_figures, *part, **settings)

    def _of_all(self, outcome):
        """The other variables are counters of random numbers, the same in every worker."""
        loss, *others = outcome
        return self._mean(loss), *others

    def _mean(self, values):
        return jax.lax.pmean(values, self._workers)
