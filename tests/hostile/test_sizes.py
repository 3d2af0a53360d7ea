"""What a file says of sizes is checked before memory is taken."""

import dataclasses

import pytest

import kmodels
from kmodels.architectures import ARCHITECTURES
from kmodels.config import RunConfig
from tests.hostile import attacks
from tests.hostile.attacks import SENTENCES, SIZES, put
from tests.hostile.checks import FORMATS, kept, little_memory, load, refused


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
