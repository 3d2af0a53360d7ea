"""From run folders to what can be said about them, and to a table."""

import itertools
import json
import os

import numpy as np
import pytest

from kmodels import records
from kmodels.architectures import ARCHITECTURES
from kmodels.comparison import groups, pairing, reading, schema, summary, table
from kmodels.errors import InputError
from kmodels.statistics.intervals import binomial_interval
from kmodels.statistics.pairs import holm, paired_difference
from tests.comparison.made_up_runs import LABELS, change, write_outcomes, write_run


@pytest.fixture
def grid_folder(tmp_path):
    """Two models on two backends with three seeds; bilstm is far better, the backends are alike."""
    for seed in (1, 2, 3):
        for backend in ("jax", "torch"):
            write_run(tmp_path, "textcnn", backend, seed, 0.6 + 0.005 * seed)
            write_run(tmp_path, "bilstm", backend, seed, 0.95)
    return tmp_path


def test_a_summary_fits_its_schema_and_groups_runs_by_all_but_the_seed(grid_folder):
    found = summary.summarize(grid_folder)
    schema.checked(json.loads(json.dumps(found)))
    groups = {group["name"]: group for group in found["groups"]}
    assert set(groups) == {"bilstm-jax", "bilstm-torch", "textcnn-jax", "textcnn-torch"}
    accuracy = groups["textcnn-jax"]["accuracy"]
    assert accuracy["count"] == 3
    assert accuracy["mean"] == pytest.approx(0.61)
    assert accuracy["low"] < 0.61 < accuracy["high"]
    assert groups["textcnn-jax"]["training_seconds"]["mean"] == pytest.approx(86461.5)
    assert groups["textcnn-jax"]["peak_host_MiB"]["mean"] == pytest.approx(502)
    assert groups["textcnn-jax"]["peak_device_MiB"] is None
    assert found["dataset"]["majority_fraction"] == 0.5


def test_pairs_are_of_one_model_one_backend_or_with_the_best_and_a_difference_is_said_only_where_shown(grid_folder):
    pairs = {(pair["a"], pair["b"]): pair for pair in summary.summarize(grid_folder)["pairs"]}
    assert set(pairs) == {
        ("bilstm-jax", "bilstm-torch"),
        ("bilstm-jax", "textcnn-jax"),
        ("bilstm-jax", "textcnn-torch"),  # bilstm-jax is the best one by its name
        ("bilstm-torch", "textcnn-torch"),
        ("textcnn-jax", "textcnn-torch"),
    }
    assert pairs["bilstm-jax", "textcnn-jax"]["verdict"] == "better"
    assert pairs["bilstm-jax", "textcnn-jax"]["difference"] == pytest.approx(0.34, abs=1e-6)
    assert pairs["bilstm-jax", "bilstm-torch"]["verdict"] == "no difference shown"


def test_every_pair_that_could_be_tested_is_corrected_for_also_those_not_shown(grid_folder):
    write_run(grid_folder, "textcnn", "tensorflow", 1)  # shares one seed with the others
    found = summary.summarize(grid_folder)
    assert found["num_tested_pairs"] == 6
    runs, tested = reading.runs(grid_folder), []
    by_group = {name: [run["name"] for run in several] for name, several in groups.grouped(runs).items()}
    for a, b in itertools.combinations((several for several in by_group.values() if len(several) > 1), 2):
        right = [np.array([reading.predictions(grid_folder / name).is_right for name in side]) for side in (a, b)]
        tested.append(paired_difference(*right).p_value)
    shown = [pair["p_value"] for pair in found["pairs"] if pair["p_value"] is not None]
    assert len(tested) == 6 and len(shown) == 5
    assert sorted(shown) == pytest.approx(sorted(np.delete(holm(tested), unshown(by_group))), rel=1e-9)


def unshown(by_group):
    """The number of the pair that is of two models on two backends, and without the best group."""
    names = [name for name, several in by_group.items() if len(several) > 1]
    return list(itertools.combinations(names, 2)).index(("bilstm-torch", "textcnn-jax"))


def test_runs_in_folders_that_train_names_are_paired_by_their_seeds(tmp_path):
    for backend, accuracy in (("jax", 0.6), ("torch", 0.9)):
        for seed in (1, 2, 3):
            write_run(tmp_path, "textcnn", backend, seed, accuracy, name=f"textcnn-{backend}-{seed * len(backend):08x}")
    found = summary.summarize(tmp_path)
    assert [(group["name"], group["accuracy"]["count"]) for group in found["groups"]] == [
        ("textcnn-jax", 3),
        ("textcnn-torch", 3),
    ]
    (pair,) = found["pairs"]
    assert (pair["verdict"], pair["mcnemar"]) == ("worse", None)


def test_runs_of_other_settings_are_not_averaged(tmp_path):
    for seed, rate in ((1, 0.001), (2, 0.001), (3, 0.01)):
        write_run(tmp_path, "textcnn", "jax", seed, learning_rate=rate)
    found = schema.checked(json.loads(json.dumps(summary.summarize(tmp_path))))
    assert {group["name"]: group["runs"] for group in found["groups"]} == {
        "textcnn-jax (learning_rate=0.001)": ["textcnn-jax-seed-1", "textcnn-jax-seed-2"],
        "textcnn-jax (learning_rate=0.01)": ["textcnn-jax-seed-3"],
    }


@pytest.mark.parametrize(("parts", "expected"), [((0.5, 0.96, 0.6), 0.6), ((0.5, 0.6), 0.55), ((0.5, None), None)])
def test_one_run_whose_matrix_product_was_disturbed_does_not_move_a_groups_part_of_it(tmp_path, parts, expected):
    for seed, part in enumerate(parts):
        change(write_run(tmp_path, seed=seed) / records.METRICS, fraction_of_peak=part)
    (group,) = summary.summarize(tmp_path)["groups"]
    assert group["fraction_of_peak"] == pytest.approx(expected)


def test_runs_of_one_group_and_one_seed_are_told(tmp_path):
    write_run(tmp_path, seed=1)
    write_run(tmp_path, seed=1, name="textcnn-jax-0a1b2c3d", data_dir="elsewhere")
    write_run(tmp_path, seed=2)
    (told,) = [warning for warning in summary.summarize(tmp_path)["warnings"] if "counts twice" in warning]
    assert told.endswith(": textcnn-jax-0a1b2c3d, textcnn-jax-seed-1.")


def test_an_interval_over_sentences_is_of_a_groups_own_sentences(tmp_path):
    write_run(tmp_path, "textcnn", "jax", 1)
    write_run(tmp_path, "textcnn", "torch", 1, labels=LABELS[:50])
    write_run(tmp_path, "bilstm", "jax", 1, predictions=False)
    intervals = {group["name"]: group["dev_interval"] for group in summary.summarize(tmp_path)["groups"]}
    assert intervals["textcnn-jax"] == list(binomial_interval(160, 200))
    assert intervals["textcnn-torch"] == list(binomial_interval(40, 50))
    assert intervals["bilstm-jax"] is None


def test_runs_on_other_sentences_are_told_and_neither_paired_nor_described(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path, "textcnn", "jax", seed)
        write_run(tmp_path, "textcnn", "torch", seed, labels=np.roll(LABELS, seed - 1))
    found = summary.summarize(tmp_path)
    (told,) = [warning for warning in found["warnings"] if "validated" in warning]
    assert told.startswith("Not validated on the same sentences as the others")
    assert told.endswith(": textcnn-torch-seed-2.")
    assert [pair["verdict"] for pair in found["pairs"]] == ["not tested"]  # one seed is left
    assert found["disagreements"] == []
    assert found["dataset"] == {"name": "sst2"}


@pytest.mark.parametrize(
    ("configs", "name"),
    [
        ([{"dataset": "sample"}] * 2, "sample"),
        ([{"train_file": "a/train.tsv", "validation_file": "a/dev.tsv"}] * 2, "dev.tsv"),
        ([{"dataset": "sample"}, {"dataset": "sst2"}], "sample, sst2"),
    ],
)
def test_the_data_has_the_name_that_the_configs_give_it(tmp_path, configs, name):
    for seed, config in enumerate(configs):
        write_run(tmp_path, seed=seed, **config)
    assert summary.summarize(tmp_path)["dataset"]["name"] == name


def test_a_run_is_held_against_the_most_frequent_of_its_own_labels(tmp_path):
    write_run(tmp_path, seed=1, accuracy=0.75)
    write_run(tmp_path, seed=2, accuracy=0.75, labels=(np.arange(200) < 150).astype(int))
    told = [warning for warning in summary.summarize(tmp_path)["warnings"] if "learned" in warning]
    assert told == [
        "textcnn-jax-seed-2 may have learned nothing: it is not shown to be better than always answering with the most "
        "frequent label."
    ]


def test_only_runs_with_the_same_seed_are_paired(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path, "textcnn", "jax", seed, 0.6)
    for seed in (2, 3):
        write_run(tmp_path, "textcnn", "torch", seed, 0.9)
    (pair,) = summary.summarize(tmp_path)["pairs"]
    assert (pair["verdict"], pair["p_value"]) == ("not tested", None)  # one seed tells nothing
    assert pair["difference"] == pytest.approx(-0.3)
    assert pair["mcnemar"]["only_b"] - pair["mcnemar"]["only_a"] == 60  # of 200
    assert pair["mcnemar"]["p_value"] < 1e-6


def test_pairs_of_several_seeds_have_no_test_of_two_runs(grid_folder):
    assert {pair["mcnemar"] for pair in summary.summarize(grid_folder)["pairs"]} == {None}


def test_disagreements_are_the_sentences_furthest_apart_and_show_text_only_if_it_is_given(grid_folder):
    texts = [(f"sentence {row}", ("bad", "good")[row % 2]) for row in range(200)]
    found = summary.summarize(grid_folder, texts=texts)["disagreements"]
    assert len(found) == pairing.MOST_DISAGREEMENTS
    assert all(each["text"] == f"sentence {each['row']}" for each in found)
    assert all(each["label"] == ["bad", "good"][each["row"] % 2] for each in found)
    spreads = [max(each["probabilities"].values()) - min(each["probabilities"].values()) for each in found]
    assert spreads == sorted(spreads, reverse=True)
    assert {each["text"] for each in summary.summarize(grid_folder)["disagreements"]} == {None}


@pytest.mark.parametrize("change", ["shorter", "longer", "reordered"])
def test_sentences_of_other_data_are_refused_and_not_shown_beside_wrong_rows(grid_folder, change):
    texts = [(f"sentence {row}", ("bad", "good")[row % 2]) for row in range(200)]
    texts = {"shorter": texts[:-1], "longer": [*texts, texts[0]], "reordered": [*texts[1:], texts[0]]}[change]
    with pytest.raises(InputError, match="--texts needs the sentences that the runs were validated on; bilstm-jax-s"):
        summary.summarize(grid_folder, texts=texts)


def test_a_grid_with_a_failed_an_unfinished_and_a_finished_run_is_summed_up(tmp_path):
    write_run(tmp_path, "textcnn", "jax", 1)
    write_run(tmp_path, "textcnn", "torch", 1, finished=False)
    write_outcomes(
        tmp_path,
        **{
            "textcnn-jax-seed-1": ("finished", None),
            "textcnn-torch-seed-1": ("unfinished", None),
            "bilstm-jax-seed-1": ("failed", "out of memory"),
        },
    )
    found = schema.checked(summary.summarize(tmp_path))
    runs = {run["name"]: run for run in found["runs"]}
    assert {name: run["status"] for name, run in runs.items()} == {
        "textcnn-jax-seed-1": "finished",
        "textcnn-torch-seed-1": "unfinished",
        "bilstm-jax-seed-1": "failed",
    }
    assert runs["bilstm-jax-seed-1"]["error"] == "out of memory"
    assert len(runs["textcnn-torch-seed-1"]["history"]) == 1
    assert [group["name"] for group in found["groups"]] == ["textcnn-jax"]
    assert any("did not finish: bilstm-jax-seed-1, textcnn-torch-seed-1" in warning for warning in found["warnings"])


def test_a_reader_is_warned_of_few_seeds_and_of_runs_that_learned_nothing(tmp_path):
    write_run(tmp_path, accuracy=0.52)
    warnings = " ".join(summary.summarize(tmp_path)["warnings"])
    assert "Fewer than three seeds" in warnings
    assert "textcnn-jax-seed-1 may have learned nothing" in warnings


def test_a_machine_that_drifts_is_told(tmp_path):
    names = [f"textcnn-jax-seed-{seed}" for seed in range(1, 9)]
    for order, name in enumerate(names):
        write_run(tmp_path, seed=order + 1)
        metrics = records.read_json(tmp_path / name / records.METRICS) | {"samples_per_second": 1000 * 0.9**order}
        records.write_json(tmp_path / name / records.METRICS, metrics)
    assert not any("drifted" in warning for warning in summary.summarize(tmp_path)["warnings"])
    write_outcomes(tmp_path, **dict.fromkeys(names, ("finished", None)))
    assert any("changed by -10.0 %" in warning for warning in summary.summarize(tmp_path)["warnings"])


def test_the_accuracies_kmodels_set_out_from_are_those_of_the_seed_and_only_for_its_data(tmp_path):
    from tests.test_documents import ROOT

    seed = records.read_json(ROOT / "results" / "seed.json")
    for name, architecture in ARCHITECTURES.items():
        assert architecture.seed_accuracy == pytest.approx(seed[name]["best_validation_accuracy"], abs=5e-5)
    write_run(tmp_path / "sst2")
    write_run(tmp_path / "own", train_file="mine.tsv")
    assert summary.summarize(tmp_path / "sst2")["seed_results"]["textcnn"] == 0.8073
    assert summary.summarize(tmp_path / "own")["seed_results"] == {}


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no runs"):
        summary.summarize(tmp_path)


@pytest.mark.parametrize("monitor, accuracy", [("loss", 0.7), ("accuracy", 0.8)])
def test_the_table_shows_an_unfinished_run_by_its_own_monitor(tmp_path, monitor, accuracy):
    write_run(tmp_path, finished=False, monitor=monitor)
    figures = [(None, None), (0.4, 0.7), (0.5, 0.8), (0.6, 0.6)]
    lines = [
        {"epoch": epoch, "epoch_seconds": 2.0, "validation_loss": loss, "validation_accuracy": right}
        for epoch, (loss, right) in enumerate(figures)
    ]
    (path,) = tmp_path.rglob(records.HISTORY)
    records.write_history(path, lines)
    (row,) = table.rows(tmp_path)
    assert row["accuracy"] == accuracy


def test_the_table_sorts_by_any_column_and_shows_unfinished_runs(tmp_path):
    write_run(tmp_path / "a", seed=1, accuracy=0.7)
    write_run(tmp_path / "b", seed=2, accuracy=0.9)
    write_run(tmp_path / "b", seed=3, finished=False, accuracy=0.8)
    rows = table.rows(tmp_path, sort="accuracy")
    assert [row["accuracy"] for row in rows] == [0.9, 0.8, 0.7]
    assert [row["status"] for row in rows] == ["finished", "unfinished", "finished"]
    assert [row["seed"] for row in table.rows(tmp_path, sort="seed")] == [1, 2, 3]
    for epochs, row in zip((9, 10, 11), rows):
        path = tmp_path / row["name"] / records.HISTORY
        records.write_history(path, [line | {"epoch": epochs} for line in records.read_history(path)])
    assert [row["epoch"] for row in table.rows(tmp_path, sort="epoch")] == [11, 10, 9]
    text = table.text(rows)
    assert text.splitlines()[0].split() == list(table.COLUMNS)
    assert len({len(line.rstrip()) for line in text.splitlines()}) <= 4
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        table.rows(tmp_path, sort="acuracy")


def test_the_table_is_there_while_runs_remove_checkpoints(tmp_path, monkeypatch):
    write_run(tmp_path / "grid", finished=False)
    (run,) = (tmp_path / "grid").iterdir()
    checkpoint, gone = run / records.CHECKPOINTS / "epoch-0000-step-000004", tmp_path / "gone"
    for folder in (checkpoint, gone):
        folder.mkdir(parents=True)
    scandir = os.scandir

    def removed_when_looked_into(path):
        for folder in (checkpoint, gone):
            if os.fspath(path) == str(folder):
                folder.rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", removed_when_looked_into)
    (row,) = table.rows(tmp_path)
    assert row["name"] == f"grid/{run.name}"
    assert checkpoint.is_dir() and not gone.exists()
