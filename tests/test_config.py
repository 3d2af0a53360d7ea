"""RunConfig: defaults, checks, what makes another run."""

import dataclasses
from pathlib import Path

import pytest

from kmodels import run_folder, training
from kmodels.architectures import ARCHITECTURES
from kmodels.config import RunConfig
from kmodels.errors import InputError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "textcn"}, "model must be one of .*; got 'textcn'; did you mean 'textcnn'?"),
        ({"modle": "textcnn"}, "unknown setting 'modle'; did you mean 'model'?"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"epochs": 1.5}, "epochs must be a whole number; got 1.5"),
        ({"epochs": True}, "epochs must be a whole number; got True"),
        ({"dropout": 1.0}, "dropout must be less than 1; got 1.0"),
        ({"dropout": -0.1}, "dropout must be at least 0; got -0.1"),
        ({"learning_rate": 0}, "learning_rate must be more than 0; got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number; got nan"),
        ({"learning_rate": -(10**400)}, "learning_rate must be a finite number; got -inf"),
        ({"warmup_fraction": 1.1}, "warmup_fraction must be at most 1; got 1.1"),
        ({"kernel_sizes": ()}, "kernel_sizes must name at least one number; got none"),
        ({"kernel_sizes": (0,)}, "kernel_sizes must be at least 1; got 0"),
        ({"kernel_sizes": (1.5,)}, "kernel_sizes must be whole numbers; got 1.5"),
        ({"kernel_sizes": (True,)}, "kernel_sizes must be whole numbers; got True"),
        ({"clip_norm": None}, "clip_norm must be a number; got None"),
        ({"monitor": "los"}, "monitor must be one of loss, accuracy; got 'los'; did you mean 'loss'?"),
        ({"pooling": "max"}, "pooling must be left out for textcnn; got 'max'"),
        ({"model": "bilstm", "pooling": "pooler"}, "pooling must be one of max, last, mean for bilstm; got 'pooler'"),
        ({"preset": "x"}, "preset is a setting of bert_base_pool, .*; textcnn has none"),
        ({"embedding_layers": 2}, "embedding_layers needs embeddings"),
        (
            {"embeddings": "v", "frozen_embeddings": True, "layer_decay": 0.5},
            "layer_decay is for word vectors that",
        ),
        ({"lora_rank": 4}, "lora_rank is a setting of bert_base_pool, "),
        ({"model": "bilstm", "num_filters": 3}, "num_filters is a setting of textcnn; bilstm has none"),
        ({"lstm_units": 3}, "lstm_units is a setting of bilstm, bert_base_lstm; textcnn has none"),
        ({"model": "bert_base_pool", "vocabulary_size": 500}, "a pretrained preset has its own"),
        ({"train_file": "a.tsv"}, "train_file and validation_file must be given together"),
        ({"train_file": "a", "validation_file": "b", "data_dir": "c"}, "give either data_dir or train_file"),
    ],
)
def test_what_is_impossible_is_refused_in_one_line(settings, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")) as caught:
        RunConfig.from_settings(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_resolving_leaves_no_recipe_open(model):
    config = RunConfig(model=model).resolved("jax")
    recipe = ("backend", "epochs", "batch_size", "learning_rate", "schedule", "warmup_fraction", "weight_decay")
    for name in (*recipe, "layer_decay", "ema_momentum", "dropout", "max_length", "output_dir"):
        assert getattr(config, name) is not None, name
    assert (config.preset is None) == (not config.architecture.is_encoder)


def test_vectors_of_a_bilstm_learn_slower_than_the_rest_unless_they_are_frozen():
    config = RunConfig(model="bilstm", embeddings="v")
    assert config.resolved("jax").layer_decay < 1
    assert dataclasses.replace(config, frozen_embeddings=True).resolved("jax").layer_decay == 1


def test_the_default_folder_is_one_a_setting():
    first, other, again = (RunConfig(seed=seed).resolved("jax").output_dir for seed in (1, 2, 1))
    assert first == again != other


def test_differences_name_both_values_and_only_what_makes_another_run():
    there = RunConfig(seed=1, output_dir="a").resolved("jax")
    now = RunConfig(seed=2, output_dir="b", overwrite=True).resolved("jax")
    assert there.differences(now) == ["seed: 1 there, 2 now"]


def test_what_a_run_decides_itself_is_no_difference():
    there = dataclasses.replace(RunConfig().resolved("jax"), precision="float32", num_buckets=3)
    assert there.differences(RunConfig().resolved("jax")) == []
    assert there.differences(RunConfig(precision="mixed_bfloat16").resolved("jax")) != []


@pytest.mark.parametrize(
    "settings",
    [
        {"max_train_examples": 100},
        {"text_column": "review"},
        {"embeddings": "glove.txt"},
        {"max_length": 7},
        {"train_file": "a.csv", "validation_file": "b.csv"},
    ],
    ids=" ".join,
)
def test_a_setting_taken_back_makes_another_run(settings):
    there, now = RunConfig(**settings).resolved("jax"), RunConfig().resolved("jax")
    for going_on in (False, True):
        assert {*settings} <= {line.partition(":")[0] for line in there.differences(now, going_on)}
    assert there.differences(RunConfig(**settings).resolved("jax")) == []


def test_an_unfinished_run_goes_on_without_the_patience_it_had_and_finds_its_data_where_it_was():
    there, now = RunConfig(patience=2, data_dir="a").resolved("jax"), RunConfig().resolved("jax")
    assert there.differences(now, going_on=True) == []
    going_on = there.going_on_as(now)
    assert (going_on.patience, going_on.data_dir) == (None, "a")


@pytest.mark.parametrize("name", ["preset", "embeddings", "data_dir", "output_dir"])
def test_a_path_may_begin_in_the_home_folder(monkeypatch, name):
    monkeypatch.setenv("HOME", "/home/somebody")
    model = "bert_base_pool" if name == "preset" else "textcnn"
    assert getattr(RunConfig(**{"model": model, name: "~/x"}), name) == "/home/somebody/x"


def test_every_setting_has_help_and_a_group():
    for field in dataclasses.fields(RunConfig):
        assert field.metadata["help"], field.name
        assert field.metadata["group"] in ("Model", "Data", "Recipe", "Workers", "Output")


def test_a_folder_that_may_not_be_looked_into_is_wrong_input(monkeypatch, tmp_path):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(InputError, match=r"output_dir .* can't be used: Permission denied"):
        run_folder.look_into(RunConfig(output_dir=str(tmp_path / "a")).resolved("jax"))


@pytest.mark.parametrize("given", ["50s", "0", "nan", "inf", ""])
def test_a_time_to_wait_that_is_none_is_wrong_input(monkeypatch, given):
    monkeypatch.setenv(training.WAIT_VARIABLE, given)
    with pytest.raises(InputError, match="KMODELS_WAIT_SECONDS must be seconds"):
        training._wait_seconds()
