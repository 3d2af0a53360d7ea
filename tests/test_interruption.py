"""Real processes: killed, told to stop, started twice, out of disk, out of permission."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.kill import bits
from kmodels import checkpoints, records
from tests.reviews import tiny_settings, write_review_files

ROOT = Path(__file__).parent.parent
# The superuser may write anywhere, unless this is taken from it.
WITHOUT_PRIVILEGE = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.geteuid() == 0 else []


def command(folder, files, **settings):
    """train.py at a tiny size, with dropout and many checkpoints, for a few seconds."""
    settings = tiny_settings("textcnn", files, folder) | {"epochs": 15, "checkpoint_seconds": 0.01} | settings
    return [sys.executable, str(ROOT / "train.py"), *(f"--{name}={value}" for name, value in settings.items())]


def start(*args, prefix=(), **settings):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*prefix, *command(*args, **settings)], cwd=ROOT, **pipes)


def finish(*args, **settings):
    done = subprocess.run(command(*args, **settings), cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def wait_for_checkpoint(folder, process, beyond=(0, 0)):
    """Until the run has a checkpoint further than a place."""
    wanted = f"epoch-{beyond[0]:04d}-step-{beyond[1]:06d}"
    for _ in range(6000):
        names = [path.name for path in (folder / records.CHECKPOINTS).glob("epoch-*")]
        if any(name > wanted for name in names):
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    raise AssertionError("no checkpoint came")


# Deterministic kernels are asked for when a process starts, of each backend otherwise; the default ones are tried on
# each in tests/test_resume.py.
@pytest.mark.backend
@pytest.mark.parametrize("deterministic", [True, pytest.param(False, marks=pytest.mark.one_backend)])
def test_a_process_killed_and_stopped_at_random_ends_in_the_same_bits(tmp_path, review_files, deterministic):
    settings = {"deterministic": deterministic}
    done = finish(tmp_path / "whole", review_files, **settings)
    assert done.returncode == 0, done.stderr
    numbers = random.Random(os.getpid())
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = start(tmp_path / "run", review_files, **settings)
        newest = checkpoints.newest(tmp_path / "run", pytest.fail)
        wait_for_checkpoint(tmp_path / "run", process, (newest.epoch, newest.step) if newest else (0, 0))
        time.sleep(numbers.uniform(0, 0.3))
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 143), said
        assert not (tmp_path / "run" / records.METRICS).exists()
    assert "stopped by SIGTERM; the same command again goes on from epoch" in said
    last = finish(tmp_path / "run", review_files, **settings)
    assert last.returncode == 0
    assert "going on with the run in" in last.stderr
    assert bits(tmp_path / "run") == bits(tmp_path / "whole")


@pytest.fixture(scope="module")
def torch_files(tmp_path_factory):
    return write_review_files(tmp_path_factory.mktemp("reviews"))


def test_ctrl_c_saves_ends_with_130_and_leaves_no_lock(tmp_path, torch_files):
    process = start(tmp_path / "run", torch_files, backend="torch", epochs=1000)
    wait_for_checkpoint(tmp_path / "run", process)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "SIGINT: finishing the step and saving" in said
    assert not (tmp_path / "run" / ".lock").exists()
    newest = checkpoints.newest(tmp_path / "run", pytest.fail)
    assert f"goes on from epoch {newest.epoch}, step {newest.step}" in said


def test_a_second_process_is_refused_while_the_first_lives_and_not_after(tmp_path, torch_files):
    first = start(tmp_path / "run", torch_files, backend="torch", epochs=1000)
    wait_for_checkpoint(tmp_path / "run", first)
    second = finish(tmp_path / "run", torch_files, backend="torch", epochs=1000)
    anew = finish(tmp_path / "run", torch_files, backend="torch", epochs=1000, overwrite=True)
    for refused in (second, anew):
        assert refused.returncode == 2
        assert f"in use by process {first.pid}" in refused.stderr
        assert refused.stderr.count("\n") == 1
    first.kill()
    first.communicate()
    third = start(tmp_path / "run", torch_files, backend="torch", epochs=1000)
    newest = checkpoints.newest(tmp_path / "run", pytest.fail)
    wait_for_checkpoint(tmp_path / "run", third, (newest.epoch, newest.step))
    third.kill()
    third.communicate()


@pytest.mark.parametrize("limit", [3_000, 12_000], ids=["best weights", "checkpoint"])
def test_a_full_disk_ends_the_run_and_the_last_checkpoint_still_loads(tmp_path, torch_files, limit):
    """A limit on a file's size stands for the disk. It comes into force while the run is under way."""
    process = start(tmp_path / "run", torch_files, backend="torch", epochs=3000)
    wait_for_checkpoint(tmp_path / "run", process, (1, 0))
    subprocess.run(["prlimit", f"--pid={process.pid}", f"--fsize={limit}:{limit}"], check=True)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1, said
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if line.startswith("error: ")]
    newest = checkpoints.newest(tmp_path / "run", pytest.fail)
    again = start(tmp_path / "run", torch_files, backend="torch", epochs=3000)
    wait_for_checkpoint(tmp_path / "run", again, (newest.epoch, newest.step))
    again.kill()
    again.communicate()


def test_permission_that_is_lost_ends_the_run_and_the_last_checkpoint_still_loads(tmp_path, torch_files):
    process = start(tmp_path / "run", torch_files, backend="torch", epochs=3000, prefix=WITHOUT_PRIVILEGE)
    wait_for_checkpoint(tmp_path / "run", process, (1, 0))
    folder = tmp_path / "run" / records.CHECKPOINTS
    folder.chmod(0o500)
    said = process.communicate(timeout=60)[1]
    folder.chmod(0o700)
    assert process.returncode == 1, said
    assert "Permission denied; the last one stays" in said
    assert "Traceback" not in said
    assert checkpoints.newest(tmp_path / "run", pytest.fail)


PART = """
import json, sys
from kmodels import backend
settings = json.loads(sys.argv[1])
backend.run_as_command()
backend.choose(settings["backend"])
import keras, kmodels

class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if [self.epoch, batch] == json.loads(sys.argv[2]):
            sys.exit(3)

kmodels.train(callbacks=[Stop()], **settings)
"""


def test_a_run_goes_on_on_another_backend_along_the_same_curve(tmp_path, torch_files):
    """Without dropout; begun on jax, on tensorflow from the middle of epoch 1, on torch from epoch 3 on."""
    settings = tiny_settings("textcnn", torch_files, tmp_path / "run")
    settings |= {"dropout": 0.0, "epochs": 5, "checkpoint_seconds": 1e-9}
    for backend, place, status in (("jax", [1, 3], 3), ("tensorflow", [3, 0], 3), ("torch", [9, 0], 0)):
        part = [sys.executable, "-c", PART, json.dumps(settings | {"backend": backend}), json.dumps(place)]
        done = subprocess.run(part, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
    whole = settings | {"backend": "torch", "output_dir": str(tmp_path / "whole")}
    subprocess.run([sys.executable, "-c", PART, json.dumps(whole), "[9, 0]"], cwd=ROOT, check=True)
    ours, theirs = (records.read(tmp_path / name).history for name in ("run", "whole"))
    for name in ("training_loss", "validation_loss"):
        assert [line[name] for line in ours] == pytest.approx([line[name] for line in theirs], rel=1e-3)
    assert ours[1]["switches"] == [{"step": 3, "from": "jax", "to": "tensorflow"}]
    assert ours[3]["switches"] == [{"step": 0, "from": "tensorflow", "to": "torch"}]
    assert not any("switches" in line for line in theirs)
