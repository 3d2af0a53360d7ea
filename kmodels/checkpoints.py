"""Checkpoints: all that a run needs to go on as if nothing had happened, as files.

    checkpoints/epoch-0002-step-000140/
        arrays.safetensors      weights, moments, sums of metrics, states of random generators
        state.json              the rest, and the digests of the other files
        best.weights.h5         the best epoch's weights so far (another name of the run's own file, no copy)

The place in the name is that of the next batch. Nothing here knows Keras, and nothing that is read can run.
"""

import hashlib
import json
import os
import re
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors

from kmodels import records
from kmodels.errors import InputError, RunError

ARRAYS = "arrays.safetensors"
STATE = "state.json"
KEPT = 2
FORMAT = 1
UNFINISHED = ".writing"
_NAME = re.compile(r"epoch-(\d{4,})-step-(\d{6,})")
# The safetensors format's names of NumPy's types.
_TYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int32": "I32",
    "uint32": "U32",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk, its digests checked.

    Attributes:
        path: its folder.
        epoch, step: the place of the next batch.
        state: what `Writer.write` was given.
    """

    path: Path
    epoch: int
    step: int
    state: dict

    @property
    def best_weights(self):
        """The weights of the best epoch so far; None before the first epoch's end."""
        path = self.path / records.WEIGHTS
        return path if path.is_file() else None

    @property
    def num_bytes(self):
        """The size of the file of arrays."""
        return (self.path / ARRAYS).stat().st_size

    def read(self, expected):
        """The arrays, if they are those of a model of this shape.

        Args:
            expected: {name: anything with a shape and a dtype}; names, shapes and kinds of numbers are compared
                before memory is taken.

        Returns:
            {name: np.ndarray}.

        Raises:
            InputError: another model's arrays.
        """
        path = self.path / ARRAYS
        with _opened(path) as file:
            if set(file.keys()) != set(expected):
                raise InputError(f"{path} holds other arrays than this model has; give another --output_dir")
            for name, array in expected.items():
                part = file.get_slice(name)
                there = _kind(part.get_dtype()), tuple(part.get_shape())
                wanted = _kind(_type(array)[0]), tuple(array.shape)
                if there != wanted:
                    raise InputError(f"{path}: {name} must be {wanted}; it is {there}")
            return {name: file.get_tensor(name) for name in expected}


class Writer:
    """Writes a run's checkpoints and keeps the newest two.

    What training has to wait for is the copy into the system's buffers. A thread waits for the disk.

    Args:
        folder: the run's.
    """

    def __init__(self, folder):
        self.folder = Path(folder) / records.CHECKPOINTS
        self._thread = None
        self._error = None
        self._best_digest: tuple = (None, None)  # of which file (inode and time), its digest

    def write(self, epoch, step, arrays, state, best_weights=None):
        """Writes a checkpoint; it counts from the moment its folder has its name.

        Args:
            epoch, step: the place of the next batch.
            arrays: {name: np.ndarray or keras.Variable}; each is copied from its device as it is written.
            state: what JSON can hold.
            best_weights: path of the best epoch's weights, or None.

        Raises:
            RunError: this checkpoint, or the one before, can't be written. Older ones stay.
        """
        self.wait()
        unfinished = self.folder / UNFINISHED
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            digests = {ARRAYS: _write_arrays(unfinished / ARRAYS, arrays)}
            if best_weights is not None:
                _link(best_weights, unfinished / records.WEIGHTS)
                digests[records.WEIGHTS] = self._digest_of_best(best_weights)
            content = {"format": FORMAT, "epoch": epoch, "step": step, "digests": digests, "state": state}
            text = json.dumps({**content, "digest": _digest_of_json(content)})
            (unfinished / STATE).write_text(text, encoding="utf-8")
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise _failed(self.folder, error) from error
        self._thread = threading.Thread(target=self._finish, args=(unfinished, epoch, step))
        self._thread.start()

    def wait(self):
        """Until the last checkpoint is safely on the disk.

        Raises:
            RunError: it can't be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise _failed(self.folder, error) from error

    def close(self):
        """Until nothing is being written any more, whatever became of it."""
        if self._thread is not None:
            self._thread.join()

    def _finish(self, unfinished, epoch, step):
        try:
            for path in [*unfinished.iterdir(), unfinished]:
                records.sync(path)
            os.rename(unfinished, self.folder / _name(epoch, step))
            records.sync(self.folder)
            for path in _paths(self.folder)[KEPT:]:
                shutil.rmtree(path)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            self._error = error

    def _digest_of_best(self, path):
        """The best weights change seldom, so their digest is kept."""
        found = os.stat(path)
        identity = (found.st_ino, found.st_mtime_ns)
        if self._best_digest[0] != identity:
            self._best_digest = (identity, _digest_of_file(path))
        return self._best_digest[1]


def newest(folder, say=None):
    """The newest whole checkpoint of a run. Damaged ones that are newer are reported and removed.

    Args:
        folder: the run's.
        say: function of a line of text, told of each damaged checkpoint; None in a process that only looks.

    Returns:
        A Checkpoint, or None if there is none at all.

    Raises:
        InputError: there are checkpoints, but none is whole.
    """
    paths = _paths(Path(folder) / records.CHECKPOINTS)
    damaged = []
    for path in paths:
        try:
            found = _read_state(path)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            if say:
                say(f"the checkpoint {path} is damaged ({error}); taking the one before")
            if not isinstance(error, OSError) or isinstance(error, FileNotFoundError):  # else the drive may recover
                damaged.append(path)
            continue
        for path in damaged if say else ():
            shutil.rmtree(path, ignore_errors=True)
        return found
    if paths:
        raise InputError(f"no checkpoint in {Path(folder) / records.CHECKPOINTS} is whole; --overwrite begins anew")
    return None


def _name(epoch, step):
    return f"epoch-{epoch:04d}-step-{step:06d}"


def _paths(folder):
    """The folders of checkpoints, the newest first."""
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)) and path.is_dir()]
    return [path for match, path in sorted(found, key=lambda each: tuple(map(int, each[0].groups())), reverse=True)]


def _read_state(path):
    """The Checkpoint in a folder; ValueError if a digest does not fit."""
    content = json.loads((path / STATE).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.pop("digest", None) != _digest_of_json(content):
        raise ValueError(f"{STATE} does not fit its digest")
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']}, this version reads {FORMAT}")
    if _name(content["epoch"], content["step"]) != path.name:
        raise ValueError(f"{STATE} is another place's")
    if set(content["digests"]) != {entry.name for entry in path.iterdir()} - {STATE}:
        raise ValueError("a file is missing, or has no place in a checkpoint")
    for name, digest in content["digests"].items():
        if name not in (ARRAYS, records.WEIGHTS) or (path / name).is_symlink():
            raise ValueError(f"{name} has no place in a checkpoint")
        if _digest_of_file(path / name) != digest:
            raise ValueError(f"{name} does not fit its digest")
    return Checkpoint(path, content["epoch"], content["step"], content["state"])


def _write_arrays(path, arrays):
    """Writes a safetensors file, one array after another; the library's own writer wants all in memory twice.

    Returns:
        The file's digest.
    """
    header, end = {}, 0
    for name, array in arrays.items():
        kind, size = _type(array)
        start, end = end, end + size * int(np.prod(array.shape))
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for part in (len(text).to_bytes(8, "little"), text):
            file.write(part)
            digest.update(part)
        for array in arrays.values():
            data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            file.write(data)
            digest.update(data)
    return digest.hexdigest()


def _opened(path):
    """A safetensors file whose header was checked against its size."""
    try:
        return safetensors.safe_open(path, framework="numpy")
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is no safetensors file: {error}") from error


def _type(array):
    """(safetensors' name, bytes a number) of an array's or a variable's numbers."""
    name = str(array.dtype)
    return _TYPES[name], 2 if name == "bfloat16" else np.dtype(name).itemsize


def _kind(name):
    """Floats or integers: the backends keep the states of their generators in integers of different sizes."""
    return "floats" if name.startswith(("F", "BF")) else "bits" if name == "BOOL" else "integers"


def _link(source, target):
    """Another name for the same file, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _digest_of_file(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of_json(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _failed(folder, error):
    return RunError(f"no checkpoint can be written into {folder}: {error.strerror or error}; the last one stays")
