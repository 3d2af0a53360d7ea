"""Architectures and datasets of one's own: a file each, registered under a name that `--model` and `--dataset` take.

A file is loaded because somebody names it (`--extension=FILE`, KMODELS_EXTENSIONS), never because a run's folder does.
"""

import importlib.util
import os
import sys
from pathlib import Path
from types import FrameType

from kmodels import architectures, backend, config
from kmodels.errors import InputError

VARIABLE = "KMODELS_EXTENSIONS"  # paths, separated as in PATH; processes that this one starts inherit it
_FLAG = "--extension"
_MODULE = "kmodels_extension_"  # how the names of modules begin that `load` makes
_only_here: set[str] = set()  # names that no file registers which other processes could load


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
        ValueError: another function has the name, or something given is not possible.
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
        ValueError: another function has the name.
    """

    def register(loader):
        return _register(config.DATASETS, name, loader, loader)

    return register


def load(path):
    """Runs a Python file, which registers what it has, here and in processes that this one starts.

    A file that was loaded already is not loaded again.

    Args:
        path: str or pathlib.Path, a .py file.

    Raises:
        InputError: there is no such file, or it fails.
    """
    path = Path(path).resolve()
    name = f"{_MODULE}{path.stem}"
    if getattr(sys.modules.get(name), "__file__", None) != str(path):
        _run(path, name)
    _hand_on(path)


def _run(path, name):
    """Runs a file as the module of this name."""
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
    rest, paths = [], _handed_on()
    waiting = iter(arguments)
    for argument in waiting:
        if argument == _FLAG:
            paths.append(next(waiting, ""))
        elif argument.startswith(f"{_FLAG}="):
            paths.append(argument.removeprefix(f"{_FLAG}="))
        else:
            rest.append(argument)
    os.environ.pop(VARIABLE, None)  # paths in it may begin in this folder; those of `load` do not
    asked = [argument.partition("=")[2] for argument in rest if argument.startswith("--backend=")]
    with backend.preferred(asked[-1] if asked else None):  # a file may import Keras before the flags are read
        for path in paths:
            load(path)
    return rest


def environment():
    """The environment variable by which a process on another machine loads the same files: {name: paths}, or {}."""
    return {VARIABLE: os.pathsep.join(_handed_on())} if _handed_on() else {}


def flags():
    """The flags by which a command in this folder loads the same files: ["--extension=FILE", …]."""
    paths = map(Path, _handed_on())
    here = Path.cwd()
    return [f"{_FLAG}={path.relative_to(here) if path.is_relative_to(here) else path}" for path in paths]


def check_handed_on(*names):
    """Sees that processes which this one starts know an architecture or a dataset as well.

    Args:
        names: of architectures and datasets, whoever registered them.

    Raises:
        InputError: one is registered in this process only.
    """
    for name in names:
        if name in _only_here:
            raise InputError(
                f"{name!r} is registered in this process only, and other processes need it: write it into a .py file "
                f"of its own, and load that with kmodels.extensions.load"
            )


def _handed_on():
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]


def _hand_on(path):
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*_handed_on(), str(path)]))


def _register(names, name, made, function):
    before = getattr(names.get(name), "builder", names.get(name))
    if name in names and not _is_again(name, before, function):
        raise ValueError(f"the name {name!r} is taken")
    names[name] = made
    module = _registering_module()
    _only_here.discard(name)
    if module is None:
        _only_here.add(name)
    elif not module["__name__"].startswith(_MODULE):  # else `load` does
        _hand_on(Path(module["__file__"]).resolve())
    return function


def _is_again(name, before, function):
    """True if a function was registered before: by a cell that is run again or is a file now, or by the same file."""

    def of(attribute):
        return [getattr(each, attribute, None) for each in (before, function)]

    if not callable(before) or len({*of("__qualname__")}) > 1:
        return False
    files = {getattr(code, "co_filename", "") for code in of("__code__")}
    is_same_file = len(files) == 1 and os.path.isfile(*files)
    return name in _only_here or len({*of("__module__")}) == 1 or is_same_file


def _registering_module():
    """The names in the module whose run registers something; None if to run its file elsewhere would not do the same.

    It would not for a program, whose end is another one, nor for a module that is imported from its own package.
    """
    frame: FrameType | None = sys._getframe()
    while frame and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    names = frame.f_globals if frame else {}
    file = names.get("__file__") or ""
    is_alone = names.get("__name__") != "__main__" and not names.get("__package__")
    return names if is_alone and file.endswith(".py") and os.path.isfile(file) else None
