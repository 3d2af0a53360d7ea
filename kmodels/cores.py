"""The processor's cores that this process may use, and processes that are started on some of them."""

import contextlib
import os


def available():
    """The numbers of the cores that this process may use: [int, …]; all where the system doesn't hold it to some."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def share(number, count):
    """The cores of one process of several: [int, …], as many for each; shared where they are more than the cores.

    Args:
        number: of the process, from 0.
        count: how many processes there are.
    """
    found = available()
    size = max(1, len(found) // count)
    return [found[place % len(found)] for place in range(number * size, (number + 1) * size)]


@contextlib.contextmanager
def held_to(cores):
    """A context in which a process that this thread starts has these cores only, from its first instruction on.

    It gives True; False where the system holds no process to cores, and nothing is done.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # of this thread; what it starts inherits them
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)
