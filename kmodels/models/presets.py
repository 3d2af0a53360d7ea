"""Encoders and their tokenizers: loaded from a preset, described, and built again from the description."""

import hashlib
import json

import keras
import numpy as np

from kmodels.architectures import SCRATCH_SIZES
from kmodels.data import tokenizer_training
from kmodels.errors import InputError
from kmodels.layers.initializers import TruncatedNormal, none_drawn
from kmodels.models import encoder_sizes, hugging_face, hugging_face_tokenizer, keras_preset, preset_files
from kmodels.models.adaptation import add_lora, decay_rates, freeze, look_up_in_float32
from kmodels.models.preset_places import BACKBONES, check, either_kind, folder_of, is_scratch


def load(config, texts):
    """The tokenizer and the encoder that a config's preset names, frozen or with low-rank updates as it says.

    Args:
        config: kmodels.config.RunConfig, resolved, of a model that starts from an encoder.
        texts: [str, …], the training text, on which the tokenizer of `scratch:SIZE` is trained.

    Returns:
        (kmodels.data.tokenizers.Tokenizer, KerasHub backbone).

    Raises:
        InputError: the preset can't be read, or does not fit the other settings.
    """
    preset, reads = config.preset, config.architecture.reads
    check(preset, reads)
    if is_scratch(preset):
        train = tokenizer_training.train_wordpiece if reads == "wordpiece" else tokenizer_training.train_byte_level_bpe
        tokenizer = train(texts, config.vocabulary_size)
        backbone = scratch_backbone(preset, reads, tokenizer.vocabulary_size, config.dropout, config.seed)
    else:
        tokenizer = load_tokenizer(preset, reads)
        backbone = load_backbone(preset, reads, config.dropout, needs_pooler=config.pooling == "pooler")
    longest = backbone.max_sequence_length
    if config.max_length > longest:
        raise InputError(f"max_length must be at most {longest}, what {preset} can read; got {config.max_length}")
    _check_fits(preset, tokenizer, backbone.vocabulary_size)
    _adapt(backbone, config)
    return tokenizer, backbone


def restore(config, description):
    """The encoder that `load` gave, its weights not set yet, from its description: no preset is needed any more."""
    backbone = from_description(description)
    _adapt(backbone, config)
    return backbone


def describe(backbone):
    """An encoder without its weights, as JSON: what `from_description` builds again."""
    config = {
        name: value for name, value in backbone.get_config().items() if name not in ("name", "trainable", "dtype")
    }
    return {"class": type(backbone).__name__, "config": config, "variant": hugging_face.variant_of(backbone)}


def digest(backbone):
    """The same for encoders that describe themselves alike and have the same weights: str."""
    found = hashlib.sha256(json.dumps(describe(backbone), sort_keys=True).encode())
    for weight in backbone.weights:
        found.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).data)
    return found.hexdigest()


def from_description(description, path="model.json"):
    """The encoder that `describe` described, its weights not set yet: zeros, mostly.

    Args:
        description: what `describe` gave.
        path: the file it is from, for messages.

    Raises:
        InputError: it describes no encoder.
    """
    sizes = encoder_sizes.of_description(description, path)
    dropout = description["config"].get("dropout")
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise InputError(f"{path}: dropout must be a number from 0 to below 1; got {dropout!r:.80}")
    variant = description.get("variant", {})  # the first runs have none
    if not isinstance(variant, dict):
        raise InputError(f"{path}: variant must be a JSON object; got {variant!r:.80}")
    variant = {name: variant[name] for name in ("hidden_act", "layer_norm_eps") if variant.get(name) is not None}
    hugging_face.check_variant(path, **variant)
    classes = {backbone.__name__: backbone for backbone in BACKBONES.values()}
    with none_drawn():
        backbone = classes[description["class"]](**sizes, dropout=dropout)
    hugging_face.set_variant(backbone, **variant)
    return backbone


def load_tokenizer(preset, reads):
    """The tokenizer of a pretrained encoder.

    Args:
        preset: a KerasHub name, a folder in Keras or Hugging Face format, or a hub handle.
        reads: "wordpiece" or "byte_level_bpe".

    Returns:
        kmodels.data.tokenizers.Tokenizer with the preset's ids.

    Raises:
        InputError: the preset can't be read.
    """
    folder = folder_of(preset, reads)
    if preset_files.is_hugging_face(folder):
        return hugging_face_tokenizer.read_tokenizer(folder, reads)
    return keras_preset.read_tokenizer(folder, reads)


def load_backbone(preset, reads, dropout, needs_pooler=True):
    """The pretrained encoder itself, its weights loaded.

    Args:
        preset: a KerasHub name, a folder in Keras or Hugging Face format, or a hub handle.
        reads: "wordpiece" (BERT) or "byte_level_bpe" (RoBERTa).
        dropout: rate of every dropout inside the encoder.
        needs_pooler: False if BERT's pooler is not read; then a Hugging Face checkpoint without one will do.

    Raises:
        InputError: the preset can't be read, or holds another kind of encoder.
    """
    folder = folder_of(preset, reads)
    if preset_files.is_hugging_face(folder):
        return hugging_face.read_backbone(folder, BACKBONES[reads], dropout, needs_pooler)
    return keras_preset.read_backbone(folder, BACKBONES[reads], dropout)


def load_token_table(preset):
    """The vectors of a pretrained encoder's tokens, whichever of the two kinds it is.

    Args:
        preset: a KerasHub name, a folder in Keras or Hugging Face format, or a hub handle.

    Returns:
        (kmodels.data.tokenizers.Tokenizer, float32 (vocabulary_size, dim)).

    Raises:
        InputError: the preset can't be read, or is of neither kind.
    """
    reads, folder = either_kind(preset)
    if preset_files.is_hugging_face(folder):
        table = hugging_face.read_token_table(folder)
    else:
        table = keras.ops.convert_to_numpy(load_backbone(preset, reads, 0.0).token_embedding.embeddings)
    tokenizer = load_tokenizer(preset, reads)
    _check_fits(preset, tokenizer, len(table))
    return tokenizer, table


def load_either_kind(preset):
    """A pretrained encoder with its tokenizer, whichever of the two kinds it is, without dropout and in float32.

    Args:
        preset: a KerasHub name, a folder in Keras or Hugging Face format, or a hub handle.

    Returns:
        (kmodels.data.tokenizers.Tokenizer, KerasHub backbone).

    Raises:
        InputError: the preset can't be read, or is of neither kind.
    """
    reads, _ = either_kind(preset)
    tokenizer = load_tokenizer(preset, reads)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        backbone = load_backbone(preset, reads, 0.0, needs_pooler=False)
    finally:
        keras.config.set_dtype_policy(policy)
    _check_fits(preset, tokenizer, backbone.vocabulary_size)
    return tokenizer, backbone


def scratch_backbone(preset, reads, vocabulary_size, dropout, seed):
    """An encoder of a standard size with random weights, the same numbers on every backend.

    Args:
        preset: "scratch:SIZE".
        reads: "wordpiece" (BERT) or "byte_level_bpe" (RoBERTa).
        vocabulary_size: entries of its tokenizer.
        dropout: rate of every dropout inside the encoder.
        seed: of the weights.

    Source: Turc et al. 2019 (sizes); Devlin et al. 2019 (initial weights).
    """
    num_layers, hidden_dim = SCRATCH_SIZES[preset.removeprefix("scratch:")]
    with none_drawn():
        backbone = BACKBONES[reads](
            vocabulary_size=vocabulary_size,
            num_layers=num_layers,
            num_heads=hidden_dim // 64,
            hidden_dim=hidden_dim,
            intermediate_dim=4 * hidden_dim,
            dropout=dropout,
        )
    for number, variable in enumerate(backbone.weights):
        if variable.name in ("kernel", "embeddings", "position_embeddings"):
            initializer = TruncatedNormal(0.02, seed, f"backbone/{number}")
            variable.assign(initializer(variable.shape, variable.dtype))
    return backbone


def _adapt(backbone, config):
    look_up_in_float32(backbone)
    if config.lora_rank:
        add_lora(backbone, config.lora_rank, config.seed)
    freeze(backbone, config.frozen_layers)  # after add_lora, which sets anew what trains
    decay_rates(backbone, config.layer_decay)


def _check_fits(preset, tokenizer, num_vectors):
    if tokenizer.vocabulary_size > num_vectors:
        raise InputError(
            f"{preset} must have a vector for every token; its tokenizer has {tokenizer.vocabulary_size} tokens, "
            f"its encoder {num_vectors} vectors: give a folder whose files belong together"
        )
