"""metrics.json: the seed's keys and meaning; whole files; what is written is read back, what is damaged refused."""

import json
import math
import os
import shutil
from collections.abc import Hashable, Mapping
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kmodels import records
from kmodels.config import RunConfig
from kmodels.errors import InputError, RunError
from tests.damage import damaged
from tests.seed_keys import SEED_KEYS

FIGURES = ("training_accuracy", "training_loss", "validation_accuracy", "validation_loss")
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for a module: hypothesis runs many examples within one test."""
    return tmp_path_factory.mktemp("records")


def histories(figures):
    """Strategy of [{…}, …], a dict an epoch."""
    line = st.fixed_dictionaries(dict.fromkeys(FIGURES, figures))
    lines = st.lists(line, min_size=1, max_size=6)
    return lines.map(lambda lines: [{"epoch": epoch} | line for epoch, line in enumerate(lines)])


def history(losses):
    return [
        {
            "epoch": epoch,
            "training_accuracy": 0.9,
            "training_loss": 0.1,
            "validation_accuracy": 1 - loss,
            "validation_loss": loss,
        }
        for epoch, loss in enumerate(losses)
    ]


def memory(devices=(), nvml=()):
    devices = [{"current": current * 2**20, "peak": peak * 2**20} for current, peak in devices]
    return {"host_bytes": 3 * 2**20, "peak_host_bytes": 5 * 2**20, "device_memory": devices, "nvml_bytes": nvml}


def test_metrics_have_exactly_the_seeds_keys_in_its_order_then_ours():
    metrics = records.build_metrics(
        history([0.4]), 0, 1.0, [memory([(1, 2)])], {"num_parameters": 7, "unmeasured": None}
    )
    assert list(metrics) == [*SEED_KEYS, "num_parameters"]


def test_metrics_mean_what_the_seeds_mean():
    metrics = records.build_metrics(history([0.4] * 49 + [0.2]), 3, 704.806978, [memory([(1, 2), (3, 4)])], {})
    assert metrics["training_epochs"] == 49  # 50 epochs
    assert metrics["epoch"] == 49
    assert metrics["training_duration"] == "0:11:44.806978"
    assert (metrics["validation_loss"], metrics["best_validation_loss"]) == (0.2, 0.4)
    assert (metrics["peak_worker_0_memory_MB"], metrics["training_worker_0_memory_MB"]) == (5.0, 3.0)
    assert (metrics["peak_gpu_1_memory_MB"], metrics["training_gpu_1_memory_MB"]) == (4.0, 3.0)


def test_a_figure_that_was_not_measured_is_absent():
    metrics = records.build_metrics(history([0.4]), 0, 1.0, [memory()], {})
    assert not [name for name in metrics if "gpu" in name]
    metrics = records.build_metrics(history([0.4]), 0, 1.0, [memory(nvml=[0, 2**20])], {})
    assert [name for name in metrics if "gpu" in name] == ["nvml_gpu_1_memory_MB"]


def test_each_workers_memory_is_there_numbered_by_rank():
    workers = [memory([(1, 2)], [7 * 2**20, 0]), memory([(3, 4)], [0, 8 * 2**20])]
    workers[1]["peak_host_bytes"] = 6 * 2**20
    metrics = records.build_metrics(history([0.4]), 0, 1.0, workers, {})
    expected = {
        "peak_worker_0_memory_MB": 5,
        "peak_worker_1_memory_MB": 6,
        "peak_gpu_0_memory_MB": 2,
        "peak_gpu_1_memory_MB": 4,
        "training_worker_0_memory_MB": 3,
        "training_worker_1_memory_MB": 3,
        "training_gpu_0_memory_MB": 1,
        "training_gpu_1_memory_MB": 3,
        "nvml_gpu_0_memory_MB": 7,
        "nvml_gpu_1_memory_MB": 8,
    }
    assert {name: metrics[name] for name in metrics if "memory" in name} == expected


@given(st.integers(0, 10**6), st.integers(0, 999999))
def test_a_duration_reads_back(seconds, microseconds):
    duration = timedelta(seconds=seconds, microseconds=microseconds)
    metrics = records.build_metrics(history([0.4]), 0, duration.total_seconds(), [memory()], {})
    assert metrics["training_duration"] == str(duration)


@settings(max_examples=150)
@given(
    histories(FINITE).flatmap(lambda lines: st.tuples(st.just(lines), st.integers(0, len(lines) - 1))),
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 2**20)), max_size=4),
    st.lists(st.integers(0, 2**40), max_size=4),
    st.floats(0, 10**8),
    st.dictionaries(
        st.sampled_from(["num_parameters", "compile_seconds"]), st.one_of(st.none(), st.integers(), FINITE)
    ),
)
def test_metrics_read_back_equal_and_in_their_order(folder, run, devices, nvml, seconds, extra):
    lines, best_epoch = run
    metrics = records.build_metrics(lines, best_epoch, seconds, [memory(devices, nvml)], extra)
    records.write_json(folder / "metrics.json", metrics)
    read = records.read_json(folder / "metrics.json")
    assert list(read.items()) == list(metrics.items())
    assert {name: read[name] for name in FIGURES} == {name: lines[-1][name] for name in FIGURES}
    assert read["best_validation_loss"] == lines[best_epoch]["validation_loss"]
    assert read["best_validation_accuracy"] == lines[best_epoch]["validation_accuracy"]
    peaks = [read[f"peak_gpu_{number}_memory_MB"] for number in range(len(devices))]
    assert peaks == [peak for _, peak in devices]
    assert extra.items() >= {name: read[name] for name in extra if name in read}.items()
    assert [name for name, value in extra.items() if value is None] == [name for name in extra if name not in read]


def test_a_reader_never_sees_half_a_file(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    records.write_json(path, {"old": 1})

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunError, match=r"metrics\.json can't be written: No space left on device"):
        records.write_json(path, {"new": 2})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["metrics.json"]


@settings(max_examples=150)
@given(histories(st.floats()))
@example([{"epoch": 0, "training_loss": math.nan}, {"epoch": 1, "training_loss": -math.inf}])
def test_history_is_json_even_where_a_figure_is_not_finite(folder, lines):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    path = folder / "history.jsonl"
    records.write_history(path, lines)
    expected = [{name: value if math.isfinite(value) else None for name, value in line.items()} for line in lines]
    assert [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()] == expected
    assert records.read_history(path) == expected


def test_reading_what_is_no_finished_run_says_so(tmp_path):
    with pytest.raises(InputError, match=r"holds no finished run: it has no metrics\.json"):
        records.read(tmp_path)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match=r"x\.json is not whole JSON"):
        records.read_json(tmp_path / "x.json")
    with pytest.raises(InputError, match=r"none\.json can't be read: No such file"):
        records.read_json(tmp_path / "none.json")


WHOLE = {
    records.CONFIG: json.dumps(RunConfig().resolved("jax").to_json(), indent=2).encode(),
    records.ENVIRONMENT: b'{"device": "cpu", "versions": {"keras": "3.15"}}',
    records.HISTORY: b'{"epoch": 0, "training_loss": 0.5}\n{"epoch": 1, "training_loss": null}\n',
    records.METRICS: b'{"best_epoch": 0, "training_duration": "0:00:01.500000"}\n',
}


def write_run(folder, **changed):
    """Writes a finished run's small files anew; None: without this one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in (WHOLE | changed).items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def test_a_whole_run_is_read_as_it_was_written(folder):
    record = records.read(write_run(folder / "run"))
    for name, values in (("config", record.config), ("environment", record.environment), ("metrics", record.metrics)):
        assert values == json.loads(WHOLE[f"{name}.json"])
    assert record.history == [{"epoch": 0, "training_loss": 0.5}, {"epoch": 1, "training_loss": None}]


def test_a_record_is_a_mapping_of_its_metrics(folder):
    record = records.read(write_run(folder / "run"))
    metrics = {"best_epoch": 0, "training_duration": "0:00:01.500000"}
    assert isinstance(record, Mapping)
    assert dict(record) == {**record} == dict(record.items()) == metrics
    assert (list(record), len(record)) == (list(metrics), 2)
    assert "best_epoch" in record and "loss" not in record
    assert (record["best_epoch"], record.get("best_epoch"), record.get("loss")) == (0, 0, None)
    with pytest.raises(KeyError):
        record["loss"]


def test_a_record_is_equal_to_the_same_run_only_and_is_one_whatever_was_measured(folder):
    record = records.read(write_run(folder / "run"))
    assert record == records.read(folder / "run") != records.read(write_run(folder / "other"))
    assert record != record.metrics
    assert not isinstance(record, Hashable)
    assert records.read(write_run(folder / "run", **{records.METRICS: b"{}"}))


def test_a_record_goes_into_json_as_a_whole(folder):
    record = records.read(write_run(folder / "run"))
    read = json.loads(json.dumps(record.to_json(), allow_nan=False))
    assert read == {name: getattr(record, name) for name in read} | {"output_dir": str(folder / "run")}
    assert list(read) == ["output_dir", "config", "environment", "history", "metrics"]


@settings(max_examples=500)
@given(
    st.sampled_from(sorted(WHOLE)).flatmap(
        lambda name: st.tuples(st.just(name), st.one_of(st.none(), st.binary(max_size=20), damaged(WHOLE[name])))
    )
)
@example((records.HISTORY, b"{"))
@example((records.HISTORY, b"3\n"))
@example((records.HISTORY, None))
@example((records.CONFIG, b"[" * 100_000))
@example((records.METRICS, b"9" * 5000))
@example((records.ENVIRONMENT, b"null"))
def test_a_damaged_run_is_read_or_refused_in_one_line_that_names_the_file(folder, damage):
    name, content = damage
    try:
        record = records.read(write_run(folder / "run", **{name: content}))
    except InputError as error:
        assert len(str(error).splitlines()) == 1
        assert str(error).startswith(str(folder / "run"))
        assert name in str(error)
    else:
        assert all(type(each) is dict for each in (record.config, record.environment, record.metrics, *record.history))
