"""Architectures and datasets of one's own: a file each, registered under a name that `--model` and `--dataset` take.

A file is loaded because somebody names it (`--extension=FILE`, KMODELS_EXTENSIONS), never because a run's folder does.
"""

import importlib.util
import os
import sys
from pathlib import Path

from kmodels import architectures, config
from kmodels.errors import InputError

VARIABLE = "KMODELS_EXTENSIONS"  # paths, separated as in PATH; processes that this one starts inherit it
_FLAG = "--extension"


def architecture(name, *, reads, summary, preset=None, poolings=(), defaults=None):
    """Registers the decorated function, which builds a classifier, under a name.

    The function's parameters are settings of kmodels.config.RunConfig by their names, filled from the run; besides
    these `num_classes`, and `vocabulary_size` (reads "words") or `backbone` (a KerasHub encoder, otherwise). Any other
    parameter keeps its default. It returns a keras.Model from {"token_ids": int32, "padding_mask": bool; (batch,
    length)} to float32 logits, (batch, num_classes).

    Args:
        name: what `--model` takes.
        reads: "words", "wordpiece" or "byte_level_bpe".
        summary: one line for `--help`.
        preset: the pretrained encoder it starts from by default; None for a model over words.
        poolings: the values that `--pooling` takes, the default first.
        defaults: {setting: value} that this architecture wants otherwise than the rest.

    Raises:
        ValueError: the name is taken, or something given is not possible.
    """
    kinds = ("words", "wordpiece", "byte_level_bpe")
    if reads not in kinds or (preset is None) != (reads == "words"):
        raise ValueError(f"reads must be one of {', '.join(kinds)}, with a preset unless it is words; got {reads!r}")
    base = architectures.WORD_DEFAULTS if preset is None else architectures.ENCODER_DEFAULTS
    unknown = sorted(set(defaults or {}) - set(config.RunConfig.__dataclass_fields__))
    if unknown:
        raise ValueError(f"defaults must be settings; got {', '.join(unknown)}")

    def register(builder):
        made = architectures.Architecture(
            name, builder, reads, summary, None, preset, tuple(poolings), base | (defaults or {})
        )
        return _register(architectures.ARCHITECTURES, name, made, builder)

    return register


def dataset(name):
    """Registers the decorated function, which loads a dataset, under a name that `--dataset` takes.

    The function takes `data_dir`, None or what `--data_dir` was given, and returns (train texts, train labels,
    validation texts, validation labels, names of the classes); labels are ints from 0.

    Raises:
        ValueError: the name is taken.
    """

    def register(loader):
        return _register(config.DATASETS, name, loader, loader)

    return register


def load(path):
    """Runs a Python file, which registers what it has. A file that was loaded already is not loaded again.

    Args:
        path: str or pathlib.Path, a .py file.

    Raises:
        InputError: there is no such file, or it fails.
    """
    path = Path(path).resolve()
    name = f"kmodels_extension_{path.stem}"
    if getattr(sys.modules.get(name), "__file__", None) == str(path):
        return
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"an extension must be a .py file; got {path}")
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification and specification.loader  # a .py file has both
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"the extension {path} fails: {type(error).__name__}: {error}") from error


def load_named(arguments):
    """Loads what `--extension=FILE` flags and KMODELS_EXTENSIONS name. Returns the other arguments."""
    rest, paths = [], [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
    waiting = iter(arguments)
    for argument in waiting:
        if argument == _FLAG:
            paths.append(next(waiting, ""))
        elif argument.startswith(f"{_FLAG}="):
            paths.append(argument.removeprefix(f"{_FLAG}="))
        else:
            rest.append(argument)
    for path in paths:
        load(path)
    if paths:
        os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys(str(Path(path).resolve()) for path in paths))
    return rest


def _register(names, name, made, function):
    if name in names:
        raise ValueError(f"the name {name!r} is taken")
    names[name] = made
    return function
