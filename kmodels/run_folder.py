"""A run's folder before the run: what it holds already, and what is written before the first step."""

import contextlib
import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import kmodels
from kmodels import locks, records
from kmodels.config import MAY_CHANGE, RunConfig
from kmodels.errors import InputError

PACKAGES = ("keras", "keras-hub", "numpy", "tokenizers")  # whose versions matter, beside the framework's
_OUTPUTS = ("save_predictions", "measure_peak", "tensorboard")  # which a finished run may have been made without
# What a run writes before config.json; a process killed in between leaves some of them.
_BEFORE_CONFIG = (records.TOKENIZER, records.ENVIRONMENT, records.MODEL)


@dataclass(frozen=True)
class Found:
    """What a run's folder holds.

    Attributes:
        config: the RunConfig to run: the one asked for, or the folder's own with what may change.
        record: the finished run's kmodels.records.Record, if there is nothing left to do.
        unfinished: True if the folder's run goes on.
        longer: True if it goes on beyond the end it had.
    """

    config: RunConfig
    record: records.Record | None = None
    unfinished: bool = False
    longer: bool = False


def look_into(config):
    """What the folder of a resolved config holds. Nothing is written.

    Raises:
        InputError: the folder holds another run or other things, or can't be written.
    """
    folder = Path(config.output_dir)
    try:
        return _look_into(folder, config)
    except OSError as error:
        raise InputError(f"output_dir {folder} can't be used: {error.strerror}") from error


def _look_into(folder, config):
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output_dir must be a folder; {folder} is a file")
    begun = (folder / records.CONFIG).is_file()
    if begun and not config.overwrite:
        return _look_into_run(folder, config)
    if not begun and folder.exists() and not all(map(_is_leftover, folder.iterdir())):
        raise InputError(f"output_dir must be empty or hold a run; {folder} holds other things; give another one")
    _check_writable(folder)
    return Found(config)


def _look_into_run(folder, config):
    there = RunConfig.from_json(records.read_json(folder / records.CONFIG))
    there = there.resolved(there.backend)  # what it was written without, an older kmodels did not have
    finished = records.is_finished(folder)
    longer = config.epochs > there.epochs or config.patience != there.patience
    differences = there.differences(config, going_on=longer or not finished)
    if differences:
        hint = (
            "" if finished else f"; it is unfinished and may go on with other {', '.join(MAY_CHANGE)}, epochs upwards"
        )
        raise InputError(
            f"{folder} holds another run ({'; '.join(differences)}){hint}; give another --output_dir, or --overwrite"
        )
    missing = [name for name in _OUTPUTS if getattr(config, name) and not getattr(there, name)]
    if finished and not longer and not missing:
        return Found(there, record=records.read(folder))
    if finished and "tensorboard" in missing:
        raise InputError(f"{folder} holds a finished run, which wrote no TensorBoard logs; give another --output_dir")
    if finished and not (folder / records.CHECKPOINTS).is_dir():
        what = "more epochs can't go on from it" if longer else f"{missing[0]} can't be made up for"
        raise InputError(f"{folder} holds a finished run without {records.CHECKPOINTS}/; {what}")
    _check_writable(folder)
    return Found(there.going_on_as(config), unfinished=True, longer=longer)


def _is_leftover(path):
    unfinished = path.name.startswith(".") and path.name.endswith(".new")
    return path.name in _BEFORE_CONFIG or unfinished or path.name.startswith(locks.LOCK)


def _check_writable(folder):
    existing = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"output_dir {folder} can't be written: no permission in {existing}")


def make(folder):
    """Makes a folder, with those above it. Returns True if it was not there.

    Raises:
        InputError: it can't be made.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise InputError(f"output_dir {folder} can't be made: {error.strerror}") from error
    return True


def begin(folder, config, environment, model, tokenizer):
    """Writes all that is known before the first step, in place of what an older run left.

    Args:
        folder: pathlib.Path.
        config: kmodels.config.RunConfig, resolved.
        environment: what `environment.json` says.
        model: what `model.json` says.
        tokenizer: kmodels.data.tokenizers.Tokenizer.
    """
    # Metrics first: what lies between is never taken for a finished run. Config last: without it, what is left of a
    # run is somebody's other things.
    (folder / records.METRICS).unlink(missing_ok=True)
    for name in records.FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in reversed(records.FILES):
        (folder / name).unlink(missing_ok=True)
    tokenizer.save(folder / records.TOKENIZER)
    records.write_json(folder / records.ENVIRONMENT, environment)
    records.write_json(folder / records.MODEL, model)
    records.write_json(folder / records.CONFIG, config.to_json())


def go_on(folder, config, environment, checkpoint):
    """Makes a run's folder what it was at a checkpoint.

    Args:
        folder: pathlib.Path.
        config: kmodels.config.RunConfig, as the run goes on.
        environment: what `environment.json` says from now on.
        checkpoint: kmodels.checkpoints.Checkpoint.
    """
    (folder / records.METRICS).unlink(missing_ok=True)
    records.write_json(folder / records.CONFIG, config.to_json())
    records.write_json(folder / records.ENVIRONMENT, environment)
    if checkpoint.best_weights is not None:
        records.copy(checkpoint.best_weights, folder / records.WEIGHTS)


def versions(backend):
    """{package: version} of all that decides a run's figures, without loading a framework; what is not installed as a
    package of that name (a framework's other builds) is left out.
    """
    found = {"kmodels": kmodels.__version__}
    for name in (*PACKAGES, backend):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def environment(backend, framework):
    """What environment.json says of this process.

    Args:
        backend: its name.
        framework: its module in kmodels.backends.
    """
    return {
        "backend": backend,
        **framework.describe(),
        "kmodels": kmodels.__version__,
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }
