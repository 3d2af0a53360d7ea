"""RunConfig: defaults, checks, what makes another run."""

import dataclasses

import pytest

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


def test_every_setting_has_help_and_a_group():
    for field in dataclasses.fields(RunConfig):
        assert field.metadata["help"], field.name
        assert field.metadata["group"] in ("Model", "Data", "Recipe", "Workers", "Output")
