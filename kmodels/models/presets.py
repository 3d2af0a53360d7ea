"""Pretrained encoders and their tokenizers: KerasHub names, folders, hub handles, and `scratch:SIZE`."""

import json
from pathlib import Path

import keras_hub
from safetensors import SafetensorError

from kmodels.architectures import SCRATCH_SIZES
from kmodels.config import did_you_mean
from kmodels.data import tokenizers
from kmodels.errors import InputError
from kmodels.layers.initializers import TruncatedNormal
from kmodels.models.adaptation import add_lora, freeze

_BACKBONES = {
    "wordpiece": keras_hub.models.BertBackbone,
    "byte_level_bpe": keras_hub.models.RobertaBackbone,
}
_TOKENIZERS = {
    "wordpiece": keras_hub.models.BertTokenizer,
    "byte_level_bpe": keras_hub.models.RobertaTokenizer,
}
# What reading a preset raises when it is absent, out of reach, of another kind or damaged.
_UNREADABLE = (OSError, ValueError, KeyError, SafetensorError)


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
    elif "://" not in preset and preset not in _BACKBONES[reads].presets:
        _check_folder(preset, reads)


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
        tokenizer, backbone = load_tokenizer(preset, reads), load_backbone(preset, reads, config.dropout)
    longest = backbone.max_sequence_length
    if config.max_length > longest:
        raise InputError(f"max_length must be at most {longest}, what {preset} can read; got {config.max_length}")
    freeze(backbone, config.frozen_layers)
    if config.lora_rank:
        add_lora(backbone, config.lora_rank, config.seed)
    return tokenizer, backbone


def describe(backbone):
    """An encoder without its weights, as JSON: what `from_description` builds again."""
    config = {
        name: value for name, value in backbone.get_config().items() if name not in ("name", "trainable", "dtype")
    }
    return {"class": type(backbone).__name__, "config": config}


def from_description(description):
    """The encoder that `describe` described, with random weights."""
    classes = {backbone.__name__: backbone for backbone in _BACKBONES.values()}
    return classes[description["class"]](**description["config"])


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
    try:
        if _file_of(preset, "tokenizer_config.json") is not None:
            return _hugging_face_tokenizer(preset, reads)
        tokenizer = _TOKENIZERS[reads].from_preset(preset)
        if reads == "wordpiece":
            return tokenizers.wordpiece(tokenizer.vocabulary, lowercase=tokenizer.lowercase)
        return tokenizers.byte_level_bpe(dict(tokenizer.vocabulary), list(tokenizer.merges))
    except _UNREADABLE as error:
        raise _unreadable(preset, error) from error


def load_backbone(preset, reads, dropout):
    """The pretrained encoder itself, its weights loaded.

    Args:
        preset: a KerasHub name, a folder in Keras or Hugging Face format, or a hub handle.
        reads: "wordpiece" (BERT) or "byte_level_bpe" (RoBERTa).
        dropout: rate of every dropout inside the encoder.

    Raises:
        InputError: the preset can't be read, or holds another kind of encoder.
    """
    wanted = _BACKBONES[reads]
    try:
        backbone = wanted.from_preset(preset, dropout=dropout)
    except _UNREADABLE as error:
        raise _unreadable(preset, error) from error
    _use_activation_of(preset, backbone)
    return backbone


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


def _check_folder(preset, reads):
    path = Path(preset)
    if not path.exists():
        names = list(_BACKBONES[reads].presets)
        raise InputError(
            f"preset must be a KerasHub name, an existing folder, hf://…, kaggle://… or scratch:SIZE; got {preset!r}"
            f"{did_you_mean(preset, names)}"
        )
    if not (path / "config.json").is_file():
        raise InputError(f"a preset folder must have config.json, in Keras or Hugging Face format; {preset} has none")
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        kind = config.get("model_type") or config.get("registered_name", "").removeprefix("keras_hub>")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{preset}/config.json can't be read as a preset's: {error}") from error
    wanted = {"wordpiece": ("bert", "BertBackbone"), "byte_level_bpe": ("roberta", "RobertaBackbone")}[reads]
    if kind not in wanted:
        raise InputError(f"this model starts from a {wanted[1]}; {preset} holds {kind or 'no model that is known'}")


def _file_of(preset, name):
    """The path of a file of a Hugging Face folder or handle, or None."""
    if preset.startswith("hf://"):
        import huggingface_hub
        from huggingface_hub.errors import EntryNotFoundError

        try:
            return Path(huggingface_hub.hf_hub_download(preset.removeprefix("hf://"), name))
        except EntryNotFoundError:
            return None
    path = Path(preset) / name
    return path if "://" not in preset and path.is_file() else None


def _hugging_face_tokenizer(preset, reads):
    """Reads vocab.txt, or vocab.json and merges.txt, or all of it from tokenizer.json."""
    config = json.loads(_file_of(preset, "tokenizer_config.json").read_text(encoding="utf-8"))
    whole = _file_of(preset, "tokenizer.json")
    model = json.loads(whole.read_text(encoding="utf-8"))["model"] if whole else {}
    if reads == "byte_level_bpe":
        vocabulary, merges = _file_of(preset, "vocab.json"), _file_of(preset, "merges.txt")
        if vocabulary and merges:
            lines = merges.read_text(encoding="utf-8").splitlines()
            pairs = [line for line in lines if line and not line.startswith("#version")]
            return tokenizers.byte_level_bpe(json.loads(vocabulary.read_text(encoding="utf-8")), pairs)
        return tokenizers.byte_level_bpe(model["vocab"], model["merges"])
    vocabulary = _file_of(preset, "vocab.txt")
    entries = (
        vocabulary.read_text(encoding="utf-8").split("\n")
        if vocabulary
        else sorted(model["vocab"], key=model["vocab"].get)
    )
    return tokenizers.wordpiece(
        entries[:-1] if entries[-1] == "" else entries,
        lowercase=config.get("do_lower_case", True),
        strip_accents=config.get("strip_accents"),
        tokenize_chinese_chars=config.get("tokenize_chinese_chars", True),
    )


def _use_activation_of(preset, backbone):
    """Gives the encoder the GELU its checkpoint was trained with.

    KerasHub's BERT always takes the tanh approximation, as Google's did; most Hugging Face checkpoints say "gelu",
    which is the exact one. The difference reaches 5e-4 in a hidden value.
    """
    config = _file_of(preset, "config.json")
    settings = json.loads(config.read_text(encoding="utf-8")) if config else {}
    if settings.get("model_type") != "bert" or settings.get("hidden_act", "gelu") != "gelu":
        return
    import keras

    for layer in backbone.transformer_layers:
        layer._feedforward_intermediate_dense.activation = keras.activations.gelu


def _unreadable(preset, error):
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(
        f"the preset {preset} can't be read ({reason}); give a folder that holds it (--preset=FOLDER), "
        "or random weights (--preset=scratch:base)"
    )
