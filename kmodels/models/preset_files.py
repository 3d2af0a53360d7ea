"""What the folder of a pretrained encoder must hold, in Keras format or as transformers writes it."""

from pathlib import Path

from kmodels import records
from kmodels.errors import InputError

# By what a model reads: Hugging Face's model_type, KerasHub's classes.
_KINDS = {
    "wordpiece": ("bert", "BertBackbone", "BertTokenizer"),
    "byte_level_bpe": ("roberta", "RobertaBackbone", "RobertaTokenizer"),
}
# For each purpose, sets of files of which one must be complete.
_KERAS_FILES = {
    reads: {"weights": [["model.weights.h5"], ["model.weights.json"]], "tokenizer": [["tokenizer.json", *assets]]}
    for reads, assets in (
        ("wordpiece", ["assets/tokenizer/vocabulary.txt"]),
        ("byte_level_bpe", ["assets/tokenizer/vocabulary.json", "assets/tokenizer/merges.txt"]),
    )
}
_HUGGING_FACE_FILES = {
    reads: {
        "weights": [["model.safetensors"], ["model.safetensors.index.json"]],
        "tokenizer": [["tokenizer.json"], names],
    }
    for reads, names in (("wordpiece", ["vocab.txt"]), ("byte_level_bpe", ["vocab.json", "merges.txt"]))
}


def read_settings(path):
    """The JSON object in a file: dict. InputError if there is none."""
    settings = records.read_json(path)
    if not isinstance(settings, dict):
        raise InputError(f"{path} must hold a JSON object; it holds {type(settings).__name__}")
    return settings


def is_hugging_face(place):
    """True for a checked folder (Path) in Hugging Face format; False for one in Keras format, and for a name (str)."""
    return isinstance(place, Path) and "registered_name" not in read_settings(place / "config.json")


def check_folder(folder, reads):
    """Raises InputError, before anything is loaded, if a folder can't hold the encoder and its tokenizer.

    Args:
        folder: pathlib.Path.
        reads: "wordpiece" (BERT) or "byte_level_bpe" (RoBERTa).
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"a preset folder must have config.json, in Keras or Hugging Face format; {folder} has none")
    config = read_settings(folder / "config.json")
    model_type, backbone, tokenizer = _KINDS[reads]
    if "registered_name" in config:
        _check_class(folder / "config.json", backbone)
        _check_files(folder, _KERAS_FILES[reads], "save the backbone and the tokenizer with save_to_preset")
        _check_class(folder / "tokenizer.json", tokenizer)
    elif config.get("model_type") == model_type:
        _check_files(folder, _HUGGING_FACE_FILES[reads], "save model and tokenizer with transformers' save_pretrained")
    else:
        kind = config.get("model_type", "none")
        raise InputError(f"this model starts from a {backbone}; {folder}/config.json has the model_type {kind}")


def _check_class(path, wanted):
    """Raises InputError if KerasHub would make another class of a file than the one that is wanted."""
    config = read_settings(path)
    names = {str(config.get(key)).split(">")[-1] for key in ("registered_name", "class_name")}
    if names != {wanted}:
        raise InputError(f"this model needs a {wanted}; {path} holds {', '.join(sorted(names))}")


def _check_files(folder, alternatives, hint):
    for purpose, sets in alternatives.items():
        if not any(all((folder / name).is_file() for name in names) for names in sets):
            wanted = ", or ".join(" and ".join(names) for names in sets)
            pickles = " (pytorch_model.bin is not read: a pickle can run code)" if list(folder.glob("*.bin")) else ""
            raise InputError(f"{folder} has no {purpose}: it must have {wanted}; {hint}{pickles}")
