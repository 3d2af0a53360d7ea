"""Where a preset is: a KerasHub name, a folder, a hub handle or `scratch:SIZE`; and its folder on this machine."""

from pathlib import Path

import keras_hub

from kmodels.architectures import SCRATCH_SIZES
from kmodels.errors import InputError
from kmodels.models import preset_files
from kmodels.settings import did_you_mean

BACKBONES = {
    "wordpiece": keras_hub.models.BertBackbone,
    "byte_level_bpe": keras_hub.models.RobertaBackbone,
}


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
    elif not preset.startswith(("hf://", "kaggle://")) and preset not in BACKBONES[reads].presets:
        _check_path(preset, reads)


def folder_of(preset, reads):
    """The checked folder of a preset, downloaded as far as it is not in a hub's cache.

    Args:
        preset, reads: as of `check`.

    Raises:
        InputError: it can't be read, or is no such preset.
    """
    check(preset, reads)
    if preset.startswith("hf://"):
        folder = _from_hugging_face(preset)
    elif preset.startswith("kaggle://") or preset in BACKBONES[reads].presets:
        folder = _from_kaggle(preset, reads)
    else:
        return Path(preset)
    preset_files.check_folder(folder, reads)
    return folder


def either_kind(preset):
    """(reads, folder) of a preset that may be of either kind; InputError if it is of neither."""
    reasons = []
    for reads in BACKBONES:
        try:
            return reads, folder_of(preset, reads)
        except InputError as error:
            reasons.append(str(error))
    raise InputError(reasons[0] if len(set(reasons)) == 1 else "; ".join(reasons))


def _check_path(preset, reads):
    if Path(preset).is_dir():
        preset_files.check_folder(Path(preset), reads)
        return
    wanted = BACKBONES[reads]
    for backbone in BACKBONES.values():
        if preset in backbone.presets:
            raise InputError(f"this model starts from a {wanted.__name__}; {preset} is a {backbone.__name__}")
    raise InputError(
        f"preset must be a KerasHub name, an existing folder, hf://…, kaggle://… or scratch:SIZE; got {preset!r}"
        f"{did_you_mean(preset, list(wanted.presets))}"
    )


def _from_hugging_face(preset):
    import huggingface_hub
    from huggingface_hub.errors import HTTPError  # the base of all that its client raises

    patterns = ["*.json", "vocab.txt", "merges.txt", "model*.safetensors", "model*.weights.h5", "assets/tokenizer/*"]
    try:
        return Path(huggingface_hub.snapshot_download(preset.removeprefix("hf://"), allow_patterns=patterns))
    except (OSError, ValueError, HTTPError) as error:
        raise _unreadable(preset, error) from error


def _from_kaggle(preset, reads):
    import kagglehub

    known = BACKBONES[reads].presets
    handle = (known[preset]["kaggle_handle"] if preset in known else preset).removeprefix("kaggle://")
    try:
        paths = [Path(kagglehub.model_download(handle, name)) for name in preset_files.keras_files(reads)]
    except (OSError, ValueError) as error:
        raise _unreadable(preset, error) from error
    return paths[0].parent  # the first is config.json


def _unreadable(preset, error):
    return InputError(
        f"the preset {preset} can't be read ({preset_files.reason_of(error)}); give a folder that holds it whole "
        "(--preset=FOLDER), or random weights (--preset=scratch:base)"
    )
