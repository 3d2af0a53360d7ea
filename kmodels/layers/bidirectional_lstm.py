"""A bidirectional LSTM over right-padded sentences that needs no mask."""

import keras
from keras import ops

from kmodels.layers.initializers import GlorotUniform, Orthogonal
from kmodels.layers.pooling import masked_max, masked_mean


def states_at(x, positions):
    """The states at some positions of each sentence, as rows of all: `take_along_axis` is thrice as slow to derive.

    Args:
        x: float, (batch, length, dim).
        positions: int32, (batch, number of positions).

    Returns:
        float, (batch, number of positions, dim).
    """
    batch, length, dim = ops.shape(x)
    first = length * ops.arange(batch, dtype="int32")[:, None]  # (batch, 1)
    return ops.take(ops.reshape(x, (-1, dim)), first + positions, axis=0)


def places_reversed(padding_mask):
    """Where each word of a sentence that is turned round stood before; its padding stays.

    Args:
        padding_mask: bool, (batch, length); True on real tokens, which come first.

    Returns:
        int32, (batch, length).
    """
    position = ops.arange(ops.shape(padding_mask)[1], dtype="int32")[None, :]  # (1, length)
    last = ops.sum(ops.cast(padding_mask, "int32"), axis=1, keepdims=True) - 1  # (batch, 1)
    return ops.where(padding_mask, last - position, position)


def reverse_within_length(x, padding_mask):
    """Turns each sentence round and leaves its padding where it is.

    Args:
        x: float, (batch, length, dim).
        padding_mask: bool, (batch, length); True on real tokens, which come first.

    Returns:
        float, (batch, length, dim).
    """
    return states_at(x, places_reversed(padding_mask))


def last_state(x, padding_mask):
    """Each sentence's hidden state at its last real token: (batch, length, dim) → (batch, dim); zero without tokens."""
    count = ops.sum(ops.cast(padding_mask, "int32"), axis=1, keepdims=True)  # (batch, 1)
    return states_at(x, ops.maximum(count - 1, 0))[:, 0, :] * ops.cast(count > 0, x.dtype)


@keras.saving.register_keras_serializable("kmodels")
class BidirectionalLSTM(keras.layers.Layer):
    """Reads a sentence in both directions and pools the hidden states, whatever padding follows it.

    With a mask, Keras's LSTM runs step by step and uses no fused kernel. A right-padded batch needs none: the forward
    LSTM meets the padding last, and the backward LSTM reads each sentence reversed within its own length.

    Args:
        units: size of each direction's state.
        pooling: "last" (the last states of both directions), "mean" or "max" over the real tokens.
        seed: of the initial weights.

    Call arguments:
        x: float, (batch, length, dim).
        padding_mask: bool, (batch, length); True on real tokens, which come first.

    Returns:
        float, (batch, 2 * units).

    Source: Hochreiter & Schmidhuber 1997; Graves & Schmidhuber 2005.
    """

    def __init__(self, units, pooling="last", seed=0, **kwargs):
        super().__init__(**kwargs)
        if pooling not in ("last", "mean", "max"):
            raise ValueError(f"pooling must be 'last', 'mean' or 'max'; got {pooling!r}")
        self.units = units
        self.pooling = pooling
        self.seed = seed
        self.forward_lstm = self._direction("forward_lstm")
        self.backward_lstm = self._direction("backward_lstm")

    def _direction(self, name):
        return keras.layers.LSTM(
            self.units,
            return_sequences=True,
            kernel_initializer=GlorotUniform(self.seed, f"{self.name}/{name}/kernel"),
            recurrent_initializer=Orthogonal(self.seed, f"{self.name}/{name}/recurrent_kernel"),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, x_shape, padding_mask_shape=None):
        self.forward_lstm.build(x_shape)
        self.backward_lstm.build(x_shape)

    def call(self, x, padding_mask):
        # Without what Keras does before each layer's work, and did before this one's.
        forward = self.forward_lstm.call(x)  # (batch, length, units)
        backward = self.backward_lstm.call(reverse_within_length(x, padding_mask))  # (batch, length, units)
        return self.pooled(forward, backward, padding_mask)

    def pooled(self, forward, backward, padding_mask):
        """What `call` makes of each direction's states, (batch, length, units), in the direction's order."""
        if self.pooling == "last":
            return ops.concatenate([last_state(forward, padding_mask), last_state(backward, padding_mask)], axis=-1)
        # A mean and a maximum over time don't depend on the order, so the backward states stay reversed.
        pool = masked_mean if self.pooling == "mean" else masked_max
        return ops.concatenate([pool(forward, padding_mask), pool(backward, padding_mask)], axis=-1)

    def compute_output_shape(self, x_shape, padding_mask_shape=None):
        return (x_shape[0], 2 * self.units)

    def get_config(self):
        return super().get_config() | {"units": self.units, "pooling": self.pooling, "seed": self.seed}
