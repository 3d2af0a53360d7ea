"""Workers miss each other when one is gone, and only then."""

import socket
import threading
import time

import pytest

from kmodels.workers import watch
from kmodels.workers.group import Group
from kmodels.workers.meeting import free_port


@pytest.fixture(autouse=True)
def short_ticks(monkeypatch):
    monkeypatch.setattr(watch, "TICK_SECONDS", 0.05)


def addresses_of(size):
    return ["127.0.0.1:0", *[f"127.0.0.1:{free_port('127.0.0.1')}" for _ in range(size - 1)]]


def watching(rank, addresses, seconds):
    """(A worker's watch, what it was told of lost ones)."""
    told: list[str] = []
    return watch.Watch(Group(rank, len(addresses), rank, "127.0.0.1", 1), addresses, seconds, told.append), told


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


@pytest.mark.parametrize("size", [2, 4])
def test_workers_that_are_there_and_say_goodbye_are_not_missed(size):
    addresses = addresses_of(size)
    watches = [watching(rank, addresses, seconds=0.5) for rank in range(size)]
    time.sleep(1.5)
    for each, _ in reversed(watches):
        each.end()
        time.sleep(0.2)
    assert [told for _, told in watches] == [[]] * size


def test_one_that_is_silent_is_missed_after_a_while():
    addresses = addresses_of(2)
    _, told = watching(1, addresses, seconds=1.0)
    with watch._reached("127.0.0.1", int(addresses[1].rpartition(":")[2]), time.monotonic() + 5):
        start = time.monotonic()
        wait_for(lambda: told)
    assert 0.8 < time.monotonic() - start < 5
    assert told == ["worker 0: silent for 1 s"]


def test_one_whose_process_ended_is_missed_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        _, told = watching(0, ["127.0.0.1:0", f"127.0.0.1:{server.getsockname()[1]}"], seconds=60)
        wait_for(lambda: told)
    assert told == ["worker 1: its connection ended"]


def test_one_that_never_comes_is_missed():
    _, told = watching(0, addresses_of(2), seconds=0.3)
    wait_for(lambda: told)
    assert told[0].startswith("one that never came: ")
