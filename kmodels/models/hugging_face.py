"""Reads the BERT or RoBERTa encoder in a folder that transformers wrote. Runs no code from it.

KerasHub's own converter keeps one activation and one epsilon a model whatever config.json says, leaves out RoBERTa's
segment embedding, and wants "roberta." before every name.
"""

import contextlib
import json
import re

import keras
import numpy as np
from safetensors import SafetensorError, safe_open

from kmodels import records
from kmodels.errors import InputError
from kmodels.layers.initializers import none_drawn
from kmodels.models import encoder_sizes
from kmodels.models.preset_files import reason_of, weight_parts
from kmodels.models.weight_files import Stored

# KerasHub's layers, and what a checkpoint calls them.
LAYERS = {
    "token_embedding": "embeddings.word_embeddings",
    "position_embedding": "embeddings.position_embeddings",
    "segment_embedding": "embeddings.token_type_embeddings",
    "embeddings_layer_norm": "embeddings.LayerNorm",
    "self_attention_layer/query": "attention.self.query",
    "self_attention_layer/key": "attention.self.key",
    "self_attention_layer/value": "attention.self.value",
    "self_attention_layer/attention_output": "attention.output.dense",
    "self_attention_layer_norm": "attention.output.LayerNorm",
    "feedforward_intermediate_dense": "intermediate.dense",
    "feedforward_output_dense": "output.dense",
    "feedforward_layer_norm": "output.LayerNorm",
    "pooled_dense": "pooler.dense",
}
SIZES = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
}
# What changes an encoder's output in a way that KerasHub's has no place for.
REQUIRED = {"position_embedding_type": "absolute", "is_decoder": False, "quantization_config": None, "auto_map": None}
EPSILON = 1e-12  # transformers' default of layer_norm_eps, for both
FLOATS = ("F16", "BF16", "F32", "F64")  # safetensors' names


def _gelu_tanh(x):
    return keras.activations.gelu(x, approximate=True)


ACTIVATIONS = {
    "gelu": keras.activations.gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "relu": keras.activations.relu,
    "silu": keras.activations.silu,
    "swish": keras.activations.silu,
}


def read_backbone(folder, backbone_class, dropout, needs_pooler=True):
    """The encoder in a folder, its outputs those of transformers.

    Args:
        folder: pathlib.Path, with config.json and model.safetensors, whole or in parts.
        backbone_class: keras_hub's BertBackbone or RobertaBackbone, the one that config.json means.
        dropout: rate of every dropout inside the encoder.
        needs_pooler: False if BERT's pooler is not read; then a checkpoint without one will do, and it is zero.

    Raises:
        InputError: a file is missing or damaged, or holds what KerasHub's encoder can't do.
    """
    path = folder / "config.json"
    settings = records.read_object(path)
    sizes = _sizes(settings, path)
    position_offset = _position_offset(settings, path)
    variant = {
        "hidden_act": settings.get("hidden_act", "gelu"),
        "layer_norm_eps": settings.get("layer_norm_eps", EPSILON),
    }
    check_variant(path, **variant)
    with _weights(folder) as (files_by_name, stored):
        stored.check_holds(*encoder_sizes.least_weights(sizes), path)
        with none_drawn():
            backbone = backbone_class(**sizes, dropout=dropout)
        set_variant(backbone, **variant)
        read = _reader(files_by_name, settings["model_type"], folder)
        _load_weights(backbone, read, folder, settings["model_type"], position_offset, needs_pooler)
    return backbone


def read_token_table(folder):
    """The vectors of an encoder's tokens alone: float32, (vocabulary_size, hidden_dim).

    Args:
        folder: pathlib.Path, as in `read_backbone`.

    Raises:
        InputError: as there.
    """
    settings = records.read_object(folder / "config.json")
    sizes = _sizes(settings, folder / "config.json")
    with _weights(folder) as (files_by_name, _):
        table = _reader(files_by_name, settings["model_type"], folder)("embeddings.word_embeddings.weight")
    wanted = sizes["vocabulary_size"], sizes["hidden_dim"]
    if table.shape != wanted:
        raise InputError(f"{folder}: the token table must be {wanted}, as config.json says; got {table.shape}")
    return table


def check_variant(path, hidden_act="gelu", layer_norm_eps=EPSILON):
    """Raises InputError, which names the file, for what `set_variant` can't give an encoder."""
    if str(hidden_act) not in ACTIVATIONS:
        raise InputError(f"{path}: hidden_act must be one of {', '.join(ACTIVATIONS)}; got {hidden_act!r:.80}")
    if not isinstance(layer_norm_eps, float) or not 0 < layer_norm_eps < 1:
        raise InputError(f"{path}: layer_norm_eps must be a number between 0 and 1; got {layer_norm_eps!r:.80}")


def set_variant(backbone, hidden_act=None, layer_norm_eps=None):
    """Gives an encoder what KerasHub's constructors fix and a checkpoint may want otherwise; None changes nothing.

    KerasHub's BERT takes the tanh approximation of GELU, as Google's did, and most Hugging Face checkpoints the exact
    one: up to 5e-4 in a hidden value. These attributes are KerasHub's own; without them this raises AttributeError.
    """
    norms = [backbone.embeddings_layer_norm]
    for layer in backbone.transformer_layers:
        norms += [layer._self_attention_layer_norm, layer._feedforward_layer_norm]
        if hidden_act is not None:
            layer._feedforward_intermediate_dense.activation = ACTIVATIONS[hidden_act]
    for norm in norms:
        norm.epsilon = norm.epsilon if layer_norm_eps is None else layer_norm_eps


def variant_of(backbone):
    """What `set_variant` needs to make another encoder like this one, as JSON."""
    activation = backbone.transformer_layers[0]._feedforward_intermediate_dense.activation
    names = [name for name, function in ACTIVATIONS.items() if function is activation]
    return {"hidden_act": names[0] if names else None, "layer_norm_eps": backbone.embeddings_layer_norm.epsilon}


def _sizes(settings, path):
    """The arguments of KerasHub's constructor that config.json gives."""
    for name, wanted in REQUIRED.items():
        if settings.get(name, wanted) != wanted:
            raise InputError(f"{path}: {name} must be {json.dumps(wanted)} here; got {json.dumps(settings[name]):.80}")
    names = SIZES
    if settings["model_type"] == "bert":
        names = SIZES | {"num_segments": "type_vocab_size"}
        settings = {"type_vocab_size": 2} | {name: size for name, size in settings.items() if size is not None}
    sizes = encoder_sizes.read(settings, names, path)
    sizes["max_sequence_length"] -= _position_offset(settings, path)
    if sizes["max_sequence_length"] < 1:
        raise InputError(f"{path}: max_position_embeddings must be above pad_token_id + 1, where RoBERTa's begin")
    return sizes


def _position_offset(settings, path):
    """Rows before the first token's in the position table: RoBERTa numbers positions from its padding id on."""
    if settings["model_type"] == "bert":
        return 0
    padding_id = settings.get("pad_token_id", 1)
    if type(padding_id) is not int or padding_id < 0:
        raise InputError(f"{path}: pad_token_id must be a whole number; got {padding_id!r}")
    return padding_id + 1


@contextlib.contextmanager
def _weights(folder):
    """({tensor's name: the open file that holds it}, Stored). What is wrong with the files is an InputError."""
    whole = folder / "model.safetensors"
    paths = [whole] if whole.is_file() else weight_parts(folder / "model.safetensors.index.json")
    try:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(safe_open(path, framework="numpy")) for path in paths]
            files_by_name = {name: file for file in files for name in file.keys()}  # noqa: SIM118 (no dict)
            yield files_by_name, Stored(len(files_by_name), sum(path.stat().st_size for path in paths))
    except (OSError, SafetensorError) as error:
        reason = reason_of(error)
        raise InputError(f"the weights in {folder} can't be read ({reason}); copy or download them again") from error


def _load_weights(backbone, read, folder, model_type, position_offset, needs_pooler):
    """Gives every variable its tensor's values, so that none can be left as it was drawn."""
    for variable in backbone.weights:
        name = _tensor_name(variable)
        spare = np.zeros(variable.shape).T if name.startswith("pooler.") and not needs_pooler else None
        value = read(name, spare)
        if model_type == "roberta" and name.startswith("embeddings.position"):
            segments = read("embeddings.token_type_embeddings.weight")
            value = _positions(value, segments, position_offset, folder)
        variable.assign(_fitted(value, variable, name, folder))


def _reader(files_by_name, model_type, folder):
    """A function from a tensor's name to its values as float32; what is not there is `spare`, or an InputError."""
    # A bare encoder has no prefix, one inside a classifier or a language model has its type's.
    prefix = next((p for p in ("", f"{model_type}.") if f"{p}embeddings.word_embeddings.weight" in files_by_name), "")

    def read(name, spare=None):
        # Google's checkpoints, and those made of them, keep TensorFlow's names of a layer norm's two vectors.
        older = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        found = next((prefix + n for n in (name, older) if prefix + n in files_by_name), None)
        if found is None and spare is None:
            raise InputError(_missing(folder, name))
        return spare if found is None else _values(files_by_name[found], found, folder)

    return read


def _values(file, name, folder):
    """A tensor as float32."""
    tensor = file.get_slice(name)
    if tensor.get_dtype() not in FLOATS:
        raise InputError(f"{folder}: {name} must be floats; got {tensor.get_dtype()}, a quantized checkpoint's")
    if 0 in tensor.get_shape():
        raise InputError(f"{folder}: {name} must hold numbers; got the shape {tensor.get_shape()}")
    return file.get_tensor(name).astype("float32")


def _positions(table, segments, offset, folder):
    """RoBERTa's position table with its one segment added, for KerasHub's RoBERTa has no table of segments."""
    if table.ndim != 2 or segments.shape[1:] != table.shape[1:]:
        raise InputError(f"{folder}: embeddings must have one width; got {table.shape} and {segments.shape}")
    return table[offset:] + segments[0]


def _tensor_name(variable):
    """What a checkpoint calls a backbone's variable, without prefix."""
    path = variable.path.removeprefix("embeddings/")
    layer, kind = path.rsplit("/", 1)
    prefix = re.match(r"transformer_layer_(\d+)/", layer)
    ending = "bias" if kind in ("bias", "beta") else "weight"
    if prefix is None:
        return f"{LAYERS[layer]}.{ending}"
    return f"encoder.layer.{prefix[1]}.{LAYERS[layer[prefix.end() :]]}.{ending}"


def _fitted(value, variable, name, folder):
    """The values in the variable's shape: dense kernels are (in, out) here and (out, in) there."""
    if variable.name == "kernel":
        value = value.T
    if value.size != np.prod(variable.shape):
        raise InputError(f"{folder}: {name} must fill {tuple(variable.shape)}, as config.json says; got {value.shape}")
    return value.reshape(variable.shape)


def _missing(folder, name):
    if name.startswith("pooler."):
        return f"{folder} has no pooler, as checkpoints of language models do not; give --pooling=first, mean or max"
    return f"{folder} must have the tensor {name}, as its config.json says; it has none: save the model again"
