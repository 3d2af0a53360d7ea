"""Keras's Adam and AdamW with TensorFlow's kernel, and with gradients that several workers average."""

import itertools
from typing import Any

import tensorflow as tf

from kmodels.backends import gradients
from kmodels.backends.tensorflow.collective import new_key, num_workers, reduced


def optimizer_class(kind: Any):
    """Keras's Adam or AdamW, told each word's gradient once; on a CPU with TensorFlow's kernel for the update.

    The gradient of a looked-up table comes as rows, one for each time a word occurs. Keras 3.15 takes their squares and
    their norm before it adds up the rows of one word: a wrong second moment wherever a batch repeats a word.
    """
    on_cpu = not tf.config.list_logical_devices("GPU")
    if on_cpu:
        kind = _fused(kind)

    class GradientsOnce(kind):
        def apply(self, grads, trainable_variables=None):
            as_rows = on_cpu and not self.gradient_accumulation_steps  # batches are added up as whole tables
            told = _added_up if as_rows else _dense
            variables = trainable_variables or self._trainable_variables
            once = [gradient if gradient is None else told(gradient, each) for gradient, each in zip(grads, variables)]
            return super().apply(once, trainable_variables)

    return GradientsOnce if num_workers() == 1 else gradients.with_averaged(GradientsOnce, _averaged)


def _added_up(gradient, variable):
    """A gradient of which each row is told once."""
    if not isinstance(gradient, tf.IndexedSlices):
        return _dense(gradient, variable)
    words, places = tf.unique(gradient.indices)
    rows = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(words))
    return tf.IndexedSlices(rows, words, tf.constant(list(variable.shape), words.dtype))


def _dense(gradient, variable):
    return tf.ensure_shape(tf.convert_to_tensor(gradient), variable.shape)


def _fused(kind: Any):
    """An optimizer whose update is one pass over every weight, as is its decay, and whose clipping makes no squares.

    Keras's own takes a dozen passes, each an operation of its own where XLA does not join them, as on a CPU.
    """

    class Fused(kind):
        def _clip_gradients(self, grads):
            return tf.clip_by_global_norm(grads, self.global_clipnorm)[0] if self.global_clipnorm else grads

        def _apply_weight_decay(self, variables):
            if self.weight_decay is None:
                return
            left = 1 - tf.cast(self.learning_rate, tf.float32) * self.weight_decay
            for variable in variables:
                if self._use_weight_decay(variable):
                    variable.value.assign(variable.value * left)

        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            step = tf.cast(self.iterations + 1, tf.float32)
            for gradient, variable in zip(grads, trainable_variables):
                place = self._get_variable_index(variable)
                tf.raw_ops.ResourceApplyAdam(
                    var=variable.value.handle,
                    m=self._momentums[place].value.handle,
                    v=self._velocities[place].value.handle,
                    beta1_power=tf.pow(self.beta_1, step),
                    beta2_power=tf.pow(self.beta_2, step),
                    lr=tf.cast(learning_rate, tf.float32),
                    beta1=self.beta_1,
                    beta2=self.beta_2,
                    epsilon=self.epsilon,
                    grad=_dense(gradient, variable),
                )

    return Fused


def _averaged(grads, are_tables):
    """The mean of each gradient over the workers: of tables, only those rows go round that some batch used.

    Args:
        grads: [tf.Tensor or tf.IndexedSlices with each row once, …].
        are_tables: [bool, …], True for a gradient whose rows are 0 but for words that occur.

    Returns:
        [as `grads`, …].
    """
    whole = [gradient for gradient, is_table in zip(grads, are_tables) if not is_table]
    flat = tf.concat([tf.reshape(each, [-1]) for each in whole], axis=0)
    parts = tf.split(reduced(flat, "Mean", new_key()), [tf.size(each) for each in whole])
    others = iter([tf.reshape(part, tf.shape(each)) for part, each in zip(parts, whole)])
    tables = [gradient for gradient, is_table in zip(grads, are_tables) if is_table]
    means = iter(_means_of_tables([_as_rows(table) for table in tables]))
    averages = [next(means if is_table else others) for is_table in are_tables]
    return [
        average if isinstance(gradient, tf.IndexedSlices) else tf.convert_to_tensor(average)
        for gradient, average in zip(grads, averages)
    ]


def _as_rows(table):
    """A table's gradient as the rows that are not 0."""
    if isinstance(table, tf.IndexedSlices):
        return table
    words = tf.where(tf.reduce_any(tf.not_equal(table, 0), axis=1))[:, 0]
    return tf.IndexedSlices(tf.gather(table, words), words, tf.constant(list(table.shape), words.dtype))


def _means_of_tables(tables):
    """The means of tables' gradients over the workers: rows of the words that some worker's batch used."""
    if not tables:
        return []
    masks = reduced(tf.concat([_mask_of(table) for table in tables], axis=0), "Max", new_key())
    return [_mean_of_rows(*each) for each in zip(tables, tf.split(masks, [table.shape[0] for table in tables]))]


def _mask_of(table):
    """1 for each word whose row is not 0, as that of a hidden word is: int32, (num_words,)."""
    used = tf.cast(tf.reduce_any(tf.not_equal(table.values, 0), axis=1), tf.int32)
    return tf.scatter_nd(table.indices[:, None], used, table.dense_shape[:1])


def _mean_of_rows(table, mask):
    """Rows of the words in the mask. The operation wants a shape known beforehand: rows of 0 fill it up."""
    words = tf.cast(tf.where(mask)[:, 0], table.indices.dtype)
    places = tf.maximum(tf.gather(tf.cumsum(mask) - 1, table.indices), 0)[:, None]  # rows of 0 change none
    count, (most, dim) = tf.size(words), table.shape
    sizes = (int(256 * 1.25**number) for number in itertools.count())
    capacities = [*itertools.takewhile(lambda size: size < most, sizes), most]

    def branch(capacity, key):
        return lambda: reduced(tf.scatter_nd(places, table.values, (capacity, dim)), "Mean", key)[:count]

    number = tf.searchsorted(capacities, [count])[0]
    rows = tf.switch_case(number, [branch(capacity, new_key()) for capacity in capacities])
    return tf.IndexedSlices(rows, words, table.dense_shape)
