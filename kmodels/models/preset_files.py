"""What the folder of a pretrained encoder must hold, in Keras format or as transformers writes it."""

from kmodels import records
from kmodels.errors import InputError

MAX_TEXT_BYTES = 2**26  # far above any vocabulary: what is larger is something else

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
# What else is read where it is there.
_OTHER_FILES = ["config.json", "tokenizer_config.json", "added_tokens.json"]


def read_lines(path):
    """The lines of a file: [str, …]. InputError if it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read: {error}") from error


def reason_of(error):
    """What an error of another library says, in one line that is not too long, and only signs that a terminal shows."""
    reason = " ".join(str(error).split()) or type(error).__name__
    reason = "".join(sign if sign.isprintable() else "?" for sign in reason)
    if len(reason) > 200:  # what failed stands at the start, and why at the end
        reason = f"{reason[:100]} … {reason[-100:]}"
    return reason


def is_hugging_face(folder):
    """True for a checked folder in Hugging Face format; False for one in Keras format."""
    return "registered_name" not in records.read_object(folder / "config.json")


def keras_files(reads):
    """The names of the files that a folder in Keras format has, its weights whole, by `reads`: [str, …]."""
    return ["config.json", *(name for sets in _KERAS_FILES[reads].values() for name in sets[0])]


def weight_parts(index, *others):
    """The files that hold weights in parts.

    Args:
        index: pathlib.Path of the JSON file whose weight_map names them.
        others: further names.

    Returns:
        [pathlib.Path, …], files beside the index.

    Raises:
        InputError: a name is not that of a file in this folder.
    """
    weight_map = records.read_object(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise InputError(f"{index}: weight_map must be a JSON object; got {weight_map!r:.80}")
    values = [value if isinstance(value, list) else [value] for value in weight_map.values()]
    names = [*others, *(name for value in values for name in value)]
    there = {path.name for path in index.parent.iterdir() if path.is_file()}
    if foreign := [name for name in names if not isinstance(name, str) or name not in there]:
        raise InputError(f"{index} must name files beside it; got {foreign[0]!r:.80}")
    return [check_file(index.parent, name) for name in sorted(set(names))]


def check_file(folder, name):
    """The path of a file in a folder, there or not.

    Raises:
        InputError: it is a link that leads out of the folder, no file, or text without end.
    """
    home, path = folder.resolve(), (folder / name).resolve()
    # In a hub's cache, the files of a snapshot are links into the folder "blobs" beside all snapshots.
    blobs = [parent.parent / "blobs" for parent in home.parents if parent.name == "snapshots"]
    if not any(path.is_relative_to(place) for place in [home, *blobs]):
        raise InputError(f"{folder / name} must lie in its folder; it is a link to {path}: put the file itself there")
    if path.exists() and not path.is_file():
        raise InputError(f"{folder / name} must be a file")
    if name.endswith((".json", ".txt")) and path.exists() and path.stat().st_size > MAX_TEXT_BYTES:
        raise InputError(f"{folder / name} must have at most {MAX_TEXT_BYTES} bytes; it has {path.stat().st_size}")
    return folder / name


def check_folder(folder, reads):
    """Raises InputError, before anything is loaded, if a folder can't hold the encoder and its tokenizer.

    Args:
        folder: pathlib.Path.
        reads: "wordpiece" (BERT) or "byte_level_bpe" (RoBERTa).
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"a preset folder must have config.json, in Keras or Hugging Face format; {folder} has none")
    purposes = [*_KERAS_FILES[reads].values(), *_HUGGING_FACE_FILES[reads].values()]
    for name in {*_OTHER_FILES, *(name for sets in purposes for names in sets for name in names)}:
        check_file(folder, name)
    config = records.read_object(folder / "config.json")
    model_type, backbone, tokenizer = _KINDS[reads]
    if "registered_name" in config:
        _check_class(folder / "config.json", backbone)
        _check_files(folder, _KERAS_FILES[reads], "save the backbone and the tokenizer with save_to_preset")
        _check_class(folder / "tokenizer.json", tokenizer)
    elif config.get("model_type") == model_type:
        _check_files(folder, _HUGGING_FACE_FILES[reads], "save model and tokenizer with transformers' save_pretrained")
    else:
        kind = config.get("model_type")
        raise InputError(f"this model starts from a {backbone}; {folder}/config.json has the model_type {kind!r:.80}")


def _check_class(path, wanted):
    """Raises InputError if a file describes an object of another class than the one that is wanted."""
    config = records.read_object(path)
    names = {str(config.get(key)).split(">")[-1] for key in ("registered_name", "class_name")}
    if names != {wanted}:
        raise InputError(f"this model needs a {wanted}; {path} holds {', '.join(map(repr, sorted(names))):.200}")


def _check_files(folder, alternatives, hint):
    for purpose, sets in alternatives.items():
        if not any(all((folder / name).is_file() for name in names) for names in sets):
            wanted = ", or ".join(" and ".join(names) for names in sets)
            pickles = " (pytorch_model.bin is not read: a pickle can run code)" if list(folder.glob("*.bin")) else ""
            raise InputError(f"{folder} has no {purpose}: it must have {wanted}; {hint}{pickles}")
