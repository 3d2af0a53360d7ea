"""Grids of runs, and what becomes of each run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kmodels import cores, records
from kmodels.comparison import grid, runner
from kmodels.errors import InputError

ROOT = Path(__file__).parent.parent.parent


def some_cells(folder, models=("textcnn", "bilstm"), backends=("jax", "torch"), seeds=(1, 2), **settings):
    return grid.cells(models, backends, seeds, folder, settings, order_seed=3)


def test_a_grid_holds_each_run_once_in_rounds_of_one_seed(tmp_path):
    cells = some_cells(tmp_path)
    assert len({cell.name for cell in cells}) == len(cells) == 8
    assert [cell.order for cell in cells] == list(range(8))
    assert [cell.config.seed for cell in cells] == [1] * 4 + [2] * 4


def test_the_order_within_a_round_is_drawn_and_the_same_for_the_same_seed(tmp_path):
    def names(order_seed):
        models, backends = ("textcnn", "bilstm"), ("jax", "tensorflow", "torch")
        return [cell.name for cell in grid.cells(models, backends, range(5), tmp_path, {}, order_seed)]

    assert names(1) == names(1) != names(2)
    rounds = [tuple(grid.group_of(name) for name in names(1)[start : start + 6]) for start in range(0, 30, 6)]
    assert len(set(rounds)) > 1
    assert {frozenset(each) for each in rounds} == {frozenset(rounds[0])}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ["textcn"]}, "did you mean 'textcnn'"),
        ({"backends": ["torch", "torch"]}, "backends must be at least one, each once; got torch, torch"),
        ({"seeds": []}, "seeds must be at least one, each once; got none"),
        ({"preset": "scratch:tiny"}, "preset is a setting of"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        some_cells(tmp_path, **changes)


def test_a_command_gives_the_config_back(tmp_path):
    from kmodels import commandline

    cell = some_cells(tmp_path, ("textcnn",), learning_rate=3e-4, kernel_sizes=[2, 3], save_predictions=True)[0]
    command = runner.command(cell.config)
    assert command[1:4] == ["-m", "kmodels", "train"]
    assert commandline.parse(["kmodels", *command[4:]]) == cell.config


@pytest.mark.parametrize(("jobs", "sizes"), [(1, None), (2, None), (100, 1)])
def test_every_job_gets_cores_and_none_gets_more(jobs, sizes):
    shares = [cores.share(number, jobs) for number in range(jobs)]
    assert len(shares) == jobs
    assert {len(share) for share in shares} == {sizes or len(os.sched_getaffinity(0)) // jobs or 1}


@pytest.fixture
def fake_runs(monkeypatch):
    """Runs are small programs here: fake_runs({name: Python code})."""

    def use(programs):
        code = "import sys, os, time, pathlib; folder = pathlib.Path(sys.argv[1]);"
        monkeypatch.setattr(
            runner,
            "command",
            lambda config: [sys.executable, "-c", code + programs[Path(config.output_dir).name], config.output_dir],
        )

    return use


def test_a_failed_run_does_not_stop_the_others_and_says_why(tmp_path, fake_runs):
    cells = some_cells(tmp_path, ("textcnn",), ("jax", "torch"), (1, 2))
    fake_runs(
        {
            "textcnn-jax-seed-1": "print('fine')",
            "textcnn-torch-seed-1": "sys.exit('error: no such folder')",
            "textcnn-jax-seed-2": "os.kill(os.getpid(), 9)",
            "textcnn-torch-seed-2": "print(os.environ['KERAS_BACKEND'])",
        }
    )
    told = []
    outcomes = {outcome.name: outcome for outcome in runner.run(cells, tmp_path, tell=told.append)}
    assert [outcome.name for outcome in told] == [cell.name for cell in cells]
    assert outcomes["textcnn-jax-seed-1"].status == "finished"
    assert (outcomes["textcnn-torch-seed-1"].status, outcomes["textcnn-torch-seed-1"].error) == (
        "failed",
        "no such folder",
    )
    assert "killed by SIGKILL" in outcomes["textcnn-jax-seed-2"].error
    assert (tmp_path / "logs" / "textcnn-torch-seed-2.log").read_text() == "torch\n"
    assert runner.read_outcomes(tmp_path) == outcomes


def test_runs_made_later_are_added_to_those_made_before(tmp_path, fake_runs):
    fake_runs({"textcnn-jax-seed-1": "pass", "textcnn-jax-seed-2": "pass"})
    runner.run(some_cells(tmp_path, ("textcnn",), ("jax",), (1,)), tmp_path)
    runner.run(some_cells(tmp_path, ("textcnn",), ("jax",), (2,)), tmp_path)
    assert set(runner.read_outcomes(tmp_path)) == {"textcnn-jax-seed-1", "textcnn-jax-seed-2"}


def test_jobs_run_side_by_side(tmp_path, fake_runs):
    cells = some_cells(tmp_path, ("textcnn",), ("jax",), (1, 2, 3))
    fake_runs({cell.name: "time.sleep(1.5)" for cell in cells})
    start = time.monotonic()
    runner.run(cells, tmp_path, jobs=3)
    assert time.monotonic() - start < 4


INTERRUPTED = """
import sys
from kmodels.comparison import grid, runner
runner.command = lambda config: [sys.executable, "-c", '''
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print("ready", flush=True)
time.sleep(30)
''']
outcomes = runner.run(grid.cells(["textcnn"], ["jax"], [1, 2], sys.argv[1], {}), sys.argv[1])
print([outcome.status for outcome in outcomes])
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_is_held_to_its_share_of_the_cores_and_its_outcome_says_how_many(tmp_path, fake_runs, jobs):
    cells = some_cells(tmp_path, ("textcnn",), ("jax",), (1, 2))
    told = "print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])"
    fake_runs({cell.name: told for cell in cells})
    share = max(1, len(os.sched_getaffinity(0)) // jobs)
    for outcome in runner.run(cells, tmp_path, jobs):
        assert outcome.cores == share
        assert (tmp_path / "logs" / f"{outcome.name}.log").read_text() == f"{share} {share}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_under_way_and_begins_no_other(tmp_path, number):
    program = subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    log = tmp_path / "logs" / "textcnn-jax-seed-1.log"
    for _ in range(1000):
        if log.is_file() and "ready" in log.read_text():
            break
        time.sleep(0.01)
    program.send_signal(number)
    said, _ = program.communicate(timeout=20)
    assert said == b"['unfinished']\n"
    assert [each["status"] for each in json.loads((tmp_path / runner.OUTCOMES).read_text())] == ["unfinished"]
    assert records.read_json(tmp_path / runner.OUTCOMES)[0]["error"] is None
