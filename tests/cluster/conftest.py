"""A Ray cluster on this machine, and the settings of a run on it."""

import socket
import time

import pytest

from kmodels.workers.meeting import free_port
from tests.reviews import tiny_settings, write_review_files


@pytest.fixture(scope="module")
def client_port():
    """Where Ray's client server listens for who is outside the cluster."""
    return free_port("127.0.0.1")


@pytest.fixture(scope="module")
def cluster(client_port):
    """Of two nodes, with a core each, on this machine."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False, "ray_client_server_port": client_port}
    with pytest.MonkeyPatch.context() as patch:
        # A process for each run, which asks whether a provider of machines will take one back; here nobody does.
        patch.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        cluster = Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(num_cpus=1)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def address(cluster):
    return cluster.address


@pytest.fixture
def address_from_outside(cluster, client_port):
    end = time.monotonic() + 60
    while not listens(client_port) and time.monotonic() < end:
        time.sleep(0.1)
    return f"ray://127.0.0.1:{client_port}"


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def settings(tmp_path):
    files = write_review_files(tmp_path)
    return tiny_settings("textcnn", files, tmp_path / "run", backend="torch", epochs=3, checkpoint_seconds=1e-9)
