"""Before the first step: the workers meet at worker 0's port, compare what they have, and learn where the others are.

It is a line of JSON from each and one back, on TCP, before any framework is loaded. So a worker that is missing, and
one that has another version, other settings or other data, is told in one line, the same on every backend.
"""

import contextlib
import json
import secrets
import socket
import time
from dataclasses import dataclass

from kmodels.errors import InputError, RunError

MOST_BYTES = 2**20  # of a line; anybody may connect to a port
RETRY_SECONDS = 0.2
# Below what systems give out by themselves, so that no connection takes a free port before it is listened on.
PORTS = range(20_000, 32_768)


@dataclass(frozen=True)
class Met:
    """What the workers agreed on.

    Attributes:
        addresses: "host:port", by rank: free ports, for the framework's own connections.
        watched: "host:port", by rank: other free ports, for kmodels.workers.watch.
        host: the address by which the others reach this worker.
    """

    addresses: tuple[str, ...]
    watched: tuple[str, ...]
    host: str


def meet(group, facts, seconds=50.0):
    """Waits until all workers of a group are here and have the same facts.

    Args:
        group: kmodels.workers.group.Group.
        facts: {name: text}: what must be the same for all.
        seconds: how long to wait for the last.

    Returns:
        Met.

    Raises:
        InputError: worker 0's port is taken, or facts differ.
        RunError: not all workers came.
    """
    end = time.monotonic() + seconds
    if group.is_first:
        return _receive(group, facts, end)
    with _connected(group, end, seconds) as connection:
        host = connection.getsockname()[0]
        with _free_addresses(host) as addresses:
            own = {"rank": group.rank, "size": group.size, "facts": facts, "addresses": addresses}
            with contextlib.suppress(OSError):  # then no answer comes either
                _send(connection, own)
            answer = _line(connection, end)
    if answer is None:
        raise RunError(f"worker 0 at {group.address}:{group.port} left before all workers had come")
    if "error" in answer:
        raise InputError(answer["error"])
    return _met(answer["addresses"], host)


def free_port(host=""):
    """A TCP port of this host that nobody listens on now."""
    with _bound(host) as probe:
        return probe.getsockname()[1]


def _bound(host):
    """A socket with a port that was free: of PORTS, if a few tries find one."""
    probe = socket.socket()
    for _ in range(20):
        with contextlib.suppress(OSError):
            probe.bind((host, secrets.choice(PORTS)))
            return probe
    probe.bind((host, 0))
    return probe


@contextlib.contextmanager
def _free_addresses(host, listen_on=None):
    """["host:port", "host:port"], one for the framework, one for the watch: until all have met, no other worker's."""
    with contextlib.ExitStack() as opened:
        probes = [opened.enter_context(_bound(host if listen_on is None else listen_on)) for _ in range(2)]
        yield [f"{host}:{probe.getsockname()[1]}" for probe in probes]


def _met(addresses, host):
    """Met, of each worker's two addresses."""
    frameworks, watches = zip(*addresses)
    return Met(frameworks, watches, host)


def _receive(group, facts, end):
    """Worker 0's part: hears all others, and answers them."""
    with contextlib.ExitStack() as opened:
        connections: list[socket.socket] = []
        server = opened.enter_context(_listening(group))
        own = opened.enter_context(_free_addresses(group.address, listen_on=""))
        found = {0: {"size": group.size, "facts": facts, "addresses": own}}
        while len(found) < group.size:
            server.settimeout(max(0.01, end - time.monotonic()))
            try:
                connection = opened.enter_context(server.accept()[0])
            except TimeoutError:
                missing = ", ".join(str(rank) for rank in range(group.size) if rank not in found)
                error = f"not all of the {group.size} workers came to {group.address}:{group.port}; missing: {missing}"
                _answer(connections, {"error": error})
                raise RunError(error) from None
            said = _line(connection, min(end, time.monotonic() + 5))
            if not _is_worker(said):
                continue  # somebody else
            connections.append(connection)
            error = _objection(said, found)
            if error:
                _answer(connections, {"error": error})
                raise InputError(error)
            found[said["rank"]] = said
        addresses = [found[rank]["addresses"] for rank in range(group.size)]
        _answer(connections, {"addresses": addresses})
        # Not what the name of this host stands for here: that may be an address that only this host has.
        host = connections[0].getsockname()[0]
    return _met(addresses, host)


def _is_worker(said):
    return (
        isinstance(said, dict)
        and isinstance(said.get("rank"), int)
        and isinstance(said.get("facts"), dict)
        and isinstance(said.get("addresses"), list)
        and [type(address) for address in said["addresses"]] == [str, str]
    )


def _objection(said, found):
    """Why a worker can't join; None if it can."""
    rank, first = said["rank"], found[0]
    if said.get("size") != first["size"]:
        sizes = f"worker 0 was told of {first['size']}, worker {rank} of {said['size']}"
        return f"all workers must be told of as many workers; {sizes}"
    if rank in found or not 0 <= rank < first["size"]:
        return f"each worker must have a number of its own, below {first['size']}; two have {rank}"
    for name, value in first["facts"].items():
        if said["facts"].get(name) != value:
            other = said["facts"].get(name)
            return f"all workers must have the same {name}; worker 0 has {value:.200}, worker {rank} {other!s:.200}"
    return None


def _listening(group):
    try:
        return socket.create_server((_own_interface(group.address), group.port), backlog=group.size)
    except OSError as error:
        raise InputError(
            f"worker 0 can't listen on {group.address}:{group.port}: {error.strerror}; give another MASTER_PORT"
        ) from error


def _own_interface(address):
    """Loopback stays loopback; else all interfaces, for the name may be another one's than the connections come to."""
    return address if address in ("127.0.0.1", "localhost", "::1") else ""


def _connected(group, end, seconds):
    """A connection to worker 0, which may start later than this one."""
    while True:
        try:
            return socket.create_connection((group.address, group.port), timeout=max(0.1, end - time.monotonic()))
        except OSError as error:
            if time.monotonic() + RETRY_SECONDS > end:
                raise RunError(
                    f"worker {group.rank} can't reach worker 0 at {group.address}:{group.port} within {seconds:.0f} s: "
                    f"{error.strerror or error}"
                ) from error
        time.sleep(RETRY_SECONDS)


def _answer(connections, value):
    for connection in connections:
        with contextlib.suppress(OSError):  # it hears of it when its own connection ends
            _send(connection, value)


def _send(connection, value):
    connection.sendall(json.dumps(value).encode() + b"\n")


def _line(connection, end):
    """The JSON value of the next line; None if the other end sent none in time."""
    received = bytearray()
    try:
        while not received.endswith(b"\n") and len(received) < MOST_BYTES:
            connection.settimeout(max(0.01, end - time.monotonic()))
            part = connection.recv(2**16)
            if not part:
                return None
            received += part
        return json.loads(received)
    except (OSError, ValueError):
        return None
