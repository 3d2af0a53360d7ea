"""Parts of weights are files of their folder, and no link leads out of it."""

import json
import os
import shutil
from pathlib import Path

import pytest

import kmodels
from tests.hostile import attacks
from tests.hostile.attacks import SIZES, damage, put
from tests.hostile.checks import FORMATS, kept, little_memory, load, refused


def cut_in_two(folder, format):
    """Puts a preset's weights into two files. Returns (the index's path, their names)."""
    if format == "keras":
        import keras_hub

        backbone = keras_hub.models.BertBackbone(**SIZES)
        backbone.load_weights(folder / "model.weights.h5")
        backbone.save_weights(folder / "model.weights.json", max_shard_size=2.5e-5)
        (folder / "model.weights.h5").unlink()
        return folder / "model.weights.json", ["model_00000.weights.h5", "model_00001.weights.h5"]
    names, halves = ["model-0.safetensors", "model-1.safetensors"], {}
    for number, (name, value) in enumerate(attacks.tensors("bert").items()):
        halves.setdefault(names[number % 2], {})[name] = value
    for name, half in halves.items():
        attacks.save_file(half, folder / name)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {key: name for name, half in halves.items() for key in half}}))
    (folder / "model.safetensors").unlink()
    return index, names


@pytest.mark.one_backend
@pytest.mark.parametrize("format", ["keras", "hugging_face"])
def test_parts_of_weights_are_files_of_the_folder(format, preset_copy, tmp_path):
    folder = preset_copy("bert", format)
    index, names = cut_in_two(folder, format)
    load(folder, "bert")
    outside = shutil.copy(folder / names[1], tmp_path / "outside")
    (folder / "inner").mkdir()
    shutil.copy(folder / names[1], folder / "inner" / "part")
    (folder / "link").symlink_to(outside)
    strange = ["../outside", str(outside), "inner/part", "inner", "link", "..", ".", "", "a\0b", "a" * 9999, "\x1b]0;a"]
    for name in [*strange, None, 3, {"a": 1}, [["a"]]]:
        with kept(index):
            put(index, ("weight_map",), {"x": names[0], "y": name})
            refused(lambda: load(folder, "bert"), folder)
    for value in (None, [], names, "x", {}):
        with kept(index):
            put(index, ("weight_map",), value)
            refused(lambda: load(folder, "bert"), folder)
    for name in names:
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
        refused(lambda: load(folder, "bert"), folder / name, "link")
        (folder / name).unlink()
        (tmp_path / name).rename(folder / name)
    load(folder, "bert")


@pytest.mark.one_backend
def test_every_part_that_keras_opens_is_checked(preset_copy, tmp_path):
    folder = preset_copy("bert", "keras")
    index, names = cut_in_two(folder, "keras")
    for name in names:
        with kept(folder / name) as path:
            damage(path, attacks.DISHONEST["gibibyte of fill values"])
            with little_memory():
                refused(lambda: load(folder, "bert"), path)
    put(index, ("weight_map",), {"x": names[1]})  # it opens the first one even so
    damage(folder / names[0], attacks.external_group, tmp_path / "outside")
    refused(lambda: load(folder, "bert"), names[0])


def link_to_blobs(snapshot):
    """Makes a folder what it is in a hub's cache."""
    blobs = snapshot.parent.parent / "blobs"
    blobs.mkdir()
    for number, path in enumerate([path for path in snapshot.rglob("*") if path.is_file()]):
        path.rename(blobs / str(number))
        path.symlink_to(os.path.relpath(blobs / str(number), path.parent))


@pytest.mark.one_backend
@pytest.mark.parametrize(("kind", "format"), FORMATS)
def test_a_link_out_of_a_preset_is_refused_and_one_inside_a_hubs_cache_is_read(kind, format, preset_copy, tmp_path):
    folder = preset_copy(kind, format)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "metadata.json"]
    assert len(files) >= 4
    for path in files:
        path.rename(tmp_path / "outside")
        path.symlink_to(tmp_path / "outside")
        refused(lambda: load(folder, kind), path, "link")
        path.unlink()
        (tmp_path / "outside").rename(path)
    snapshot = Path(shutil.copytree(folder, tmp_path / "models--a--b" / "snapshots" / "0123"))
    link_to_blobs(snapshot)
    load(snapshot, kind)
    blob = (snapshot / "config.json").resolve()
    blob.unlink()
    blob.symlink_to(folder / "config.json")
    refused(lambda: load(snapshot, kind), snapshot, "link")


@pytest.mark.one_backend
def test_a_link_out_of_a_run_and_a_pipe_in_it_are_refused(run_copy, tmp_path):
    folder = run_copy("textcnn")
    for name in ("config.json", "model.json", "tokenizer.json", "best.weights.h5"):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
        refused(lambda: kmodels.load(folder), folder / name, "link")
        (folder / name).unlink()
        os.mkfifo(folder / name)
        refused(lambda: kmodels.load(folder), folder)
        (folder / name).unlink()
        (tmp_path / name).rename(folder / name)
