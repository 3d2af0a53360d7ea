"""Workers meet, or say in one line why they don't."""

import socket
import threading
import time

import pytest

from kmodels.errors import InputError, RunError
from kmodels.workers import meeting
from kmodels.workers.group import Group
from kmodels.workers.meeting import free_port, meet

FACTS = {"settings": "{}", "data": "abc", "versions": "1"}


def met(groups, facts=None, seconds=10.0, delays=None):
    """What `meet` gives or raises for each of these groups, each in a thread of its own, by their order."""
    found = [None] * len(groups)

    def run(number):
        time.sleep((delays or {}).get(number, 0))
        try:
            found[number] = meet(groups[number], (facts or {}).get(number, FACTS), seconds)
        except (InputError, RunError) as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(groups))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def groups_of(size, port=None):
    port = port or free_port("127.0.0.1")
    return [Group(rank, size, rank, "127.0.0.1", port) for rank in range(size)]


@pytest.mark.parametrize("delays", [{}, {0: 0.5}, {1: 0.5}])
def test_all_hear_the_same_addresses_whoever_comes_first(delays):
    found = met(groups_of(3), delays=delays)
    assert len({each.addresses for each in found}) == 1
    assert len({each.watched for each in found}) == 1
    both = found[0].addresses + found[0].watched
    assert len(set(both)) == 6
    assert all(address.startswith("127.0.0.1:") for address in both)
    assert all(int(address.rpartition(":")[2]) < 32_768 for address in both)  # what no connection is given


def test_no_port_is_given_twice_however_few_there_are(monkeypatch):
    groups, first = groups_of(3), free_port("127.0.0.1")
    monkeypatch.setattr(meeting, "PORTS", range(first, first + 6))
    found = met(groups)
    assert len({*found[0].addresses, *found[0].watched}) == 6


@pytest.mark.parametrize("name", FACTS)
def test_what_differs_is_told_by_all_in_one_line(name):
    found = met(groups_of(2), {1: FACTS | {name: "other"}})
    expected = f"all workers must have the same {name}; worker 0 has {FACTS[name]}, worker 1 other"
    assert [str(each) for each in found] == [expected] * 2
    assert all(isinstance(each, InputError) for each in found)


def test_workers_that_were_told_different_sizes_or_the_same_number():
    port = free_port("127.0.0.1")
    groups = [Group(0, 2, 0, "127.0.0.1", port), Group(1, 3, 1, "127.0.0.1", port)]
    assert "worker 0 was told of 2, worker 1 of 3" in str(met(groups)[0])
    port = free_port("127.0.0.1")
    groups = [Group(rank, 3, rank, "127.0.0.1", port) for rank in (0, 1, 1)]
    assert "two have 1" in str(met(groups)[0])


def test_a_worker_that_never_comes_is_named_in_time():
    start = time.monotonic()
    found = met(groups_of(3)[:2], seconds=1)
    assert time.monotonic() - start < 5
    assert "missing: 2" in str(found[0])
    assert isinstance(found[0], RunError)
    assert "missing: 2" in str(found[1]) or "left before" in str(found[1])  # whose second ended first


def test_without_worker_0_the_others_say_where_they_looked():
    group = groups_of(2)[1]
    with pytest.raises(RunError, match=f"can't reach worker 0 at 127.0.0.1:{group.port} within 1 s"):
        meet(group, FACTS, seconds=1)


def test_a_taken_port_is_told():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"can't listen on 127.0.0.1:{port}: .*; give another MASTER_PORT"):
            meet(Group(0, 2, 0, "127.0.0.1", port), FACTS, seconds=1)


# One that says nearly what a worker does, and no two addresses.
NEARLY = b'{"rank": 1, "size": 2, "facts": {"settings": "{}", "data": "abc", "versions": "1"}, "addresses": [1]}\n'


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"\xff\n", b"[]\n", b'{"rank": 1}\n', NEARLY, b"", b"9" * 2**21]
)
def test_a_stranger_at_the_port_changes_nothing(said):
    groups = groups_of(2)

    def knock():
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", groups[0].port), timeout=1) as connection:
                    connection.sendall(said)
                return
            except OSError:
                time.sleep(0.02)

    stranger = threading.Thread(target=knock)
    stranger.start()
    found = met(groups, delays={1: 0.5}, seconds=20)
    stranger.join()
    assert found[0].addresses == found[1].addresses
