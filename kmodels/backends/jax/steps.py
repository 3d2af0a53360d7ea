"""Steps of several workers: each computes its part of a batch by itself, and the gradients are averaged once.

Left to divide a program for the whole batch, XLA sends more than gradients (docs/scaling.md).
"""

import functools

import jax
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
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
        gradients, loss, (logits, y, weights), others, of_figures = self._on_parts(self._gradients, _SAME)(
            (trainable, others, of_figures, of_optimizer), (x, y, weights)
        )
        trainable, of_optimizer = self._model.optimizer.stateless_apply(of_optimizer, gradients, trainable)
        logs, of_figures = self._model._update_metrics_variables(of_figures, loss, x, y, logits, weights)
        return logs, (trainable, others, of_optimizer, of_figures)

    def compute_loss_and_updates(self, trainable, others, of_figures, x, y, weights, training=False):
        """As JAXTrainer's, where nothing is trained."""
        own_logits = (_SAME, PartitionSpec(self._workers), _SAME, _SAME)
        found = self._on_parts(functools.partial(self._outcome, training=training), own_logits)(
            (trainable, others, of_figures, None), (x, y, weights)
        )
        return found[0], found

    def _on_parts(self, function, outputs):
        """A function of (what all have, what each has a part of) that each worker computes by itself."""
        parts = PartitionSpec(self._workers)
        return jax.shard_map(function, mesh=self._mesh, in_specs=(_SAME, parts), out_specs=outputs, check_vma=False)

    def _gradients(self, state, part):
        """(gradients and loss, their means over the workers; (logits, labels, weights) of all; others; of figures)."""
        trainable = state[0]
        looked_up = tables.tables_of(self._model)

        def loss(trainable):
            return self._scaled_loss((trainable, *state[1:]), part, training=True)

        with tables.averaged(looked_up, self._workers):
            (_, (loss, logits, others, of_figures)), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
        is_table = [any(each is table for table in looked_up) for each in self._model.trainable_variables]
        own = [gradient for gradient, known in zip(gradients, is_table) if not known]
        loss, *means = self._mean_at_once([loss, *own])
        gradients = [gradient if known else means.pop(0) for gradient, known in zip(gradients, is_table)]
        return gradients, loss, self._gathered(logits, *part[1:]), others, of_figures

    def _outcome(self, state, part, training):
        """A worker's (loss, logits, other variables, figures' variables), of which the logits are its own.

        The other variables are counters of random numbers, the same in every worker.
        """
        loss, *others = self._scaled_loss(state, part, training)[1]
        return self._mean(loss), *others

    def _scaled_loss(self, state, part, training):
        trainable, others, of_figures, of_optimizer = state
        settings = {"training": training} | ({"optimizer_variables": of_optimizer} if of_optimizer else {})
        with random_numbers.of_each_worker(self._workers):
            return self._of_keras(trainable, others, of_figures, *part, **settings)

    def _gathered(self, logits, y, weights):
        """Logits, labels and weights of the whole batch, in one message."""
        columns = [logits.astype("float32"), y[:, None].astype("float32"), weights[:, None].astype("float32")]
        rows = jax.lax.all_gather(jnp.concatenate(columns, axis=1), self._workers, tiled=True)
        return rows[:, :-2], rows[:, -2].astype(y.dtype), rows[:, -1]

    def _mean_at_once(self, arrays):
        """Of many arrays; Gloo takes milliseconds for each, however small, so on a CPU they go as one."""
        if jax.default_backend() != "cpu":
            return self._mean(arrays)
        numbers, apart = ravel_pytree(arrays)
        return apart(self._mean(numbers))

    def _mean(self, values):
        return jax.lax.pmean(values, self._workers)
