"""An encoder's last layer for the first token alone."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kmodels")
class FirstTokenOfLayer(keras.layers.Layer):
    """What a transformer layer gives for the first token, without computing the others.

    Keys and values are needed of every token; query, attention's output and the feedforward block only of the first. So
    a sixth of the layer's matrices works on all tokens. The result is the layer's own, up to rounding.

    Args:
        transformer_layer: keras_hub.layers.TransformerEncoder that normalises after each block, as BERT's does; its
            weights are shared. ValueError if it normalises before.

    Call arguments:
        x: float, (batch, length, hidden_dim).
        padding_mask: int or bool, (batch, length); 0 on padding.

    Returns:
        float, (batch, hidden_dim).
    """

    def __init__(self, transformer_layer, **kwargs):
        super().__init__(**kwargs)
        if transformer_layer.normalize_first:
            raise ValueError("transformer_layer must normalise after each block; it normalises before")
        self.transformer_layer = transformer_layer

    @property
    def weights_of_first_token(self):
        """The weights that work on a sentence's first token only."""
        attention = self.transformer_layer._self_attention_layer
        of_all = {id(weight) for each in (attention._key_dense, attention._value_dense) for weight in each.weights}
        return [weight for weight in self.weights if id(weight) not in of_all]

    def build(self, x_shape, padding_mask_shape=None):
        if not self.transformer_layer.built:
            self.transformer_layer.build(x_shape)

    def call(self, x, padding_mask, training=None):
        layer = self.transformer_layer
        first = x[:, :1]  # (batch, 1, hidden_dim)
        mask = ops.cast(padding_mask, "int32")[:, None, :]  # (batch, 1, length)
        y = layer._self_attention_layer(query=first, value=x, attention_mask=mask, training=training)
        y = layer._self_attention_dropout(y, training=training)
        y = layer._self_attention_layer_norm(y + first)
        z = layer._feedforward_output_dense(layer._feedforward_intermediate_dense(y))
        z = layer._feedforward_dropout(z, training=training)
        return layer._feedforward_layer_norm(z + y)[:, 0]

    def compute_output_shape(self, x_shape, padding_mask_shape=None):
        return (x_shape[0], x_shape[2])

    def get_config(self):
        return super().get_config() | {"transformer_layer": self.transformer_layer.get_config()}

    @classmethod
    def from_config(cls, config):
        from keras_hub.layers import TransformerEncoder

        layer = TransformerEncoder(**config["transformer_layer"])
        return cls(layer, **{name: value for name, value in config.items() if name != "transformer_layer"})
