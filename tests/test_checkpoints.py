"""Checkpoints as files: whole or not there, checked before they are used."""

import errno
import hashlib
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from kmodels import checkpoints, records
from kmodels.errors import InputError, RunError

ARRAYS = {
    "model.0": np.arange(12, dtype=np.float32).reshape(3, 4),
    "model.1": np.array([7, 1], np.uint32),
    "optimizer.0": np.array(3, np.int32),
    "metrics.0": np.array([True, False]),
}


@pytest.fixture
def folder(tmp_path):
    """A run's folder with two checkpoints, the newer one of epoch 1, step 4, and best weights."""
    best = tmp_path / records.WEIGHTS
    best.write_bytes(b"weights" * 100)
    writer = checkpoints.Writer(tmp_path)
    for step in (3, 4):
        writer.write(1, step, ARRAYS, {"lines": [step]}, best)
    writer.wait()
    return tmp_path


def newest(folder, said=None):
    return checkpoints.newest(folder, pytest.fail if said is None else said.append)


def test_what_is_written_comes_back(folder):
    found = newest(folder)
    assert (found.epoch, found.step, found.state) == (1, 4, {"lines": [4]})
    assert found.best_weights.read_bytes() == b"weights" * 100
    arrays = found.read(ARRAYS)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        assert np.array_equal(array, ARRAYS[name])


def test_the_arrays_are_a_safetensors_file_as_its_library_writes_them(folder):
    there = safetensors.numpy.load_file(newest(folder).path / checkpoints.ARRAYS)
    assert {name: array.tobytes() for name, array in there.items()} == {
        name: array.tobytes() for name, array in ARRAYS.items()
    }


def test_a_drive_that_fails_to_read_loses_no_checkpoint(folder, monkeypatch):
    newer, digest = newest(folder).path, checkpoints._digest_of_file

    def unreadable(path):
        if path.is_relative_to(newer):
            raise OSError(errno.EIO, "Input/output error")
        return digest(path)

    monkeypatch.setattr(checkpoints, "_digest_of_file", unreadable)
    said: list[str] = []
    assert newest(folder, said).step == 3
    assert "Input/output error" in said[0] and newer.is_dir()


def test_who_only_looks_removes_nothing(folder):
    newer = newest(folder).path
    (newer / checkpoints.ARRAYS).write_bytes(b"")
    assert checkpoints.newest(folder).step == 3
    assert newer.is_dir()
    assert newest(folder, []).step == 3
    assert not newer.is_dir()


def test_the_newest_two_are_kept(folder):
    writer = checkpoints.Writer(folder)
    for place in ((1, 5), (2, 0), (10, 0)):
        writer.write(*place, ARRAYS, {})
    writer.wait()
    names = sorted(path.name for path in (folder / records.CHECKPOINTS).iterdir())
    assert names == ["epoch-0002-step-000000", "epoch-0010-step-000000"]


def test_places_are_ordered_as_numbers(tmp_path):
    writer = checkpoints.Writer(tmp_path)
    for place in ((9_999, 2), (10_000, 1)):
        writer.write(*place, ARRAYS, {})
    writer.wait()
    assert (newest(tmp_path).epoch, newest(tmp_path).step) == (10_000, 1)


def test_a_folder_without_checkpoints_has_none(tmp_path):
    assert newest(tmp_path) is None


def test_what_a_killed_process_was_writing_is_no_checkpoint(folder):
    unfinished = folder / records.CHECKPOINTS / ".writing"
    unfinished.mkdir()
    (unfinished / checkpoints.ARRAYS).write_bytes(b"half")
    assert newest(folder).step == 4
    writer = checkpoints.Writer(folder)
    writer.write(2, 0, ARRAYS, {})
    writer.wait()
    assert newest(folder).epoch == 2
    assert not unfinished.exists()


@pytest.mark.parametrize("name", [checkpoints.ARRAYS, checkpoints.STATE, records.WEIGHTS])
@pytest.mark.parametrize("harm", ["bit", "truncated", "empty", "gone"])
def test_a_damaged_newest_one_is_reported_removed_and_passed_over(folder, name, harm):
    damaged = newest(folder).path
    damage(damaged / name, harm)
    said = []
    assert newest(folder, said).step == 3
    assert len(said) == 1
    assert f"{damaged} is damaged" in said[0]
    assert not damaged.exists()
    assert newest(folder).step == 3


def damage(path, harm):
    content = bytearray(path.read_bytes())
    path.unlink()  # the best weights have other names elsewhere
    if harm == "bit":
        content[len(content) // 2] ^= 1
    if harm != "gone":
        path.write_bytes({"bit": content, "truncated": content[:-1], "empty": b""}[harm])


@pytest.mark.parametrize("position", range(0, 900, 45))
def test_no_bit_of_a_checkpoint_is_unguarded(folder, position):
    path = newest(folder).path / (checkpoints.ARRAYS if position % 2 else checkpoints.STATE)
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << position % 8
    path.write_bytes(content)
    assert newest(folder, []).step == 3


def test_none_that_is_whole_is_an_error_and_all_stay(folder):
    for path in (folder / records.CHECKPOINTS).iterdir():
        damage(path / checkpoints.STATE, "truncated")
    with pytest.raises(InputError, match=r"no checkpoint .* is whole; --overwrite begins anew"):
        newest(folder, [])
    assert len(list((folder / records.CHECKPOINTS).iterdir())) == 2


@pytest.mark.parametrize(
    "expected",
    [
        {**ARRAYS, "model.2": np.zeros(1)},
        {name: array for name, array in ARRAYS.items() if name != "model.0"},
        {**ARRAYS, "model.0": np.zeros((4, 3), np.float32)},
        {**ARRAYS, "model.0": np.zeros((3, 4), np.int32)},
    ],
    ids=["more", "fewer", "shape", "kind"],
)
def test_another_models_arrays_are_refused(folder, expected):
    with pytest.raises(InputError):
        newest(folder).read(expected)


def test_integers_of_another_size_are_the_same_kind(folder):
    assert newest(folder).read({**ARRAYS, "model.1": np.zeros(2, np.int64)})["model.1"].tolist() == [7, 1]


def forge(path, **changes):
    """Changes what a checkpoint says and gives it digests that fit, as somebody could who means harm."""
    content = records.read_json(path / checkpoints.STATE) | changes
    content.pop("digest")
    content["digests"] = {
        name: hashlib.sha256((path / name).read_bytes()).hexdigest() if (path / name).is_file() else digest
        for name, digest in content["digests"].items()
    } | changes.get("digests", {})
    text = json.dumps(content, sort_keys=True)
    content["digest"] = hashlib.sha256(text.encode()).hexdigest()
    (path / checkpoints.STATE).write_text(json.dumps(content))


def test_a_forged_checkpoint_reads_nothing_outside_its_folder(folder):
    secret = folder / "secret"
    secret.write_text("x")
    digest = hashlib.sha256(b"x").hexdigest()
    forge(newest(folder).path, digests={"../../secret": digest})
    said = []
    assert newest(folder, said).step == 3
    assert "has no place in a checkpoint" in said[0]


def test_a_link_out_of_the_folder_is_not_followed(folder):
    path = newest(folder).path
    outside = folder / "outside"
    (path / checkpoints.ARRAYS).rename(outside)
    (path / checkpoints.ARRAYS).symlink_to(outside)
    assert newest(folder, []).step == 3


@pytest.mark.parametrize("state", [{"format": 2}, {"epoch": "1"}, {"digests": {}}], ids=["format", "epoch", "digests"])
def test_a_forged_state_is_damage(folder, state):
    path = newest(folder).path
    content = records.read_json(path / checkpoints.STATE) | state
    content.pop("digest")
    content["digest"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (path / checkpoints.STATE).write_text(json.dumps(content))
    assert newest(folder, []).step == 3


def test_a_shape_that_the_file_cannot_hold_is_refused_before_memory_is_taken(folder):
    path = newest(folder).path / checkpoints.ARRAYS
    size = 4 * 10**12
    header = json.dumps({"model.0": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, size]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    forge(path.parent)
    with pytest.raises(InputError, match="no safetensors file"):
        newest(folder).read({"model.0": np.broadcast_to(np.float32(0), 10**12)})


def test_a_full_disk_is_an_error_and_the_last_checkpoint_stays(folder):
    """A limit on a file's size stands for the disk: writing fails in the middle of the arrays."""
    code = (
        "import resource, sys, numpy as np; from kmodels import checkpoints;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.RLIM_INFINITY}));"
        f"w = checkpoints.Writer({str(folder)!r}); w.write(2, 0, {{'model.0': np.ones(10**6)}}, {{}}); w.wait()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "RunError: no checkpoint can be written" in done.stderr
    assert newest(folder).step == 4
    assert not (folder / records.CHECKPOINTS / ".writing").exists()


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_an_error_of_the_disk_after_writing_is_told_by_the_next_call(folder, monkeypatch, call):
    writer = checkpoints.Writer(folder)

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, fail)
    writer.write(2, 0, ARRAYS, {})
    with pytest.raises(RunError, match="Input/output error; the last one stays"):
        writer.wait()
    monkeypatch.undo()
    assert newest(folder).step == 4
    writer.write(2, 0, ARRAYS, {})
    writer.wait()
    assert newest(folder).epoch == 2
