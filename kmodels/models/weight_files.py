"""Weights in HDF5, as Keras writes them, written where a disk may fill, and checked before Keras reads them.

HDF5 can name arrays in other files, declare sizes without data, and hold more than numbers. Keras refuses most of this,
but only array by array while it reads, and follows a link to another file to see whether an array is there.
"""

import io
import math
from typing import NamedTuple

import h5py
import numpy as np

from kmodels.errors import InputError
from kmodels.models.preset_files import reason_of

BFLOAT16 = np.dtype("V2")  # as HDF5 knows it
# What h5py and Keras raise on a damaged file, or on one that doesn't fit the model.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError)


class _NeverFailing(io.BytesIO):
    """A file in which HDF5 meets no error: the first one is kept, and all that is written after it goes nowhere.

    HDF5 keeps a file whose writing failed among the open ones, tries again whenever it frees a part of it, and can end
    the process with that (h5py 3.14). Keras takes no other file object than a BytesIO, and asks `str` for its name.

    Args:
        path: pathlib.Path of the file, opened anew.

    Attributes:
        error: the first OSError; None as long as all went well.
    """

    def __init__(self, path):
        super().__init__()
        self.error = None
        self._path = path
        self._file = open(path, "w+b")  # noqa: SIM115 - `close` closes it
        self._position = 0

    def __str__(self):
        return str(self._path)

    def seek(self, offset, whence=io.SEEK_SET):
        self._position = self._attempt(lambda: self._file.seek(offset, whence), self._position)
        return self._position

    def write(self, data):
        return self._attempt(lambda: self._file.write(data), len(data))

    def readinto(self, buffer):
        return self._attempt(lambda: self._file.readinto(buffer), len(buffer))

    def truncate(self, size=None):
        return self._attempt(lambda: self._file.truncate(size), size)

    def flush(self):
        self._attempt(self._file.flush, None)

    def close(self):
        self._attempt(self._file.close, None)
        super().close()

    def _attempt(self, act, otherwise):
        """What `act` gives; `otherwise` if it raises an OSError, or one was raised before."""
        if self.error is None:
            try:
                return act()
            except OSError as error:
                self.error = error
        return otherwise


class Stored(NamedTuple):
    """What weight files hold."""

    num_arrays: int
    num_bytes: int

    def check_holds(self, num_arrays, num_numbers, path):
        """Raises InputError, before memory is taken, if `path` describes a model of more arrays, or more numbers."""
        if num_arrays > self.num_arrays or num_numbers > self.num_bytes:  # a byte is the least that a number takes
            raise InputError(
                f"{path} must describe the model whose weights lie beside it; it describes {num_arrays} arrays and "
                f"{num_numbers} numbers at least, there are {self.num_arrays} arrays in {self.num_bytes} bytes"
            )


def check(paths):
    """Raises InputError unless every array of some HDF5 files is numbers that lie in its own file, whole.

    Reads no array and opens no other file.

    Args:
        paths: [pathlib.Path, …].

    Returns:
        Stored.
    """
    sizes = [size for path in paths for size in _array_sizes(path)]
    return Stored(len(sizes), sum(sizes))


def save(model, path):
    """Writes a model's weights. One that fails leaves a file that is not whole, and nothing open.

    Args:
        model: keras.Model.
        path: pathlib.Path that ends in .weights.h5.

    Raises:
        OSError: the file can't be written: of permission, space or quota.
    """
    file = _NeverFailing(path)
    try:
        model.save_weights(file)
    finally:
        file.close()
        if file.error is not None:
            raise file.error


def load(model, path):
    """Gives a model the weights in a file that was checked.

    Args:
        model: keras.Model.
        path: pathlib.Path that ends in .weights.h5, or in .weights.json for weights in parts.

    Raises:
        InputError: they are not the model's.
    """
    try:
        model.load_weights(path)
    except UNREADABLE as error:
        raise InputError(f"{path} doesn't fit the model that is described beside it: {reason_of(error)}") from error


def _array_sizes(path):
    """The bytes of each array in a file."""
    file_bytes = path.stat().st_size
    try:
        with h5py.File(path, "r") as file:
            sizes = [_array_size(array) for array in _arrays(file)]
    except UNREADABLE as error:
        raise InputError(f"{path} can't be read as weights that Keras wrote: {reason_of(error)}") from error
    if sum(sizes) > file_bytes:
        raise InputError(f"{path} must hold its arrays; they have {sum(sizes)} bytes, the file {file_bytes}")
    return sizes


def _arrays(file):
    """Yields all in a file that is no group, each once, however many names it has."""
    groups, seen = [file], set()
    while groups:
        group = groups.pop()
        for name in group:
            # A name may stand for a path, even into another file: not to be followed.
            if "/" in name or not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(f"{name} in {group.name} must be a group or an array; it is a link")
            node = group[name]
            address = h5py.h5o.get_info(node.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(node, h5py.Group):
                groups.append(node)
            else:
                yield node


def _array_size(array):
    """The bytes that an array says it has. InputError unless they are numbers, one after another in the file."""
    # Before the shape: to know that of a virtual array, HDF5 opens the files that it is made of.
    if not isinstance(array, h5py.Dataset) or array.id.get_offset() is None:  # in other files, compressed, or nowhere
        raise InputError(f"{array.name} must be stored whole and as it is")
    if array.dtype.kind not in "biuf" and array.dtype != BFLOAT16:
        raise InputError(f"{array.name} must be numbers; got {array.dtype}")
    return math.prod(array.shape) * array.dtype.itemsize
