"""SIGTERM and SIGINT: a run finishes its step, saves, and ends."""

import os
import signal
import threading


class StopRequest:
    """Catches SIGTERM and SIGINT while it is entered; a second signal ends the process at once.

    Only a program's main thread can catch signals; entered in another one, it catches none.

    Attributes:
        received: number of the signal that came; None so far.

    Example:

    >>> with StopRequest() as stop:
    ...     stop.received is None
    True
    """

    def __init__(self):
        self.received = None
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._catch)
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number, frame):
        self.received = number
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)
        name = signal.Signals(number).name
        # Not print: the signal may have come in the middle of one.
        os.write(2, f"{name}: finishing the step and saving; once more to stop at once\n".encode())
