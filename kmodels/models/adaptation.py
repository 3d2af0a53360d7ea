"""How an encoder is trained: its tables in float32, lower layers frozen or at lower rates, low-rank updates."""

import keras

from kmodels.errors import InputError
from kmodels.layers.initializers import GlorotUniform


def look_up_in_float32(backbone):
    """Has tables looked up before their vectors get the compute type of mixed precision.

    Keras casts the table first, all of its rows in every step, and on the way back the gradient of all of them. Half of
    a small encoder is its table.

    Args:
        backbone: KerasHub encoder.
    """
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Embedding):
            layer.dtype_policy = "float32"


def freeze(backbone, num_layers):
    """Keeps an encoder's embeddings and its lowest layers as they are.

    Args:
        backbone: KerasHub encoder.
        num_layers: how many of the lowest layers; 0 freezes nothing, not even the embeddings.

    Raises:
        InputError: the encoder has fewer layers.
    """
    if num_layers > backbone.num_layers:
        raise InputError(f"frozen_layers must be at most {backbone.num_layers}, this encoder's; got {num_layers}")
    if num_layers == 0:
        return
    for layer in [*_embedding_layers(backbone), *backbone.transformer_layers[:num_layers]]:
        # Not `layer.trainable`: on TensorFlow, setting it to what it is already leaves the layers inside as they are.
        for variable in layer.weights:
            variable.trainable = False


def decay_rates(backbone, layer_decay):
    """Has each layer of an encoder learn at a part of the rate of the layer above; the embeddings are the lowest.

    Args:
        backbone: KerasHub encoder; its variables get a `learning_rate_factor`, which `kmodels.optimizers` reads.
        layer_decay: the part; of the topmost layer, that of the learning rate. 1 changes nothing.

    Source: Clark et al. 2020 (ELECTRA), appendix B; Bao et al. 2022 (BEiT), for the place of the topmost layer.
    """
    if layer_decay == 1:
        return
    factor = layer_decay
    for layers in [*[[layer] for layer in reversed(backbone.transformer_layers)], _embedding_layers(backbone)]:
        for variable in [variable for layer in layers for variable in layer.weights]:
            variable.learning_rate_factor = factor
        factor *= layer_decay


def _embedding_layers(backbone):
    """An encoder's layers that are neither a transformer's nor its pooler."""
    encoder_layers = set(map(id, backbone.transformer_layers))
    return [layer for layer in backbone.layers if id(layer) not in encoder_layers and layer.name != "pooled_dense"]


def add_lora(backbone, rank, seed):
    """Leaves an encoder's weights as they are and trains low-rank updates of its query and value projections.

    It sets anew what trains: freeze lower layers afterwards, and their updates stay zero.

    Args:
        backbone: KerasHub encoder.
        rank: of the updates.
        seed: of the updates' initial weights, the same numbers on every backend.

    Source: Hu et al. 2022 (LoRA), section 4.
    """
    backbone.enable_lora(rank)
    for variable in backbone.trainable_variables:
        if variable.name == "lora_kernel_a":
            variable.assign(GlorotUniform(seed, variable.path)(variable.shape, variable.dtype))
        elif variable.name != "lora_kernel_b":
            variable.trainable = False  # Keras leaves the biases of query and value training
