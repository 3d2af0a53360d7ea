"""Pretrained encoders and their tokenizers: KerasHub names, folders, hub handles, and `scratch:SIZE`."""

from pathlib import Path

import keras_hub

from kmodels.architectures import SCRATCH_SIZES
from kmodels.config import did_you_mean
from kmodels.data import tokenizers
from kmodels.errors import InputError
from kmodels.layers.initializers import TruncatedNormal
from kmodels.models import hugging_face, hugging_face_tokenizer, preset_files
from kmodels.models.adaptation import add_lora, freeze

_BACKBONES = {
    "wordpiece": keras_hub.models.BertBackbone,
    "byte_level_bpe": keras_hub.models.RobertaBackbone,
}
_TOKENIZERS = {
    "wordpiece": keras_hub.models.BertTokenizer,
    "byte_level_bpe": keras_hub.models.RobertaTokenizer,
}
# What KerasHub raises for a preset that is out of reach, of another kind or damaged; TypeError: a config.json that
# lacks a setting.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)


def is_scratch(preset):
    """True for `scratch:SIZE`, an encoder of random weights."""
    return preset.startswith("scratch:")


def check(preset, reads):
    """Raises InputError, before anything is loaded, if `preset` can't be one.

    Args:
        preset: what `--preset` was given.
        reads: "wordpiece" (BERT) or "byte_level_bpe" (RoBERTa).
    """
    if is_scratch(preset):
        size = preset.removeprefix("scratch:")
        if size not in SCRATCH_SIZES:
            hint = did_you_mean(size, SCRATCH_SIZES)
            raise InputError(f"scratch: must be followed by one of {', '.join(SCRATCH_SIZES)}; got {size!r}{hint}")
    elif not preset.startswith(("hf://", "kaggle://")) and preset not in _BACKBONES[reads].presets:
        _check_path(preset, reads)


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
        train = tokenizers.train_wordpiece if reads == "wordpiece" else tokenizers.train_byte_level_bpe
        tokenizer = train(texts, config.vocabulary_size)
        backbone = scratch_backbone(preset, reads, tokenizer.vocabulary_size, config.dropout, config.seed)
    else:
        tokenizer = load_tokenizer(preset, reads)
        backbone = load_backbone(preset, reads, config.dropout, needs_pooler=config.pooling == "pooler")
    longest = backbone.max_sequence_length
    if config.max_length > longest:
        raise InputError(f"max_length must be at most {longest}, what {preset} can read; got {config.max_length}")
    if tokenizer.vocabulary_size > backbone.vocabulary_size:
        raise InputError(
            f"{preset} must have a vector for every token; its tokenizer has {tokenizer.vocabulary_size} tokens, "
            f"its encoder {backbone.vocabulary_size} vectors: give a folder whose files belong together"
        )
    if config.lora_rank:
        add_lora(backbone, config.lora_rank, config.seed)
    freeze(backbone, config.frozen_layers)  # the last, for add_lora sets anew what trains
    return tokenizer, backbone


def describe(backbone):
    """An encoder without its weights, as JSON: what `from_description` builds again."""
    config = {
        name: value for name, value in backbone.get_config().items() if name not in ("name", "trainable", "dtype")
    }
    return {"class": type(backbone).__name__, "config": config, "variant": hugging_face.variant_of(backbone)}


def from_description(description):
    """The encoder that `describe` described, with random weights."""
    classes = {backbone.__name__: backbone for backbone in _BACKBONES.values()}
    backbone = classes[description["class"]](**description["config"])
    hugging_face.set_variant(backbone, **description.get("variant", {}))  # the first runs have none
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
    place = _place(preset, reads)
    if preset_files.is_hugging_face(place):
        return hugging_face_tokenizer.read_tokenizer(place, reads)
    try:
        tokenizer = _TOKENIZERS[reads].from_preset(str(place))
        if reads == "wordpiece":
            return tokenizers.wordpiece(tokenizer.vocabulary, lowercase=tokenizer.lowercase)
        return tokenizers.byte_level_bpe(dict(tokenizer.vocabulary), list(tokenizer.merges))
    except _UNREADABLE as error:
        raise _unreadable(preset, error) from error


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
    place = _place(preset, reads)
    if preset_files.is_hugging_face(place):
        return hugging_face.read_backbone(place, _BACKBONES[reads], dropout, needs_pooler)
    try:
        return _BACKBONES[reads].from_preset(str(place), dropout=dropout)
    except _UNREADABLE as error:
        raise _unreadable(preset, error) from error


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
    backbone = _BACKBONES[reads](
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


def _check_path(preset, reads):
    if Path(preset).is_dir():
        preset_files.check_folder(Path(preset), reads)
        return
    wanted = _BACKBONES[reads]
    for backbone in _BACKBONES.values():
        if preset in backbone.presets:
            raise InputError(f"this model starts from a {wanted.__name__}; {preset} is a {backbone.__name__}")
    raise InputError(
        f"preset must be a KerasHub name, an existing folder, hf://…, kaggle://… or scratch:SIZE; got {preset!r}"
        f"{did_you_mean(preset, list(wanted.presets))}"
    )


def _place(preset, reads):
    """Where to read a preset from: a checked folder (Path), or what KerasHub downloads by name (str)."""
    check(preset, reads)
    if preset.startswith("hf://"):
        folder = _download(preset)
        preset_files.check_folder(folder, reads)
        return folder
    return preset if preset.startswith("kaggle://") or preset in _BACKBONES[reads].presets else Path(preset)


def _download(preset):
    """The folder of a model of the Hugging Face hub, from its cache as far as it is there."""
    import huggingface_hub
    from huggingface_hub.errors import HTTPError  # the base of all that its client raises

    patterns = ["*.json", "vocab.txt", "merges.txt", "model*.safetensors", "model*.weights.h5", "assets/tokenizer/*"]
    try:
        return Path(huggingface_hub.snapshot_download(preset.removeprefix("hf://"), allow_patterns=patterns))
    except (OSError, ValueError, HTTPError) as error:
        raise _unreadable(preset, error) from error


def _unreadable(preset, error):
    reason = " ".join(str(error).split()) or type(error).__name__
    if len(reason) > 200:  # what failed stands at the start, and why at the end
        reason = f"{reason[:100]} … {reason[-100:]}"
    return InputError(
        f"the preset {preset} can't be read ({reason}); give a folder that holds it whole (--preset=FOLDER), "
        "or random weights (--preset=scratch:base)"
    )
