"""A padding mask that, while training, leaves some tokens out, and hidden states without theirs."""

import keras
from keras import ops

from kmodels.layers.initializers import dropout_seed


@keras.saving.register_keras_serializable("kmodels")
class HiddenTokens(keras.layers.Layer):
    """Hides tokens from an encoder as if they were padding: no other attends to them. The first one stays.

    An encoder still computes the states of the tokens themselves: what reads these needs the mask, or `ShownStates`.

    Args:
        rate: part of the tokens that a training batch does not show (Iyyer et al. 2015, section 4, of words).
        seed: of the hiding.

    Call arguments:
        padding_mask: bool, (batch, length); True on real tokens.

    Returns:
        bool, (batch, length); True on the tokens shown.
    """

    def __init__(self, rate, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(dropout_seed(seed, self.name))

    def call(self, padding_mask, training=False):
        if not training or not self.rate:
            return padding_mask
        draw = keras.random.uniform(ops.shape(padding_mask), seed=self.seed_generator)  # (batch, length)
        is_first = ops.arange(ops.shape(padding_mask)[1]) == 0
        return ops.logical_and(padding_mask, ops.logical_or(draw >= self.rate, is_first))

    def compute_output_shape(self, padding_mask_shape):
        return padding_mask_shape

    def get_config(self):
        return super().get_config() | {"rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable("kmodels")
class ShownStates(keras.layers.Layer):
    """While training, makes the hidden states of tokens that are not shown zero, as word dropout does vectors of words.

    Call arguments:
        x: float, (batch, length, hidden_dim).
        shown: bool, (batch, length); what `HiddenTokens` gives.

    Returns:
        float, (batch, length, hidden_dim).
    """

    def call(self, x, shown, training=False):
        return x * ops.cast(shown, x.dtype)[:, :, None] if training else x

    def compute_output_shape(self, x_shape, shown_shape=None):
        return x_shape
