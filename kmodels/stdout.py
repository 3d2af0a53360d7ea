"""What can't be written to stdout, told from what can't be written elsewhere."""

import contextlib
import os
import select
import sys

from kmodels.errors import InputError, RunError


@contextlib.contextmanager
def watched():
    """A context in which a failure of stdout is a RunError; but a BrokenPipeError of a reader that has enough.

    Not by the error alone: that names no file. Nor by writing once more: what was not buffered would be lost on that.
    """
    if sys.stdout is None:
        yield
        return
    with contextlib.redirect_stdout(_Watched(sys.stdout)):
        yield
        sys.stdout.flush()


def check_open():
    """Raises InputError where stdout is closed, for a command that would work for nobody."""
    if sys.stdout is None:  # Python's way to say so, in which `print` prints nothing
        raise InputError("stdout is closed, so there is nowhere to write to")


@contextlib.contextmanager
def failures_reported():
    """A context of writes to stdout only: RunError where they fail, BrokenPipeError where a pipe breaks."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _lead_nowhere()
        raise RunError(f"stdout can't be written: {error.strerror}") from error


def has_lost_its_reader():
    """True if who read stdout has enough; it then leads nowhere."""
    if hasattr(select, "poll"):
        states = select.poll()
        states.register(sys.stdout.fileno(), 0)
        if not any(state & (select.POLLERR | select.POLLHUP) for _, state in states.poll(0)):
            return False  # some other pipe broke
    _lead_nowhere()
    return True


def _lead_nowhere():
    """Python flushes once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Watched:
    """A stream of text, of which what `print` calls reports failures."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text):
        with failures_reported():
            return self._stream.write(text)

    def flush(self):
        with failures_reported():
            self._stream.flush()

    def __getattr__(self, name):
        return getattr(self._stream, name)
