"""How a cluster is reached that does not answer at once, or never."""

import socket

import pytest

from kmodels import cluster
from kmodels.errors import InputError

ray = pytest.importorskip("ray")
REFUSAL = "Initialization failure:\n" + "Traceback\n" * 50 + "RuntimeError: Starting Ray client server failed."


@pytest.fixture
def address():
    with socket.create_server(("127.0.0.1", 0)) as listens:
        yield f"ray://127.0.0.1:{listens.getsockname()[1]}"


@pytest.fixture
def refusals(monkeypatch):
    """A list of errors that connecting raises, one a try, before it succeeds."""
    refusals = []

    def init(*_, **__):
        if refusals:
            raise refusals.pop(0)

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(cluster, "TRY_AGAIN_SECONDS", 0.0)
    return refusals


def test_a_head_that_fails_to_serve_once_is_asked_again(address, refusals):
    refusals += [ConnectionAbortedError(REFUSAL)] * 2
    with cluster.connected(address):
        assert not refusals


def test_one_that_never_serves_is_said_in_one_line_with_what_it_raised(address, refusals):
    refusals += [ConnectionAbortedError(REFUSAL)] * 9
    with pytest.raises(InputError, match=r"no Ray cluster answers at ray://.*: .*client server failed\.$") as raised:
        cluster.connected(address).__enter__()
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300


@pytest.mark.parametrize("error", [ConnectionError, ValueError, RuntimeError])
def test_what_can_not_be_mended_by_waiting_is_said_at_once(address, refusals, error):
    refusals += [error("no such cluster"), error("asked again")]
    with pytest.raises(InputError, match="no such cluster"):
        cluster.connected(address).__enter__()
