"""What a report says of how its runs were made: nothing that their records do not show."""

import pytest

from kmodels import records
from kmodels.comparison import protocol, reading, schema, summary, wording
from tests.comparison.made_up_runs import change, write_outcomes, write_run

KINDS = (("textcnn", "jax"), ("textcnn", "torch"))


def grid(folder, *order, **config):
    """Runs (model, backend, seed), made in this order, and runs.json; a third of False was not made by compare."""
    for model, backend, seed in order:
        write_run(folder, model, backend, seed, **{"num_buckets": 12} | config)
    write_outcomes(folder, **{f"{model}-{backend}-seed-{seed}": ("finished", None) for model, backend, seed in order})
    return reading.runs(folder)


def in_rounds(*seeds):
    return [(*kind, seed) for seed in seeds for kind in KINDS]


def said(runs):
    return protocol.same(runs, protocol.in_turns(runs))


def test_a_grid_as_compare_makes_it_is_described_whole(tmp_path):
    assert said(grid(tmp_path, *in_rounds(1, 2))) == [
        protocol.PROCESSES,
        protocol.BATCHES,
        "Numbers are float32 in every run, and float32 products are float32 (no TF32).",
        "Every run had 2 cores, and as many threads.",
        protocol.TIMED,
        protocol.TURNS,
        "Accuracy is of the epoch with the lowest validation loss.",
    ]


def test_runs_made_one_by_one_are_said_to_be_neither_processes_nor_in_turns_nor_of_equal_cores(tmp_path):
    runs = grid(tmp_path, *in_rounds(1, 2))
    write_run(tmp_path, "textcnn", "jax", 3, num_buckets=12)
    assert set(said(runs)) - set(said(reading.runs(tmp_path))) == {
        protocol.PROCESSES,
        protocol.TURNS,
        "Every run had 2 cores, and as many threads.",
    }
    assert protocol.in_turns(reading.runs(tmp_path)) is None


def test_cores_are_said_where_they_are_recorded_and_the_same(tmp_path):
    runs = grid(tmp_path, *in_rounds(1))
    for cores, words in (((1, 1), "Every run had 1 core, and as many threads."), ((1, 2), None), ((2, None), None)):
        found = said([run | {"cores": number} for run, number in zip(runs, cores)])
        assert [sentence for sentence in found if "threads" in sentence] == ([words] if words else [])


def test_the_epoch_is_the_one_by_the_runs_monitor(tmp_path):
    grid(tmp_path, *in_rounds(1), monitor="accuracy")
    assert said(reading.runs(tmp_path))[-1] == "Accuracy is of the epoch with the highest validation accuracy."
    change(tmp_path / "textcnn-jax-seed-1" / records.CONFIG, monitor="loss")
    assert said(reading.runs(tmp_path))[-1] == "Accuracy is of the best epoch by each run's own monitor."


@pytest.mark.parametrize("changed", [{"num_buckets": 8}, {"num_buckets": None}, {"batch_size": 8}, {"max_length": 9}])
def test_the_same_batches_are_said_only_of_the_same_settings(tmp_path, changed):
    grid(tmp_path, *in_rounds(1))
    assert protocol.BATCHES in said(reading.runs(tmp_path))
    change(tmp_path / "textcnn-jax-seed-1" / records.CONFIG, **changed)
    assert protocol.WEIGHTS in said(reading.runs(tmp_path))
    assert protocol.BATCHES not in said(reading.runs(tmp_path))


def test_models_may_have_batches_of_their_own(tmp_path):
    grid(tmp_path, ("textcnn", "jax", 1), ("bilstm", "jax", 1))
    change(tmp_path / "textcnn-jax-seed-1" / records.CONFIG, batch_size=8)
    assert protocol.BATCHES in said(reading.runs(tmp_path))


def test_number_formats_and_times_are_said_as_they_were(tmp_path):
    runs = grid(tmp_path, *in_rounds(1))
    formats = [
        sentence for sentence in said([runs[0] | {"precision": "mixed_bfloat16"}, runs[1]]) if "ormat" in sentence
    ]
    assert formats == ["Number formats are set, not left to a framework: float32, mixed_bfloat16."]
    assert not [sentence for sentence in said([runs[0] | {"precision": "auto"}, runs[1]]) if "float32" in sentence]
    untimed = runs[0] | {"metrics": runs[0]["metrics"] | {"compile_seconds": None}}
    assert protocol.TIMED not in said([untimed, runs[1]])


def test_backends_differ_only_where_there_are_several(tmp_path):
    runs = grid(tmp_path, *in_rounds(1))
    assert (
        protocol.differs(runs)[-1] == "JAX compiles each length once and keeps it on disk; PyTorch runs step by step."
    )
    assert protocol.differs(runs[:1]) == []


A, B = KINDS


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("A1 B1 A2 B2 A3 B3", True),
        ("A1 B1 B2 A2 A3 B3", True),
        ("A1 B1 A2 B2 A3", True),
        ("A1 B1 A2 A3", True),  # B has no more to come
        ("A1 A2 B1 B2", False),
        ("A1 B1 A2 A3 B2 B3", False),
        ("B1 B2 B3 A1", False),
        ("A1 A2 A3", None),
    ],
)
def test_runs_are_in_turns_if_no_group_is_more_than_one_run_ahead_of_one_with_runs_to_come(tmp_path, order, expected):
    kinds = {"A": A, "B": B}
    runs = grid(tmp_path, *((*kinds[name], int(seed)) for name, seed in order.split()))
    assert protocol.in_turns(runs) is expected
    assert (protocol.TURNS in said(runs)) is (expected is True)


def test_a_run_that_failed_had_its_turn(tmp_path):
    for kind in (*in_rounds(1), ("textcnn", "jax", 2), *in_rounds(3)):
        write_run(tmp_path, *kind)
    names = [f"{model}-{backend}-seed-{seed}" for model, backend, seed in in_rounds(1, 2, 3)]
    write_outcomes(tmp_path, **dict.fromkeys(names, ("finished", None)) | {"textcnn-torch-seed-2": ("failed", "x")})
    assert protocol.in_turns(reading.runs(tmp_path)) is True


def test_runs_of_a_second_call_of_compare_are_placed_after_those_of_the_first(tmp_path):
    """runs.json counts from 0 in each call."""
    runs = grid(
        tmp_path, ("textcnn", "jax", 1), ("textcnn", "jax", 2), ("textcnn", "torch", 1), ("textcnn", "torch", 2)
    )
    path = tmp_path / "runs.json"
    records.write_json(path, [each | {"order": each["order"] % 2} for each in records.read_json(path)])
    assert [run["order"] for run in reading.runs(tmp_path)] == [run["order"] for run in runs] == [0, 1, 2, 3]


def test_times_of_groups_that_were_not_in_turns_are_not_compared(tmp_path):
    grid(tmp_path, *((*kind, seed) for kind in KINDS for seed in (1, 2)))
    found = summary.summarize(tmp_path)
    assert found["in_turns"] is False
    warning = "The groups' runs were not made in turns, so their times are of different hours of the machine."
    assert warning in found["warnings"]
    assert not any("trained" in sentence for sentence in wording.answer(schema.checked(found)))
    write_outcomes(
        tmp_path, **{f"{model}-{name}-seed-{seed}": ("finished", None) for model, name, seed in in_rounds(1, 2)}
    )
    found = summary.summarize(tmp_path)
    assert found["in_turns"] is True
    assert warning not in found["warnings"]
    assert any("trained" in sentence for sentence in wording.answer(schema.checked(found)))
