"""A Ray cluster on this machine, and the settings of a run on it."""

import pytest

from tests.reviews import tiny_settings, write_review_files


@pytest.fixture(scope="module")
def cluster():
    """Of two nodes, with a core each, on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def settings(tmp_path):
    files = write_review_files(tmp_path)
    return tiny_settings("textcnn", files, tmp_path / "run", backend="torch", epochs=3, checkpoint_seconds=1e-9)
