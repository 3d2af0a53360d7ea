"""Two workers do what one does, on every backend, and end together."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import kmodels
from kmodels import records
from kmodels.errors import InputError
from tests.reviews import tiny_settings

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.backend


def settings_of(files, folder, model="bilstm", **more):
    """Without dropout, and with a last batch that the sentences don't fill: 96 and 32 sentences in batches of 20."""
    chosen = {"dropout": 0.0, "batch_size": 20, "save_predictions": True, "num_buckets": 2, "ema_momentum": 0.5}
    if model in ("textcnn", "bilstm"):
        chosen["word_dropout"] = 0.0
    return tiny_settings(model, files, folder, **(chosen | more))


def command_of(settings):
    flags = [f"--{name}={value}" for name, value in settings.items()]
    return [sys.executable, "-m", "kmodels", "train", *flags]


def curve(record):
    names = ("training_loss", "training_accuracy", "validation_loss", "validation_accuracy")
    return np.array([[line[name] for name in names] for line in record.history])


def predictions(record):
    return np.array(json.loads((record.output_dir / records.PREDICTIONS).read_text())["probabilities"])


@pytest.mark.parametrize("model", ["bilstm", pytest.param("bert_base_pool", marks=pytest.mark.one_backend)])
def test_two_workers_equal_one(model, shared_files, tmp_path, chosen_backend):
    short = {"epochs": 1, "max_train_examples": 50} if model == "bert_base_pool" else {}
    one, two = (
        kmodels.train(**settings_of(shared_files, tmp_path / str(workers), model, workers=workers, **short))
        for workers in (1, 2)
    )
    np.testing.assert_allclose(curve(two), curve(one), rtol=1e-5)
    np.testing.assert_allclose(predictions(two), predictions(one), atol=1e-5)
    for figure in ("peak_worker_{}_memory_MB", "training_worker_{}_memory_MB"):
        assert all(two[figure.format(rank)] > 50 for rank in (0, 1))
        assert figure.format(1) not in one.metrics
    assert two.config["workers"] == 2
    assert (two.output_dir / "worker_1.log").is_file()
    assert not (two.output_dir / "worker_0.log").exists()


@pytest.mark.one_backend
def test_four_workers_equal_one(shared_files, tmp_path):
    one, four = (
        kmodels.train(
            **settings_of(
                shared_files, tmp_path / str(workers), workers=workers, gradient_accumulation_steps=2, epochs=1
            )
        )
        for workers in (1, 4)
    )
    np.testing.assert_allclose(curve(four), curve(one), rtol=1e-5)


def started(settings):
    """A run's process, and the folder; as soon as it has a checkpoint."""
    process = subprocess.Popen(command_of(settings), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    folder = Path(settings["output_dir"])
    end = time.monotonic() + 120
    while not list((folder / records.CHECKPOINTS).glob("epoch*")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    return process, folder


def workers_of(process):
    return sorted(psutil.Process(process.pid).children(), key=lambda child: child.environ()["RANK"])


@pytest.mark.one_backend
def test_a_stopped_run_goes_on_with_another_number_of_workers(shared_files, tmp_path, chosen_backend):
    long = settings_of(shared_files, tmp_path / "stopped", epochs=10, workers=2)
    whole = kmodels.train(**settings_of(shared_files, tmp_path / "whole", epochs=10))
    process, folder = started(long)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert re.search(r"goes on from epoch \d+, step \d+", said)
    assert not (folder / records.METRICS).exists()
    record = kmodels.train(**long | {"workers": 1})
    np.testing.assert_allclose(curve(record), curve(whole), rtol=2e-4)  # ten epochs add up what rounding differs


def test_as_many_workers_go_on_to_the_same_figures(shared_files, tmp_path, chosen_backend):
    """From the middle of an epoch, with dropout that each worker draws by itself."""
    long = {"workers": 2, "dropout": 0.2, "word_dropout": 0.2, "epochs": 3, "batch_size": 4, "max_train_examples": 48}
    whole, stopped = (settings_of(shared_files, tmp_path / name, "textcnn", **long) for name in ("whole", "stopped"))
    whole = kmodels.train(**whole)
    stopped["checkpoint_seconds"] = 1e-9
    process, folder = started(stopped)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    for between_epochs in (folder / records.CHECKPOINTS).glob("*-step-000000"):
        shutil.rmtree(between_epochs)  # then the one before is the newest
    assert list((folder / records.CHECKPOINTS).glob("epoch*"))
    record = kmodels.train(**stopped)
    np.testing.assert_array_equal(curve(record), curve(whole))
    np.testing.assert_array_equal(predictions(record), predictions(whole))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_ends_the_run(how, shared_files, tmp_path, monkeypatch):
    monkeypatch.setenv("KMODELS_WAIT_SECONDS", "6")
    process, folder = started(settings_of(shared_files, tmp_path / "run", epochs=2000, workers=2))
    workers = workers_of(process)
    start = time.monotonic()
    workers[1].send_signal(how)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - start < 30
    assert process.returncode == 1, said
    last = said.splitlines()[-1]
    assert last.startswith("error: ") and "worker" in last
    assert not [worker for worker in workers if psutil.pid_exists(worker.pid)]
    assert list((folder / records.CHECKPOINTS).glob("epoch*"))


@pytest.mark.one_backend
def test_workers_that_differ_are_told_before_the_first_step(shared_files, tmp_path, chosen_backend):
    from kmodels.workers.meeting import free_port

    variables = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    variables["MASTER_PORT"] = str(free_port("127.0.0.1"))
    processes = []
    for rank, rate in enumerate((0.1, 0.2)):
        command = command_of(settings_of(shared_files, tmp_path / "run", learning_rate=rate))
        environment = os.environ | variables | {"RANK": str(rank)}
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 2
        assert said.startswith("error: all workers must have the same settings; worker 0 has {")
        assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.one_backend
def test_a_batch_that_the_workers_can_not_share_is_refused(shared_files, tmp_path):
    with pytest.raises(InputError, match="batch_size must be a multiple of the number of workers, 3; got 20"):
        kmodels.train(**settings_of(shared_files, tmp_path / "run", workers=3))
    with pytest.raises(InputError, match="callbacks can't be handed to worker processes"):
        kmodels.train(callbacks=[object()], **settings_of(shared_files, tmp_path / "run", workers=2))
    assert not (tmp_path / "run").exists()
