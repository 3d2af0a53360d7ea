"""No object that stands in JSON comes to life."""

import json

import pytest

import kmodels
from tests.hostile.attacks import OBJECTS, SENTENCES, attacking_object, put
from tests.hostile.checks import READS, kept, load, refused


@pytest.mark.one_backend
def test_good_presets_and_runs_load(whole, runs):
    for (kind, _), folder in whole.items():
        tokenizer, backbone = load(folder, kind)
        assert tokenizer.kind == READS[kind] and backbone.num_layers == 2
    for folder in runs.values():
        assert kmodels.load(folder).predict_proba(SENTENCES).shape == (3, 2)


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
