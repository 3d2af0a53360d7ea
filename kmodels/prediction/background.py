"""Work ahead of the caller, in a thread of its own, with a bound on how far ahead."""

import queue
import threading
from typing import NamedTuple


class Background:
    """What a function gives, made in a thread of its own while the caller is busy.

    Args:
        produce: function of `give`, which it calls with each piece, never None; `give` waits while enough pieces wait.
        most_waiting: pieces.
    """

    def __init__(self, produce, most_waiting):
        self._pieces: queue.Queue = queue.Queue(most_waiting)
        self._closed = threading.Event()
        self._end: _End | None = None
        self._first: list = []
        # daemon: a read may wait for input that never comes, and must not keep the process
        threading.Thread(target=self._run, args=(produce,), daemon=True).start()

    def _run(self, produce):
        end = _End(None)
        try:
            produce(self._give)
        except _ClosedError:
            return
        except BaseException as error:  # raised again where the pieces are taken
            end = _End(error)
        self._give(end, give_up=False)

    def _give(self, piece, give_up=True):
        while not self._closed.is_set():
            try:
                return self._pieces.put(piece, timeout=0.1)
            except queue.Full:
                continue
        if give_up:
            raise _ClosedError
        return None

    def get(self, timeout=None):
        """The next piece; None after the last.

        Args:
            timeout: seconds to wait; None: as long as it takes.

        Raises:
            queue.Empty: none came in time.
            BaseException: what the function raised.
        """
        if self._first:
            return self._first.pop()
        if self._end is None:
            piece = self._pieces.get(timeout=timeout)
            if not isinstance(piece, _End):
                return piece
            self._end = piece
        if self._end.error is not None:
            raise self._end.error
        return None

    def peek(self):
        """Waits for the first piece, or raises what the function raised instead; `get` still gives it."""
        self._first.append(self.get())

    def __iter__(self):
        while (piece := self.get()) is not None:
            yield piece

    def close(self):
        """Ends the thread the next time it gives a piece."""
        self._closed.set()


class _End(NamedTuple):
    error: BaseException | None


class _ClosedError(Exception):
    """Nobody takes the pieces any more."""
