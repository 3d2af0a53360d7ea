"""What is lost with a process or a node of a Ray cluster is placed again."""

import contextlib
import os
import signal
import threading

import pytest

import kmodels
from kmodels import records
from kmodels.commands import compare
from tests.cluster.runs import AXES, folders_of_checkpoints, trainers
from tests.reviews import tiny_settings, write_review_files

pytest.importorskip("ray")


def kill_worker(processes, cluster):
    os.kill(processes[-1].pid, signal.SIGKILL)
    return True


def lose_node(processes, cluster):
    """Ends a node that holds one of them, and not the driver. Returns False if there is none yet."""
    ancestors = {parent.pid for process in processes for parent in process.parents()}
    for node in cluster.worker_nodes:
        if any(raylet.process.pid in ancestors for raylet in node.all_processes["raylet"]):
            cluster.remove_node(node, allow_graceful=False)
            return True
    return False


# Enough that even a fast machine is not at the end before the loss; saving after every step would take minutes.
LONG = {"epochs": 20, "checkpoint_seconds": 0.0}


@pytest.fixture(scope="module")
def losses_of_a_whole_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    settings = tiny_settings("textcnn", write_review_files(folder), folder / "run", backend="torch")
    return [line["training_loss"] for line in kmodels.train(**settings | LONG, workers=2).history]


@contextlib.contextmanager
def a_loss(lose, cluster, folder):
    """A context in which a worker is lost once, when there are checkpoints in a folder."""
    ended, lost = threading.Event(), []

    def watch():
        while not lost and not ended.wait(0.01):
            processes = folders_of_checkpoints(folder) and trainers(folder)
            if processes and lose(processes, cluster):
                lost.append(True)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert lost


@pytest.mark.parametrize("lose", [kill_worker, lose_node])
def test_workers_are_placed_again_after_one_is_lost_and_the_run_goes_on(
    lose, cluster, settings, losses_of_a_whole_run, tmp_path
):
    if lose is lose_node:
        cluster.add_node(num_cpus=1)  # takes the place of the one that will be lost
    with a_loss(lose, cluster, tmp_path / "run"):
        record = kmodels.train(**settings | LONG, workers=2, cluster=cluster.address)
    assert [line["training_loss"] for line in record.history] == losses_of_a_whole_run


def test_a_run_of_a_grid_is_made_on_another_node_when_its_own_is_lost(cluster, settings, tmp_path, capsys):
    cluster.add_node(num_cpus=1)  # takes the place of the one that will be lost
    flags = [f"--{name}={value}" for name, value in (settings | LONG).items() if name not in AXES]
    grid = ["--models=textcnn", "--backends=torch", "--seeds=1,2", f"--output_dir={tmp_path / 'grid'}"]
    with a_loss(lose_node, cluster, tmp_path / "grid"):
        compare.run([*grid, *flags, f"--cluster={cluster.address}"])
    assert "2 of 2" in capsys.readouterr().err
    runs = sorted((tmp_path / "grid").glob("textcnn-*"))
    assert [run.name for run in runs] == ["textcnn-torch-seed-1", "textcnn-torch-seed-2"]
    assert all((run / records.METRICS).is_file() for run in runs)
    assert (tmp_path / "grid" / "report.html").is_file()
