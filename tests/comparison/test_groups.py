"""Which runs are averaged, and what their groups are called."""

import pytest

from kmodels.comparison.groups import grouped
from kmodels.config import RunConfig


def run(name, model="textcnn", backend="jax", **config):
    """A run as it is read from a folder."""
    config = {"model": model, "backend": backend, "seed": 1, "precision": "float32"} | config
    return {"name": name, "model": model, "backend": backend, "config": config}


def names(*runs):
    return {name: [run["name"] for run in several] for name, several in grouped(runs).items()}


def test_runs_that_differ_in_their_seed_are_one_group_whatever_their_folders_names():
    runs = [run("textcnn-jax-seed-1"), run("textcnn-jax-0a1b2c3d", seed=2), run("textcnn-jax-4e5f6a7b", seed=3)]
    assert names(*runs) == {"textcnn-jax": [each["name"] for each in runs]}


def test_a_folder_that_ends_in_a_seed_gives_its_own_name():
    runs = [run("small-jax-seed-1"), run("small-jax-seed-2", seed=2), run("textcnn-jax-seed-1")]
    assert list(names(*runs)) == ["small-jax", "textcnn-jax"]


def test_runs_of_other_settings_are_groups_of_their_own_named_by_what_differs():
    runs = [run(f"textcnn-jax-seed-{seed}", learning_rate=0.01 if seed > 2 else 0.001) for seed in (1, 2, 3)]
    assert names(*runs) == {
        "textcnn-jax (learning_rate=0.001)": ["textcnn-jax-seed-1", "textcnn-jax-seed-2"],
        "textcnn-jax (learning_rate=0.01)": ["textcnn-jax-seed-3"],
    }


@pytest.mark.parametrize(
    "place",
    [
        {"data_dir": "elsewhere"},
        {"output_dir": "elsewhere", "overwrite": True, "cluster": "auto"},
        {"checkpoint_seconds": 9.0, "save_predictions": True, "measure_peak": True, "tensorboard": True},
    ],
)
def test_where_a_run_is_made_and_written_makes_no_other_group(place):
    assert list(names(run("a-seed-1"), run("a-seed-2", **place))) == ["a"]


def test_what_an_older_version_did_not_write_has_its_default():
    assert list(names(run("a-seed-1"), run("a-seed-2", clip_norm=1.0, word_dropout=0.0))) == ["a"]
    assert list(names(run("a-seed-1"), run("a-seed-2", clip_norm=2.0))) == ["a (clip_norm=1.0)", "a (clip_norm=2.0)"]


def test_a_path_is_named_by_its_last_part_where_that_tells_it_apart():
    def files(first, second):
        pairs = [{"train_file": f"{place}/train.tsv", "validation_file": "dev.tsv"} for place in (first, second)]
        return list(names(*(run(f"a-seed-{seed}", **pair) for seed, pair in enumerate(pairs))))

    assert files("one", "two") == ["a (train_file=one/train.tsv)", "a (train_file=two/train.tsv)"]
    runs = [run("b-seed-1", model="bilstm"), run("b-seed-2", model="bilstm", embeddings="some/where/vectors.txt")]
    assert list(names(*runs)) == ["b (embeddings=none)", "b (embeddings=vectors.txt)"]


def test_what_follows_from_another_setting_is_not_named():
    """With --embeddings a run has another recipe by itself."""
    plain, given = (RunConfig("textcnn", "jax", embeddings=path).resolved("jax") for path in (None, "vectors.txt"))
    assert (given.num_filters, given.kernel_sizes) != (plain.num_filters, plain.kernel_sizes)
    runs = [run(f"a-seed-{seed}", **config.to_json() | {"seed": seed}) for seed, config in enumerate((plain, given))]
    assert list(names(*runs)) == ["a (embeddings=none)", "a (embeddings=vectors.txt)"]


def test_runs_of_different_models_in_folders_of_one_name_are_not_averaged():
    runs = [run("mine-seed-1"), run("mine-seed-2", model="bilstm")]
    assert list(names(*runs)) == ["mine (model=textcnn)", "mine (model=bilstm)"]


def test_a_long_list_of_differences_is_cut_and_names_stay_distinct():
    changed = {"dropout": 0.1, "batch_size": 32, "epochs": 9, "label_smoothing": 0.3}
    found = list(names(run("a-seed-1"), run("a-seed-2", **changed)))
    assert found[1] == "a (dropout=0.1, epochs=9, batch_size=32 and 1 more)"
    runs = [run("a-seed-1"), run("a-seed-2", **changed), run("a-seed-3", **changed | {"label_smoothing": 0.4})]
    found = list(names(*runs))
    assert len(found) == 3
    assert found[2] == "a (dropout=0.1, epochs=9, batch_size=32, label_smoothing=0.4)"
    taken = [run("a (clip_norm=2.0)-seed-1"), run("a-seed-1"), run("a-seed-2", clip_norm=2.0)]
    assert list(names(*taken)) == ["a (clip_norm=2.0)", "a (clip_norm=1.0)", "a (clip_norm=2.0) #2"]


def test_settings_that_this_version_does_not_know_count_as_well():
    runs = [run("mine-jax-seed-1", model="mine", depth=[1, 2]), run("mine-jax-seed-2", model="mine", depth=[1, 3])]
    assert list(names(*runs)) == ["mine-jax (depth=1,2)", "mine-jax (depth=1,3)"]
    assert list(names(runs[0], run("mine-jax-seed-3", model="mine", depth=[1, 2], new=None))) == ["mine-jax"]


def test_a_run_that_left_no_config_is_counted_to_its_name():
    failed = run("textcnn-jax-seed-3") | {"config": {}}
    assert names(run("textcnn-jax-seed-1"), failed) == {"textcnn-jax": ["textcnn-jax-seed-1", "textcnn-jax-seed-3"]}
    two = names(failed, run("textcnn-jax-seed-1"), run("textcnn-jax-seed-2", epochs=9))
    assert two["textcnn-jax (epochs=3)"] == ["textcnn-jax-seed-1", "textcnn-jax-seed-3"]
    assert names(failed) == {"textcnn-jax": ["textcnn-jax-seed-3"]}
