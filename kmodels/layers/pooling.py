"""From the hidden states of a sentence to one vector, blind to padding."""

import keras
from keras import ops


def masked_mean(x, padding_mask):
    """Averages hidden states over the real tokens of each sentence.

    Args:
        x: float, (batch, length, hidden_dim).
        padding_mask: bool, (batch, length); True on real tokens.

    Returns:
        float, (batch, hidden_dim); zero for a row without real tokens.

    Source: Reimers & Gurevych 2019, section 3 (MEAN pooling).
    """
    mask = ops.cast(padding_mask, x.dtype)[:, :, None]  # (batch, length, 1)
    count = ops.maximum(ops.sum(mask, axis=1), 1)  # (batch, 1)
    return ops.sum(x * mask, axis=1) / count


def masked_max(x, padding_mask):
    """Takes each dimension's largest value over the real tokens of each sentence.

    Args:
        x: float, (batch, length, hidden_dim).
        padding_mask: bool, (batch, length); True on real tokens.

    Returns:
        float, (batch, hidden_dim); zero for a row without real tokens.

    Source: Collobert et al. 2011, section 3.2.2 (max over time).
    """
    mask = padding_mask[:, :, None]  # (batch, length, 1)
    # -1e4 fits float16, and lies below what an activation reaches.
    largest = ops.max(ops.where(mask, x, ops.cast(-1e4, x.dtype)), axis=1)
    return ops.where(ops.any(mask, axis=1), largest, ops.zeros_like(largest))


@keras.saving.register_keras_serializable("kmodels")
class MaskedPooling(keras.layers.Layer):
    """`masked_mean`, `masked_max`, or the first token, as a layer.

    Args:
        pooling: "mean", "max" or "first".

    Call arguments:
        x: float, (batch, length, hidden_dim).
        padding_mask: bool, (batch, length).

    Returns:
        float, (batch, hidden_dim).
    """

    def __init__(self, pooling, **kwargs):
        super().__init__(**kwargs)
        if pooling not in ("mean", "max", "first"):
            raise ValueError(f"pooling must be 'mean', 'max' or 'first'; got {pooling!r}")
        self.pooling = pooling

    def call(self, x, padding_mask):
        if self.pooling == "first":
            return x[:, 0, :]
        return (masked_mean if self.pooling == "mean" else masked_max)(x, padding_mask)

    def compute_output_shape(self, x_shape, padding_mask_shape=None):
        return (x_shape[0], x_shape[-1])

    def get_config(self):
        return super().get_config() | {"pooling": self.pooling}
