"""Whether the other workers are still there: worker 0 and each other one exchange a byte every second.

For frameworks that would abort the process where one is lost, or break it, instead of saying so.
"""

import contextlib
import select
import socket
import threading
import time

TICK_SECONDS = 1.0
ALIVE, GOODBYE = b".", b"!"


class Watch:
    """Watches until `end`, in a thread of its own.

    Silence counts in ticks of this process, so that one that was suspended itself accuses nobody.

    Args:
        group: kmodels.workers.group.Group.
        addresses: "host:port" by rank; at each but worker 0's, that worker waits for worker 0.
        seconds: of silence, after which a worker is lost; and of waiting for the first byte.
        lost: function of a line of text, which worker and why, called once, in that thread.
    """

    def __init__(self, group, addresses, seconds, lost):
        self._group, self._seconds, self._lost = group, seconds, lost
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(list(addresses),), daemon=True)
        self._thread.start()

    def end(self):
        """Says goodbye, so that the others don't miss this worker."""
        self._ended.set()
        self._thread.join()

    def _watch(self, addresses):
        with contextlib.ExitStack() as opened:
            others = self._connected(addresses, opened)
            silent = dict.fromkeys(others, 0.0)
            while others:
                ending = self._ended.wait(TICK_SECONDS)
                for rank, connection in list(others.items()):
                    heard = _exchanged(connection, GOODBYE if ending else ALIVE)
                    silent[rank] = 0.0 if heard else silent[rank] + TICK_SECONDS
                    if heard and GOODBYE in heard:
                        del others[rank]
                    elif heard is None or silent[rank] >= self._seconds:
                        reason = "its connection ended" if heard is None else f"silent for {silent[rank]:.0f} s"
                        self._say(f"worker {rank}: {reason}")
                        return
                if ending:
                    return

    def _connected(self, addresses, opened):
        """{rank: connection} to those that this worker watches; empty if one of them could not be reached."""
        end = time.monotonic() + self._seconds
        try:
            if not self._group.is_first:
                port = int(addresses[self._group.rank].rpartition(":")[2])
                server = opened.enter_context(socket.create_server(("", port)))
                server.settimeout(self._seconds)
                return {0: opened.enter_context(server.accept()[0])}
            places = [address.rpartition(":") for address in addresses]
            return {
                rank: opened.enter_context(_reached(places[rank][0], int(places[rank][2]), end))
                for rank in range(1, len(places))
            }
        except OSError as error:
            self._say(f"{'worker 0' if self._group.rank else 'one that never came'}: {error}")
            return {}

    def _say(self, line):
        if not self._ended.is_set():
            self._lost(line)


def _reached(host, port, end):
    """A connection to a worker that may not listen yet."""
    while True:
        try:
            return socket.create_connection((host, port), timeout=max(0.1, end - time.monotonic()))
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _exchanged(connection, byte):
    """Sends a byte. Returns the bytes that came meanwhile; None if the connection is at its end."""
    try:
        if select.select([], [connection], [], 0)[1]:
            connection.send(byte)
        if not select.select([connection], [], [], 0)[0]:
            return b""
        return connection.recv(4096) or None
    except OSError:
        return None
