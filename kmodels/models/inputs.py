"""How every classifier begins and ends."""

import keras
from keras import ops

from kmodels.layers.initializers import GlorotUniform, TruncatedNormal, dropout_seed


def token_inputs():
    """The inputs of every classifier: token_ids int32, and padding_mask bool, True on real tokens; (batch, length)."""
    return {
        "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
        "padding_mask": keras.Input((None,), dtype="bool", name="padding_mask"),
    }


def encoder_features(backbone, inputs):
    """What an encoder takes, of the inputs that `token_inputs` gave, as one segment."""
    features = {"token_ids": inputs["token_ids"], "padding_mask": ops.cast(inputs["padding_mask"], "int32")}
    if hasattr(backbone, "segment_embedding"):  # RoBERTa knows one segment only
        features["segment_ids"] = ops.zeros_like(inputs["token_ids"])
    return features


def logits_layer(num_classes, seed, stddev=None):
    """The last layer: (batch, dim) → float32 logits, (batch, num_classes), whatever precision came before.

    Args:
        num_classes: number of classes.
        seed: of the initial weights.
        stddev: of the initial weights, as BERT draws them; None for Glorot's uniform.
    """
    name = "logits/kernel"
    initializer = GlorotUniform(seed, name) if stddev is None else TruncatedNormal(stddev, seed, name)
    return keras.layers.Dense(num_classes, kernel_initializer=initializer, dtype="float32", name="logits")


def dropout_layer(rate, seed, name):
    """Dropout that draws by itself: every layer's seed follows from the model's and its name."""
    return keras.layers.Dropout(rate, seed=dropout_seed(seed, name), name=name)
