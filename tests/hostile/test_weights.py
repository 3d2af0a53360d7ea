"""Arrays are numbers in their own file, of the shapes of their model, or the file is refused."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import kmodels
from kmodels import records
from kmodels.models import weight_files
from tests.hostile import attacks
from tests.hostile.attacks import damage, declare
from tests.hostile.checks import READS, little_memory, load, refused

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def honest(tmp_path):
    """A weight file as Keras writes it: 6 arrays."""
    with h5py.File(tmp_path / "x.weights.h5", "w") as file:
        for number in range(3):
            file[f"layers/dense_{number}/vars/0"] = np.ones((4, 3), "float32")
            file[f"layers/dense_{number}/vars/1"] = np.ones(3, "float32")
    return tmp_path / "x.weights.h5"


def test_each_array_is_counted_once(honest):
    assert weight_files.check([honest]) == (6, 6 / 2 * (4 * 3 + 3) * 4)
    with h5py.File(honest, "r+") as file:
        file["layers/dense_0/another name"] = file["layers/dense_0/vars/0"]
        file["layers/dense_1/above"] = file["layers"]
    assert weight_files.check([honest]) == (6, 6 / 2 * (4 * 3 + 3) * 4)


@pytest.mark.parametrize("name", attacks.DISHONEST)
def test_arrays_that_are_no_numbers_in_their_file_are_refused(name, honest, tmp_path):
    damage(honest, attacks.DISHONEST[name], tmp_path / "outside")
    with little_memory():
        refused(lambda: weight_files.check([honest]), honest)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", attacks.LINKS)
def test_no_other_file_is_opened(name, honest, tmp_path):
    damage(honest, attacks.LINKS[name], tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe")  # who opens it waits for ever
    code = (
        "import sys, pathlib; from kmodels.models import weight_files\n"
        "try: weight_files.check([pathlib.Path(sys.argv[1])])\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, honest], capture_output=True, text=True, timeout=30, cwd=ROOT)
    assert str(honest) in done.stdout, done.stderr


@pytest.mark.parametrize("num_numbers", [99_000, 2**28, 2**40, 2**61])
def test_arrays_of_more_bytes_than_their_file_are_refused(num_numbers, honest):
    with h5py.File(honest, "r+") as file:
        file["x"] = np.ones(77_777, "float32")  # a number that stands nowhere else in the file
        file["y"] = np.ones(55_555, "float32")
    weight_files.check([honest])
    declare(honest, 77_777, num_numbers)  # 99,000 would fit, if it were not for the other one
    declare(honest, 4 * 77_777, 4 * num_numbers % 2**64)
    with little_memory():
        refused(lambda: weight_files.check([honest]), honest)


@pytest.mark.parametrize("size", [0, 8, 500, 2000])
def test_a_weight_file_cut_short_is_refused(size, honest):
    honest.write_bytes(honest.read_bytes()[:size])
    refused(lambda: weight_files.check([honest]), honest)


@pytest.mark.one_backend
@pytest.mark.parametrize("name", attacks.DISHONEST)
def test_presets_and_runs_with_such_arrays_are_refused(name, preset_copy, run_copy, tmp_path):
    preset, run = preset_copy("bert", "keras"), run_copy("textcnn")
    for path in (preset / "model.weights.h5", run / records.WEIGHTS):
        damage(path, attacks.DISHONEST[name], tmp_path / "outside")
    with little_memory():
        refused(lambda: load(preset, "bert"), preset)
        refused(lambda: kmodels.load(run), run)
    assert not (tmp_path / "outside").exists()


@pytest.mark.one_backend
@pytest.mark.parametrize("change", ["reshaped", "moved"])
def test_arrays_of_another_model_are_refused(change, preset_copy, run_copy):
    def reshaped(file, name, _):
        array = file[name][()]
        del file[name]
        file[name] = np.ones((*array.shape, 2), "float32")

    def moved(file, name, _):
        file.move(name, "elsewhere")

    preset, run = preset_copy("bert", "keras"), run_copy("textcnn")
    for path in (preset / "model.weights.h5", run / records.WEIGHTS):
        damage(path, {"reshaped": reshaped, "moved": moved}[change])
    refused(lambda: load(preset, "bert"), preset)
    refused(lambda: kmodels.load(run), run)


@pytest.mark.one_backend
@pytest.mark.parametrize("name", attacks.DISHONEST_SAFETENSORS)
def test_a_dishonest_safetensors_file_is_refused(name, preset_copy):
    folder = preset_copy("bert", "hugging_face")
    (folder / "model.safetensors").write_bytes(attacks.DISHONEST_SAFETENSORS[name])
    with little_memory():
        refused(lambda: load(folder, "bert"), folder)


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize("shape", [(2**62, 0), (), (3,), (2, 2, 2)])
def test_a_tensor_of_another_shape_is_refused(kind, shape, preset_copy):
    folder = preset_copy(kind, "hugging_face")
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        parts = {key: ("F32", value.shape, value.tobytes()) for key, value in attacks.tensors(kind).items()}
        parts[f"embeddings.{name}.weight"] = ("F32", shape, bytes(4 * int(np.prod(shape))))
        (folder / "model.safetensors").write_bytes(attacks.safetensors_of(parts))
        refused(lambda: load(folder, kind), folder)


@pytest.mark.one_backend
@pytest.mark.parametrize("dtype", ["BOOL", "I8", "I64", "F8_E4M3", "C64"])
def test_tensors_that_are_no_floats_are_refused(dtype, preset_copy):
    size = {"I64": 8, "C64": 8}.get(dtype, 1)
    parts = {name: (dtype, value.shape, bytes(size * value.size)) for name, value in attacks.tensors("bert").items()}
    folder = preset_copy("bert", "hugging_face")
    (folder / "model.safetensors").write_bytes(attacks.safetensors_of(parts))
    refused(lambda: load(folder, "bert"), folder, dtype)
