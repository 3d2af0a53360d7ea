"""Reads the encoder and the tokenizer in a folder that KerasHub wrote, as data.

KerasHub's own from_preset makes whatever objects the files describe. Here they only give sizes, numbers and words.
"""

from kmodels import records
from kmodels.data import tokenizers
from kmodels.errors import InputError
from kmodels.layers.initializers import none_drawn
from kmodels.models import encoder_sizes, weight_files
from kmodels.models.preset_files import read_lines, weight_parts

FIRST_PART = "model_00000.weights.h5"  # Keras opens it whatever the index names


def read_backbone(folder, backbone_class, dropout):
    """The encoder in a folder.

    Args:
        folder: pathlib.Path, checked, with config.json and model.weights.h5, whole or in parts.
        backbone_class: keras_hub's BertBackbone or RobertaBackbone, the one that config.json names.
        dropout: rate of every dropout inside the encoder.

    Raises:
        InputError: a file is missing or damaged, or they don't fit together.
    """
    path = folder / "config.json"
    sizes = encoder_sizes.of_class(backbone_class.__name__, records.read_object(path).get("config"), path)
    weights = folder / "model.weights.h5"
    files = [weights]
    if not weights.is_file():
        weights = folder / "model.weights.json"
        files = weight_parts(weights, FIRST_PART)
    weight_files.check(files).check_holds(*encoder_sizes.least_weights(sizes), path)
    with none_drawn():
        backbone = backbone_class(**sizes, dropout=dropout)
    weight_files.load(backbone, weights)
    return backbone


def read_tokenizer(folder, reads):
    """The tokenizer in a folder.

    Args:
        folder: pathlib.Path, checked, with tokenizer.json and its vocabulary in assets/tokenizer.
        reads: "wordpiece" or "byte_level_bpe".

    Returns:
        kmodels.data.tokenizers.Tokenizer.

    Raises:
        InputError: a file is missing or damaged.
    """
    assets = folder / "assets" / "tokenizer"
    config = records.read_object(folder / "tokenizer.json").get("config")
    lowercase = config.get("lowercase", False) if isinstance(config, dict) else None
    if not isinstance(lowercase, bool):
        raise InputError(f"{folder / 'tokenizer.json'}: lowercase must be true or false; got {lowercase!r:.80}")
    try:
        if reads == "wordpiece":
            vocabulary = [line.rstrip() for line in read_lines(assets / "vocabulary.txt")]
            return tokenizers.wordpiece(vocabulary, lowercase=lowercase)
        merges = [line.rstrip() for line in read_lines(assets / "merges.txt")]
        return tokenizers.byte_level_bpe(records.read_object(assets / "vocabulary.json"), merges)
    except InputError as error:
        raise InputError(f"the tokenizer in {folder} can't be used: {error}") from error
