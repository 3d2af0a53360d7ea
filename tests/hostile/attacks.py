"""Good folders of tiny models, and what an attacker would put into them."""

import base64
import json
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
from safetensors.numpy import save_file

from kmodels import records
from kmodels.config import RunConfig
from kmodels.data import tokenizer_training

SENTENCES = ["It doesn't work, it's bad.", "The film is a warm, well-made comedy.", "Unlikely heroes."]
SIZES = {
    "vocabulary_size": 300,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
    "max_sequence_length": 30,
}
HUGGING_FACE_NAMES = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
}


def put(path, place, value):
    """Changes one value in a JSON file; place: the keys that lead to it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    inner = content
    for key in place[:-1]:
        inner = inner[key] if isinstance(inner, list) else inner.setdefault(key, {})
    inner[place[-1]] = value
    path.write_text(json.dumps(content), encoding="utf-8")


# Good folders


def trained_tokenizer(kind):
    if kind == "bert":
        return tokenizer_training.train_wordpiece(SENTENCES, 150)
    return tokenizer_training.train_byte_level_bpe(SENTENCES, 290)


def write_keras(folder, kind):
    """A preset as KerasHub writes it."""
    import keras_hub

    getattr(keras_hub.models, f"{kind.title()}Backbone")(**SIZES).save_to_preset(str(folder))
    trained, name = trained_tokenizer(kind), f"{kind.title()}Tokenizer"
    config = {"lowercase": True} if kind == "bert" else {}
    settings = {
        "module": f"keras_hub.src.models.{kind}.{kind}_tokenizer",
        "class_name": name,
        "config": config,
        "registered_name": f"keras_hub>{name}",
    }
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    assets = folder / "assets" / "tokenizer"
    assets.mkdir(parents=True)
    if kind == "bert":
        (assets / "vocabulary.txt").write_text("\n".join(trained.vocabulary), encoding="utf-8")
        return
    vocabulary = {token: number for number, token in enumerate(trained.vocabulary)}
    (assets / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (assets / "merges.txt").write_text("\n".join(trained.merges), encoding="utf-8")


def write_hugging_face(folder, kind):
    """A preset as transformers writes it."""
    settings = {"model_type": kind, **{name: SIZES[argument] for argument, name in HUGGING_FACE_NAMES.items()}}
    settings["max_position_embeddings"] += 0 if kind == "bert" else 2
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": f"{kind.title()}Tokenizer"}))
    trained_tokenizer(kind).save(folder / "tokenizer.json")
    save_file(tensors(kind), folder / "model.safetensors")


def tensors(kind):
    """{name: array}, as transformers names and shapes them."""
    shapes = {
        "embeddings.word_embeddings.weight": (300, 16),
        "embeddings.position_embeddings.weight": (30 if kind == "bert" else 32, 16),
        "embeddings.token_type_embeddings.weight": (2 if kind == "bert" else 1, 16),
        "embeddings.LayerNorm.weight": (16,),
        "embeddings.LayerNorm.bias": (16,),
    }
    dense = {f"attention.{name}": (16, 16) for name in ("self.query", "self.key", "self.value", "output.dense")}
    dense |= {"intermediate.dense": (32, 16), "output.dense": (16, 32)}
    dense |= {"attention.output.LayerNorm": (16,), "output.LayerNorm": (16,)}
    for number in range(2):
        for name, shape in dense.items():
            shapes[f"encoder.layer.{number}.{name}.weight"] = shape
            shapes[f"encoder.layer.{number}.{name}.bias"] = shape[:1]
    if kind == "bert":
        shapes |= {"pooler.dense.weight": (16, 16), "pooler.dense.bias": (16,)}
    numbers = np.random.default_rng(0)
    return {name: numbers.normal(0, 0.4, shape).astype("float32") for name, shape in shapes.items()}


def write_run(folder, model, backend):
    """What a run leaves, without the training."""
    from kmodels import models
    from kmodels.models import presets

    small = {"embedding_dim": 8, "num_filters": 4, "kernel_sizes": (2, 3)} if model == "textcnn" else {}
    preset = {} if model == "textcnn" else {"preset": "scratch:tiny"}
    config = RunConfig(model=model, precision="float32", vocabulary_size=100, **small, **preset).resolved(backend)
    tokenizer, backbone = tokenizer_training.train_words(SENTENCES, 100), None
    description = {"label_names": ["bad", "good"]}
    if config.architecture.is_encoder:
        tokenizer, backbone = presets.load(config, SENTENCES)
        description["backbone"] = presets.describe(backbone)
    description["vocabulary_size"] = tokenizer.vocabulary_size
    models.build(config, 2, tokenizer.vocabulary_size, backbone).save_weights(folder / records.WEIGHTS)
    tokenizer.save(folder / records.TOKENIZER)
    (folder / records.CONFIG).write_text(json.dumps(config.to_json()))
    (folder / records.MODEL).write_text(json.dumps(description))


# Objects in JSON

OBJECTS = ("lambda", "model", "pickle", "system", "exec", "download")


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def attacking_object(name, marker):
    """What Keras could make into something that runs, and with it the file `marker`."""
    import keras

    def run(x, path=str(marker)):
        open(path, "w").close()
        return x

    run.__name__ = "<lambda>"  # then Keras writes its code
    if name == "lambda":
        return keras.saving.serialize_keras_object(run)
    if name == "model":
        return keras.saving.serialize_keras_object(keras.Sequential([keras.Input((2,)), keras.layers.Lambda(run)]))
    content = base64.b64encode(pickle.dumps(Touch(marker))).decode()
    return {
        "pickle": {
            "module": "keras.layers",
            "class_name": "TorchModuleWrapper",
            "config": {"module": content, "name": "x"},
        },
        "system": {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"},
        "exec": {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "function"},
        "download": {"module": "keras.utils", "class_name": "get_file", "config": {"fname": str(marker)}},
    }[name]


# HDF5: each puts something else in place of an array; `outside` is a path


def external_link(file, name, outside):
    del file[name]
    file[name] = h5py.ExternalLink(outside, "/secret")


def external_group(file, name, outside):
    del file["layers"]
    file["layers"] = h5py.ExternalLink(outside, "/")


def soft_link(file, name, outside):
    file.move(name, "elsewhere")
    file[name] = h5py.SoftLink("/elsewhere")


def external_storage(file, name, outside):
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, "float32", external=[(str(outside), 0, 4 * int(np.prod(shape)))])


def virtual_array(file, name, outside):
    shape = file[name].shape
    del file[name]
    layout = h5py.VirtualLayout(shape, "float32", maxshape=(None, *shape[1:]))
    source = h5py.VirtualSource(outside, "secret", shape, maxshape=(None, *shape[1:]))
    layout[: h5py.UNLIMITED] = source[: h5py.UNLIMITED]  # only the other file knows its shape
    file.create_virtual_dataset(name, layout)


def escape(file, name, outside):
    file["\x1b]0;title\x07"] = h5py.SoftLink("/")


def _replace(**options):
    def change(file, name, outside):
        del file[name]
        file.create_dataset(name, **options)

    return change


def stored_type(file, name, outside):
    del file[name]
    file[name] = np.dtype("float32")


LINKS = {
    "external link": external_link,
    "external group": external_group,
    "external storage": external_storage,
    "virtual array": virtual_array,
}
DISHONEST = {
    **LINKS,
    "soft link": soft_link,
    "escape": escape,
    "objects": _replace(data=["pickle"] * 3, dtype=h5py.string_dtype()),
    "text": _replace(data=np.array([b"numbers"] * 3)),
    "record": _replace(data=np.zeros(3, [("a", "f4"), ("b", "f4")])),
    "shape without data": _replace(shape=(2**40,), dtype="float32", chunks=(2**10,)),
    "gibibyte of fill values": _replace(shape=(2**28,), dtype="float32", chunks=(2**10,)),
    "gibibyte not yet written": _replace(shape=(2**28,), dtype="float32"),
    "compressed zeros": _replace(data=np.zeros(2**23, "float32"), compression="gzip"),
    "no numbers": _replace(data=h5py.Empty("float32")),
    "type": stored_type,
}


def damage(path, change, outside=None):
    """Lets `change` loose on the first array of an HDF5 file."""
    names = []
    with h5py.File(path, "r+") as file:
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) and node.ndim else None)
        change(file, names[0], outside)


def declare(path, old, new):
    """Rewrites a number of 64 bits wherever it stands in a file."""
    content = path.read_bytes()
    assert struct.pack("<Q", old) in content
    path.write_bytes(content.replace(struct.pack("<Q", old), struct.pack("<Q", new)))


# Safetensors


def safetensors(header, data=b"", header_bytes=None):
    """The bytes of a file; header_bytes: what it says of its header's size."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content) if header_bytes is None else header_bytes) + content + data


def tensor(dtype, shape, start, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def safetensors_of(parts):
    """The bytes of a file of {name: (dtype, shape, content)}."""
    header, data = {}, b""
    for name, (dtype, shape, content) in parts.items():
        header[name] = tensor(dtype, list(shape), len(data), len(data) + len(content))
        data += content
    return safetensors(header, data)


PAIR = {"a": tensor("F32", [2], 0, 8)}
DISHONEST_SAFETENSORS = {
    "header of 4 EiB": safetensors(PAIR, bytes(8), 2**62),
    "header of 99 MB": safetensors(PAIR, bytes(8), 99_000_000),
    "deep header": safetensors(b'{"a":' + b"[" * 100_000),
    "header that is no object": safetensors(b"[]"),
    "same bytes twice": safetensors(PAIR | {"b": tensor("F32", [2], 0, 8)}, bytes(8)),
    "bytes that overlap": safetensors(PAIR | {"b": tensor("F32", [2], 4, 12)}, bytes(12)),
    "shape beyond its bytes": safetensors({"a": tensor("F32", [2**30], 0, 8)}, bytes(8)),
    "shape beyond numbers": safetensors({"a": tensor("F32", [2**62, 2**62], 0, 8)}, bytes(8)),
    "bytes beyond the file": safetensors({"a": tensor("F32", [2**30], 0, 2**32)}, bytes(8)),
    "bytes that end before they begin": safetensors({"a": tensor("F32", [2], 8, 0)}, bytes(8)),
}


# Zip archives


def zip_link(name, target):
    """{member: content} of a symbolic link."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return {info: target}


def write_archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path
