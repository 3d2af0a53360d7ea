"""metrics.json: the seed's keys and meaning; whole files."""

import json
import os
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmodels import records
from kmodels.errors import InputError, RunError

# The keys of the six runs that kmodels set out from, in their order; a GPU's only where one was measured.
SEED_KEYS = [
    "best_epoch",
    "peak_worker_0_memory_MB",
    "peak_gpu_0_memory_MB",
    "training_duration",
    "training_start_epoch",
    "training_epochs",
    "epoch",
    "training_accuracy",
    "training_loss",
    "training_worker_0_memory_MB",
    "training_gpu_0_memory_MB",
    "validation_accuracy",
    "validation_loss",
    "best_validation_accuracy",
    "best_validation_loss",
]


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
    devices = [SimpleNamespace(current=current * 2**20, peak=peak * 2**20) for current, peak in devices]
    return SimpleNamespace(host_bytes=3 * 2**20, peak_host_bytes=5 * 2**20, device_memory=devices, nvml_bytes=nvml)


def test_metrics_have_exactly_the_seeds_keys_in_its_order_then_ours():
    metrics = records.build_metrics(history([0.4]), 0, 1.0, memory([(1, 2)]), {"num_parameters": 7, "unmeasured": None})
    assert list(metrics) == [*SEED_KEYS, "num_parameters"]


def test_metrics_mean_what_the_seeds_mean():
    metrics = records.build_metrics(history([0.4] * 49 + [0.2]), 3, 704.806978, memory([(1, 2), (3, 4)]), {})
    assert metrics["training_epochs"] == 49  # 50 epochs
    assert metrics["epoch"] == 49
    assert metrics["training_duration"] == "0:11:44.806978"
    assert (metrics["validation_loss"], metrics["best_validation_loss"]) == (0.2, 0.4)
    assert (metrics["peak_worker_0_memory_MB"], metrics["training_worker_0_memory_MB"]) == (5.0, 3.0)
    assert (metrics["peak_gpu_1_memory_MB"], metrics["training_gpu_1_memory_MB"]) == (4.0, 3.0)


def test_a_figure_that_was_not_measured_is_absent():
    metrics = records.build_metrics(history([0.4]), 0, 1.0, memory(), {})
    assert not [name for name in metrics if "gpu" in name]
    metrics = records.build_metrics(history([0.4]), 0, 1.0, memory(nvml=[0, 2**20]), {})
    assert [name for name in metrics if "gpu" in name] == ["nvml_gpu_1_memory_MB"]


@given(st.integers(0, 10**6), st.integers(0, 999999))
def test_a_duration_reads_back(seconds, microseconds):
    duration = timedelta(seconds=seconds, microseconds=microseconds)
    metrics = records.build_metrics(history([0.4]), 0, duration.total_seconds(), memory(), {})
    assert metrics["training_duration"] == str(duration)


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


def test_history_is_json_even_where_a_figure_is_not_finite(tmp_path):
    records.write_history(tmp_path / "history.jsonl", [{"epoch": 0, "training_loss": float("nan")}])
    assert json.loads((tmp_path / "history.jsonl").read_text()) == {"epoch": 0, "training_loss": None}


def test_reading_what_is_no_finished_run_says_so(tmp_path):
    with pytest.raises(InputError, match=r"holds no finished run: it has no metrics\.json"):
        records.read(tmp_path)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match=r"x\.json is not whole JSON"):
        records.read_json(tmp_path / "x.json")
    with pytest.raises(InputError, match=r"none\.json can't be read: No such file"):
        records.read_json(tmp_path / "none.json")
