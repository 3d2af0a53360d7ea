"""The loss that is minimised, and the figures that are told."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmodels")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy of logits against class numbers, a part of the target spread over all classes.

    The mean is over the weights, so a batch's fillers (weight 0) count for nothing.

    Args:
        label_smoothing: the part spread, from 0 (plain cross-entropy) to below 1.
        num_rows: rows of a worker's part of a batch, whose weighted sum is divided by it; the mean over the workers is
            then that over the batch (`kmodels.data.batching.Batches.iterate`). None: the mean over the weights.

    Call arguments:
        y_true: int, (batch,).
        y_pred: float, (batch, num_classes); logits.
        sample_weight: float, (batch,).

    Source: Szegedy et al. 2016, section 7.
    """

    def __init__(self, label_smoothing=0.0, num_rows=None, name="smoothed_cross_entropy", **kwargs):
        super().__init__(name=name, reduction="sum" if num_rows else "mean_with_sample_weight", **kwargs)
        self.label_smoothing = label_smoothing
        self.num_rows = num_rows

    def call(self, y_true, y_pred):
        log_probabilities = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)  # (batch, num_classes)
        target = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1])
        if self.label_smoothing:
            target = target * (1 - self.label_smoothing) + self.label_smoothing / y_pred.shape[-1]
        losses = -ops.sum(target * log_probabilities, axis=-1)  # (batch,)
        return losses / self.num_rows if self.num_rows else losses

    def get_config(self):
        return super().get_config() | {"label_smoothing": self.label_smoothing, "num_rows": self.num_rows}


class _OverSentences(keras.metrics.Metric):
    """A metric in which every sentence counts once, whatever its weight in the loss; a filler (weight 0) never."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight > 0, "float32")
        return super().update_state(y_true, y_pred, sample_weight)


@keras.saving.register_keras_serializable("kmodels")
class CrossEntropy(_OverSentences, keras.metrics.SparseCategoricalCrossentropy):
    """The mean cross-entropy of logits over sentences."""

    def __init__(self, name="cross_entropy", **kwargs):
        super().__init__(name=name, **({"from_logits": True} | kwargs))


@keras.saving.register_keras_serializable("kmodels")
class Accuracy(_OverSentences, keras.metrics.SparseCategoricalAccuracy):
    """The part of the sentences whose largest logit is their class's."""
