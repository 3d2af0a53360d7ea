"""Nothing runs from data: presets, runs and archives that were made to attack are refused in one line, or just data."""

import ast
import contextlib
import dataclasses
import json
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

import kmodels
from kmodels import records
from kmodels.architectures import ARCHITECTURES
from kmodels.config import RunConfig
from kmodels.data import sst2
from kmodels.errors import InputError
from kmodels.models import preset_files, weight_files
from tests import attacks
from tests.attacks import OBJECTS, SENTENCES, SIZES, attacking_object, damage, declare, put

ROOT = Path(__file__).parent.parent
READS = {"bert": "wordpiece", "roberta": "byte_level_bpe"}
FORMATS = [(kind, format) for kind in READS for format in ("keras", "hugging_face")]
MODELS = ("textcnn", "bert_base_pool")


def refused(call, *parts):
    """Asserts that a call raises InputError, in one line with these parts and without signs that a terminal obeys."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert message.isprintable() and len(message) < 1500, message
    for part in parts:
        assert str(part) in message, message


def attempt(call):
    """What a call gives, or None where it raises InputError in one line."""
    try:
        return call()
    except InputError as error:
        assert str(error).isprintable(), error
        return None


@contextlib.contextmanager
def little_memory():
    """Lets the process take 512 MiB more and no more, and NumPy's arrays 16 MiB."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    tracemalloc.start()
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 2**29, hard))
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        tracemalloc.stop()


@contextlib.contextmanager
def kept(path):
    """Gives a file, or its absence, back as it was."""
    good = path.read_bytes() if path.exists() else None
    yield path
    path.unlink() if good is None else path.write_bytes(good)


@pytest.fixture(scope="module")
def whole(chosen_backend, tmp_path_factory):
    """{(kind, format): a good preset}."""
    folders = {each: tmp_path_factory.mktemp("-".join(each)) for each in FORMATS}
    for (kind, format), folder in folders.items():
        getattr(attacks, f"write_{format}")(folder, kind)
    return folders


@pytest.fixture(scope="module")
def runs(chosen_backend, tmp_path_factory):
    """{model: a good run's folder}."""
    import keras

    keras.config.set_dtype_policy("float32")
    folders = {model: tmp_path_factory.mktemp(model) for model in MODELS}
    for model, folder in folders.items():
        attacks.write_run(folder, model, chosen_backend)
    return folders


@pytest.fixture
def preset_copy(whole, tmp_path):
    """A function that copies a good preset for a test to damage."""
    return lambda kind, format: Path(shutil.copytree(whole[kind, format], tmp_path / f"{kind}-{format}"))


@pytest.fixture
def run_copy(runs, tmp_path):
    return lambda model: Path(shutil.copytree(runs[model], tmp_path / model))


def load(folder, kind):
    """(tokenizer, encoder) of a preset's folder."""
    from kmodels.models import presets

    tokenizer = presets.load_tokenizer(str(folder), READS[kind])
    return tokenizer, presets.load_backbone(str(folder), READS[kind], dropout=0.1)


@pytest.mark.one_backend
def test_good_presets_and_runs_load(whole, runs):
    for (kind, _), folder in whole.items():
        tokenizer, backbone = load(folder, kind)
        assert tokenizer.kind == READS[kind] and backbone.num_layers == 2
    for folder in runs.values():
        assert kmodels.load(folder).predict_proba(SENTENCES).shape == (3, 2)


# Objects in JSON


@pytest.mark.one_backend
def test_the_attacking_model_would_run(chosen_backend, tmp_path):
    import keras

    attack = attacking_object("model", tmp_path / "marker")
    (tmp_path / "marker").unlink(missing_ok=True)  # it may have run as it was made
    keras.saving.deserialize_keras_object(attack, safe_mode=False)
    assert (tmp_path / "marker").exists()


@pytest.fixture
def attack(request, chosen_backend, tmp_path):
    """An object for JSON that must not come to life."""
    found = attacking_object(request.param, tmp_path / "marker")
    (tmp_path / "marker").unlink(missing_ok=True)
    yield found
    assert not (tmp_path / "marker").exists()


@pytest.mark.one_backend
@pytest.mark.parametrize("attack", OBJECTS, indirect=True)
def test_no_object_beside_the_sizes_of_a_preset_is_made(attack, preset_copy):
    folder = preset_copy("bert", "keras")
    for name in ("dtype", "kernel_initializer", "activation", "name"):
        put(folder / "config.json", ("config", name), attack)
    for name in ("dtype", "special_tokens", "vocabulary"):
        put(folder / "tokenizer.json", ("config", name), attack)
    for name in ("build_config", "compile_config", "module"):
        put(folder / "config.json", (name,), attack)
        put(folder / "tokenizer.json", (name,), attack)
    for name in ("preprocessor.json", "task.json", "metadata.json", "image_converter.json"):
        (folder / name).write_text(json.dumps(attack))
    assert load(folder, "bert")[1].num_layers == 2


@pytest.mark.one_backend
@pytest.mark.parametrize("attack", OBJECTS, indirect=True)
def test_an_object_in_place_of_a_preset_or_a_size_is_refused(attack, preset_copy):
    folder = preset_copy("bert", "keras")
    places = [("config.json", ("config", "hidden_dim")), ("config.json", ("config", "num_layers"))]
    places += [("config.json", ("config",)), ("tokenizer.json", ("config", "lowercase"))]
    for name in ("config.json", "tokenizer.json"):
        places += [(name, ("class_name",)), (name, ("registered_name",))]
        with kept(folder / name) as path:
            path.write_text(json.dumps(attack))
            refused(lambda: load(folder, "bert"), folder)
    for name, place in places:
        with kept(folder / name) as path:
            put(path, place, attack)
            refused(lambda: load(folder, "bert"), folder)


@pytest.mark.one_backend
@pytest.mark.parametrize("attack", OBJECTS, indirect=True)
def test_no_object_in_a_run_is_made(attack, run_copy):
    folder = run_copy("bert_base_pool")
    inside = [("class",), ("config",), ("config", "dropout"), ("config", "num_heads")]
    inside += [("variant", "hidden_act"), ("variant", "layer_norm_eps")]
    places = [("model.json", ("backbone", *place)) for place in inside] + [("model.json", ("label_names",))]
    places += [("config.json", (name,)) for name in ("precision", "model", "pooling", "dropout")]
    for name, place in places:
        with kept(folder / name) as path:
            put(path, place, attack)
            refused(lambda: kmodels.load(folder))
    put(folder / "model.json", ("backbone", "config", "dtype"), attack)
    put(folder / "model.json", ("backbone", "module"), attack)
    assert kmodels.load(folder).label_names == ("bad", "good")


@pytest.mark.one_backend
@pytest.mark.parametrize("attack", ["model"], indirect=True)
def test_a_model_of_kaggle_is_read_as_its_folder(attack, preset_copy, monkeypatch):
    import kagglehub

    from kmodels.models import preset_places, presets

    folder, asked = preset_copy("bert", "keras"), []
    monkeypatch.setattr(kagglehub, "model_download", lambda *given: asked.append(given) or str(folder / given[1]))
    for preset in ("bert_tiny_en_uncased", "kaggle://a/b/keras/c"):
        assert presets.load_tokenizer(preset, "wordpiece").kind == "wordpiece"
        assert presets.load_backbone(preset, "wordpiece", 0.1).num_layers == 2
    known = preset_places.BACKBONES["wordpiece"].presets["bert_tiny_en_uncased"]["kaggle_handle"]
    assert {handle for handle, _ in asked} == {known.removeprefix("kaggle://"), "a/b/keras/c"}
    assert {name for _, name in asked} == {
        "config.json",
        "model.weights.h5",
        "tokenizer.json",
        "assets/tokenizer/vocabulary.txt",
    }
    (folder / "config.json").write_text(json.dumps(attack))
    refused(lambda: presets.load_backbone("kaggle://a/b/keras/c", "wordpiece", 0.1), folder, "Sequential")


# HDF5


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


# Parts of weights, and links


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


# Safetensors


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


# Sizes


@pytest.mark.one_backend
@pytest.mark.parametrize("size", [10**5, 10**9, 10**12, 10**300])
@pytest.mark.parametrize(("kind", "format"), FORMATS)
def test_a_preset_larger_than_its_weights_is_refused_before_memory_is_taken(size, kind, format, preset_copy):
    folder = preset_copy(kind, format)
    names = SIZES if format == "keras" else attacks.HUGGING_FACE_NAMES.values()
    for name in names:
        with kept(folder / "config.json") as path, little_memory():
            put(path, ("config", name) if format == "keras" else (name,), size)
            refused(lambda: load(folder, kind), folder)


@pytest.mark.one_backend
@pytest.mark.parametrize(("kind", "format"), FORMATS)
def test_many_tiny_layers_that_the_weights_do_not_have_are_refused(kind, format, preset_copy):
    folder = preset_copy(kind, format)
    for name in ("num_heads", "hidden_dim", "intermediate_dim", "num_layers"):
        place = ("config", name) if format == "keras" else (attacks.HUGGING_FACE_NAMES[name],)
        put(folder / "config.json", place, 4_000 if name == "num_layers" else 1)
    with little_memory():
        refused(lambda: load(folder, kind), folder)


@pytest.mark.one_backend
@pytest.mark.parametrize("size", [10**5, 10**12])
def test_a_run_larger_than_its_weights_is_refused_before_memory_is_taken(size, run_copy):
    folder = run_copy("bert_base_pool")
    for name in (*SIZES, "num_segments"):
        with kept(folder / "model.json") as path, little_memory():
            put(path, ("backbone", "config", name), size)
            refused(lambda: kmodels.load(folder), folder)
    put(folder / "model.json", ("label_names",), ["x"] * 10**5)
    with little_memory():
        refused(lambda: kmodels.load(folder), folder)
    folder = run_copy("textcnn")
    changes = {"embedding_dim": size, "num_filters": size, "kernel_sizes": [2, size]}
    for name, value in [*changes.items(), ("kernel_sizes", list(range(1, 10**4)))]:
        with kept(folder / "config.json") as path, little_memory():
            put(path, (name,), value)
            refused(lambda: kmodels.load(folder), folder)


@pytest.mark.one_backend
def test_a_batch_is_no_larger_than_memory_whatever_a_run_says(run_copy):
    folder = run_copy("textcnn")
    for name in ("batch_size", "max_length"):
        put(folder / "config.json", (name,), 10**12)
    classifier = kmodels.load(folder)
    with little_memory():
        assert classifier.predict_proba(SENTENCES).shape == (3, 2)


@pytest.mark.one_backend
@pytest.mark.parametrize("model", ARCHITECTURES)
def test_what_is_counted_before_a_model_is_built_is_nearly_all_of_it(model, chosen_backend):
    import keras_hub

    from kmodels import inference, models
    from kmodels.models import presets

    small = {"textcnn": {"embedding_dim": 40, "num_filters": 30}, "bilstm": {"embedding_dim": 40, "lstm_units": 30}}
    config = RunConfig(model=model, precision="float32", **small.get(model, {})).resolved(chosen_backend)
    backbone, description = None, {}
    if config.architecture.is_encoder:
        config = dataclasses.replace(config, lstm_units=20 if config.lstm_units else None)
        name = "RobertaBackbone" if config.architecture.reads == "byte_level_bpe" else "BertBackbone"
        backbone = getattr(keras_hub.models, name)(**SIZES | {"hidden_dim": 64, "intermediate_dim": 256})
        description = {"backbone": presets.describe(backbone)}
    built = models.build(config, 3, 300, backbone)
    num_arrays, num_numbers = inference._least_weights(config, 3, 300, description, "model.json")
    assert 0.85 * built.count_params() < num_numbers <= built.count_params()
    assert num_arrays <= len(built.weights)


# JSON

JSON_FILES = {
    "keras": ["config.json", "tokenizer.json", "assets/tokenizer/vocabulary.json"],
    "hugging_face": ["config.json", "tokenizer.json", "tokenizer_config.json", "added_tokens.json"],
}
ENDLESS = [b"[" * 10**5, b'{"a":' * 10**5, b'{"a":' * 10**5 + b"1" + b"}" * 10**5, b'{"a":' + b"9" * 10**5]
HOSTILE = [None, True, -1, 0.5, 2**64, "a\nb\x1b]", [[]], {"a": {}}]
STAGES = {"normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding"}  # of no use here


@pytest.mark.one_backend
@pytest.mark.parametrize("format", JSON_FILES)
def test_json_without_end_is_refused(format, preset_copy):
    folder = preset_copy("roberta", format)
    for name in JSON_FILES[format]:
        with kept(folder / name) as path, little_memory():
            for content in ENDLESS:
                path.write_bytes(content)
                refused(lambda: load(folder, "roberta"), folder)
            with open(path, "wb") as file:
                file.truncate(preset_files.MAX_TEXT_BYTES + 1)
            refused(lambda: load(folder, "roberta"), path)


@pytest.mark.one_backend
def test_json_without_end_in_a_run_is_refused(run_copy):
    folder = run_copy("textcnn")
    for name in ("config.json", "model.json", "tokenizer.json"):
        with kept(folder / name) as path, little_memory():
            for content in [*ENDLESS, b"null", b"[]", b'{"cls": 1}', b""]:
                path.write_bytes(content)
                refused(lambda: kmodels.load(folder))
            with open(path, "wb") as file:
                file.truncate(preset_files.MAX_TEXT_BYTES + 1)
            refused(lambda: kmodels.load(folder), path)


def places(value, found=()):
    """The keys that lead to each value in JSON; of a list or a vocabulary, to the first one."""
    yield found
    children = list(enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ())
    for key, child in children[: 1 if isinstance(value, list) or len(children) > 50 else None]:
        yield from places(child, (*found, key))


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", READS)
@pytest.mark.parametrize("format", JSON_FILES)
def test_a_tokenizer_is_read_or_refused_whatever_its_json_holds(format, kind, preset_copy):
    from kmodels.models import presets

    folder = preset_copy(kind, format)
    more = {"added_tokens_decoder": {"0": {"content": "[PAD]"}}, "strip_accents": None, "add_prefix_space": False}
    for name in JSON_FILES[format][1:]:
        with kept(folder / name) as path:
            path.parent.mkdir(parents=True, exist_ok=True)
            good = json.loads(path.read_text()) if path.exists() else {"<mask>": 3}
            good |= more if name == "tokenizer_config.json" else {}
            for place in places({key: value for key, value in good.items() if key not in STAGES}):
                for value in HOSTILE:
                    path.write_text(json.dumps(good if place else value))
                    put(path, place, value) if place else None
                    attempt(lambda: presets.load_tokenizer(str(folder), READS[kind]))


@pytest.mark.one_backend
@pytest.mark.parametrize("format", JSON_FILES)
def test_an_encoder_is_read_or_refused_whatever_its_json_holds(format, preset_copy):
    from kmodels.models import presets

    folder = preset_copy("bert", format)
    keras = [("config",), ("class_name",), ("registered_name",), *(("config", name) for name in SIZES)]
    names = [*attacks.HUGGING_FACE_NAMES.values(), "type_vocab_size", "hidden_act", "layer_norm_eps", "is_decoder"]
    for place in keras if format == "keras" else [("model_type",), *((name,) for name in names)]:
        for value in HOSTILE:
            with kept(folder / "config.json") as path:
                put(path, place, value)
                attempt(lambda: presets.load_backbone(str(folder), "wordpiece", 0.1))


@pytest.mark.one_backend
def test_a_run_is_read_or_refused_whatever_its_json_holds(run_copy):
    folder = run_copy("bert_base_pool")
    inside = [("backbone",), ("backbone", "class"), ("backbone", "config"), ("backbone", "variant")]
    for place in [("label_names",), *inside, ("backbone", "config", "dropout"), ("backbone", "config", "num_heads")]:
        for value in HOSTILE:
            with kept(folder / "model.json") as path:
                put(path, place, value)
                attempt(lambda: kmodels.load(folder))


@pytest.mark.one_backend
@pytest.mark.parametrize("change", [{"precision": "auto"}, {"kernel_sizes": [2, 2]}, {"embedding_dim": None}])
def test_settings_that_no_run_has_are_refused(change, run_copy):
    folder = run_copy("textcnn")
    for name, value in change.items():
        put(folder / "config.json", (name,), value)
    refused(lambda: kmodels.load(folder), folder)


# SST-2's archive

TSV = "sentence\tlabel\ngood \t1\nbad \t0\n"
COUNTS = {"train.tsv": (2, 1), "dev.tsv": (2, 1)}


def test_a_link_in_an_archive_is_never_one_on_the_disk(tmp_path, monkeypatch):
    (tmp_path / "secret.tsv").write_text(TSV)
    folder = tmp_path / "cache"
    members = attacks.zip_link("SST-2/train.tsv", str(tmp_path / "secret.tsv")) | {"SST-2/dev.tsv": TSV}
    monkeypatch.setattr(sst2, "_fetch", lambda url, path: attacks.write_archive(path, members))
    refused(lambda: sst2.download(folder, counts=COUNTS), "--data_dir")
    assert list(folder.iterdir()) == []
    members = {**attacks.zip_link("SST-2", str(tmp_path)), "SST-2/train.tsv": TSV, "SST-2/dev.tsv": TSV}
    members |= {"../evil": "x", "/evil": "x", str(tmp_path / "evil"): "x"}
    sst2.download(folder, counts=COUNTS)
    assert {path.name for path in folder.rglob("*")} == {"train.tsv", "dev.tsv"}
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"secret.tsv", "cache"}


@pytest.mark.parametrize("declared", [8 * sst2.MAX_MEMBER_BYTES, 100])
def test_a_bomb_in_an_archive_does_not_fill_the_memory_whatever_size_it_declares(declared, tmp_path):
    real = 8 * sst2.MAX_MEMBER_BYTES
    path = attacks.write_archive(tmp_path / "bomb.zip", {"SST-2/train.tsv": bytes(real)})
    assert path.stat().st_size < 2**18
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", real), struct.pack("<I", declared)))
    tracemalloc.start()
    try:
        refused(lambda: sst2._member(path, "SST-2/train.tsv", "URL"), "URL")
        assert tracemalloc.get_traced_memory()[1] < 4 * sst2.MAX_MEMBER_BYTES
    finally:
        tracemalloc.stop()


# The sources

MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml", "runpy", "subprocess"}
NAMES = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES = {"enable_unsafe_deserialization", "deserialize_keras_object", "deserialize", "func_load", "load_model"}
ATTRIBUTES |= {"from_preset", "from_config", "from_pretrained", "model_from_json", "spec_from_file_location"}
ATTRIBUTES |= {"extract", "extractall", "unpack_archive", "popen"}
DOTTED = {"torch.load", "np.load", "numpy.load", "os.system"}
KEYWORDS = {"allow_pickle": False, "safe_mode": True, "shell": False, "trust_remote_code": False, "weights_only": True}


def dangers(node):
    """What a node of a source has that could run what the program reads: {name, …}."""
    if isinstance(node, ast.Import):
        return MODULES & {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return MODULES & {str(node.module).partition(".")[0]} | ATTRIBUTES & {alias.name for alias in node.names}
    if isinstance(node, ast.Name):
        return NAMES & {node.id}
    if isinstance(node, ast.Attribute):
        return (ATTRIBUTES | DOTTED) & {node.attr, ast.unparse(node)}
    if isinstance(node, ast.keyword) and node.arg in KEYWORDS:
        return set() if ast.unparse(node.value) == str(KEYWORDS[node.arg]) else {node.arg}
    return set()


def dangers_in(source):
    return set().union(*map(dangers, ast.walk(ast.parse(source))))


SOURCES = [*sorted((ROOT / "kmodels").rglob("*.py")), ROOT / "train.py"]
# a run of a comparison and a step of an export are processes of their own; never by a shell (KEYWORDS)
# a file of the user's own is loaded because a flag names it
ON_PURPOSE = {
    "kmodels/comparison/runner.py": {"subprocess"},
    "kmodels/export/processes.py": {"subprocess"},
    "kmodels/extensions.py": {"spec_from_file_location"},
    "kmodels/workers/launch.py": {"subprocess"},
    "kmodels/cluster/processes.py": {"subprocess"},
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_can_run_what_it_reads(path):
    allowed = ON_PURPOSE.get(path.relative_to(ROOT).as_posix(), set())
    assert dangers_in(path.read_text(encoding="utf-8")) == allowed


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal as m",
        "import yaml",
        "eval(text)",
        "run = exec",
        "torch.load(path)",
        "np.load(path, mmap_mode=None)",
        "load(path, allow_pickle=True)",
        "load(path, allow_pickle=flag)",
        "load(path, safe_mode=False)",
        "load(path, trust_remote_code=True)",
        "keras.config.enable_unsafe_deserialization()",
        "from keras.config import enable_unsafe_deserialization",
        "keras.saving.deserialize_keras_object(config)",
        "Backbone.from_preset(path)",
        "archive.extractall(folder)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_search_of_the_sources_finds(source):
    assert dangers_in(source)
