"""The loss that is minimised."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmodels")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy of logits against class numbers, a part of the target spread over all classes.

    The mean is over the weights, so a batch's fillers (weight 0) count for nothing.

    Args:
        label_smoothing: the part spread, from 0 (plain cross-entropy) to below 1.

    Call arguments:
        y_true: int, (batch,).
        y_pred: float, (batch, num_classes); logits.
        sample_weight: float, (batch,).

    Source: Szegedy et al. 2016, section 7.
    """

    def __init__(self, label_smoothing=0.0, name="smoothed_cross_entropy", **kwargs):
        super().__init__(name=name, reduction="mean_with_sample_weight", **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        log_probabilities = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)  # (batch, num_classes)
        target = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1])
        if self.label_smoothing:
            target = target * (1 - self.label_smoothing) + self.label_smoothing / y_pred.shape[-1]
        return -ops.sum(target * log_probabilities, axis=-1)  # (batch,)

    def get_config(self):
        return super().get_config() | {"label_smoothing": self.label_smoothing}
