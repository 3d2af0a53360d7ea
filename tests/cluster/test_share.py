"""What one worker, or one run of a grid, gets of a cluster's nodes."""

import pytest

from kmodels import cluster
from kmodels.errors import InputError

ray = pytest.importorskip("ray")


def node(cpu, gpu=0, alive=True):
    return {"Alive": alive, "Resources": {"CPU": float(cpu)} | ({"GPU": float(gpu)} if gpu else {})}


@pytest.mark.parametrize(
    ("nodes", "asked", "expected"),
    [
        ([node(8), node(8)], {"num_workers": 2}, {"CPU": 8}),
        ([node(8), node(8)], {"num_workers": 4}, {"CPU": 4}),
        ([node(2)], {"num_workers": 8}, {"CPU": 1}),
        ([node(4), node(16)], {"num_workers": 2}, {"CPU": 4}),  # it must fit into each
        ([node(8), node(8, alive=False)], {"num_workers": 2}, {"CPU": 4}),
        ([node(32, 4), node(32, 4)], {"num_workers": 8}, {"CPU": 8, "GPU": 1}),
        ([node(32, 4)], {"num_workers": 2}, {"CPU": 16, "GPU": 1}),
        ([node(8), node(4)], {}, {"CPU": 4}),
        ([node(8)], {"jobs": 2}, {"CPU": 4}),
        ([node(32, 4)], {}, {"CPU": 8, "GPU": 1}),  # a run for each GPU
    ],
)
def test_a_share_fits_the_nodes(nodes, asked, expected, monkeypatch):
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert cluster.share(**asked) == expected


@pytest.mark.parametrize(
    ("nodes", "asked", "said"),
    [
        ([node(32, 4)], {"num_workers": 5}, "workers must be at most 4, the GPUs of the Ray cluster; got 5"),
        ([node(8, alive=False), {"Alive": True, "Resources": {}}], {}, "no node with cores"),
    ],
)
def test_what_a_cluster_has_not_is_said(nodes, asked, said, monkeypatch):
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    with pytest.raises(InputError, match=said):
        cluster.share(**asked)
