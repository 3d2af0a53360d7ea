"""Weights are written whole, or one plain error says why not."""

import contextlib
import gc
import os
import resource

import numpy as np
import pytest

from kmodels.models import weight_files

pytestmark = pytest.mark.backend


@contextlib.contextmanager
def files_of_at_most(num_bytes):
    """A limit on the size of a file stands for the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def model():
    import keras

    return keras.Sequential([keras.layers.Input((300,)), *[keras.layers.Dense(30) for _ in range(10)]])


def test_weights_are_read_as_they_were_written(tmp_path, model):
    import keras

    weight_files.save(model, tmp_path / "a.weights.h5")
    other = keras.models.clone_model(model)
    weight_files.load(other, tmp_path / "a.weights.h5")
    for written, read in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(written, read)


@pytest.mark.one_backend
def test_a_disk_that_fills_anywhere_in_the_file_is_one_plain_error(tmp_path, model, capfd):
    weight_files.save(model, tmp_path / "whole.weights.h5")
    size = (tmp_path / "whole.weights.h5").stat().st_size
    for limit in [0, 1, 96, 2000, 12_000, *range(20_000, size, 20_000), size - 1]:
        with files_of_at_most(limit), pytest.raises(OSError, match="File too large"):
            weight_files.save(model, tmp_path / "full.weights.h5")
        gc.collect()
    assert not any("full" in os.readlink(f"/proc/self/fd/{name}") for name in _open_files())
    assert capfd.readouterr() == ("", "")
    with files_of_at_most(size):
        weight_files.save(model, tmp_path / "full.weights.h5")
    weight_files.load(model, tmp_path / "full.weights.h5")


@pytest.mark.one_backend
def test_a_folder_that_is_not_there_is_a_plain_error(tmp_path, model):
    with pytest.raises(FileNotFoundError):
        weight_files.save(model, tmp_path / "nowhere" / "a.weights.h5")


def _open_files():
    return [name for name in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{name}")]
