"""Windows of a stream: every row once, in order, and none waits long."""

import itertools
import queue
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmodels.errors import InputError
from kmodels.prediction import windows
from kmodels.prediction.streaming import Row
from kmodels.prediction.windows import Pace


class Rows:
    """A source for `windows` whose pieces come when the test says so."""

    def __init__(self, *pieces):
        self.pieces: queue.Queue = queue.Queue()
        for piece in pieces:
            self.pieces.put(piece)

    def get(self, timeout=None):
        piece = self.pieces.get(timeout=timeout)
        if isinstance(piece, Exception):
            raise piece
        return piece


def numbered(start, stop):
    return [Row(number, f"sentence {number}") for number in range(start, stop)]


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 20))
def test_windows_hold_every_row_once_in_order_and_no_more_than_the_pace_says(sizes, most):
    ends = [0, *itertools.accumulate(sizes)]
    pieces = [numbered(start, end) for start, end in itertools.pairwise(ends)]
    pace = Pace(least=1, most=most)
    pace.rows = most
    found = list(windows.windows(Rows(*pieces, None), pace))
    assert [row for window in found for row in window] == numbered(0, ends[-1])
    assert all(1 <= len(window) <= most for window in found)
    assert len(found) == -(-ends[-1] // most)


def test_windows_of_long_sentences_are_short(monkeypatch):
    monkeypatch.setattr(windows, "MOST_CHARACTERS", 100)
    rows = [Row(number, "x" * 60) for number in range(5)]
    assert [len(window) for window in windows.windows(Rows(rows, None), Pace())] == [2, 2, 1]


def test_input_that_pauses_is_a_window_at_once():
    source = Rows(numbered(0, 3))
    found = windows.windows(source, Pace())
    start = time.monotonic()
    assert next(found) == numbered(0, 3)
    assert time.monotonic() - start < 2  # far more than it takes: nothing else would ever come
    source.pieces.put(numbered(3, 4))
    assert next(found) == numbered(3, 4)


def test_input_that_trickles_does_not_wait_for_a_full_window(monkeypatch):
    monkeypatch.setattr(windows, "PAUSE_SECONDS", 60)  # never a pause
    monkeypatch.setattr(windows, "GATHER_SECONDS", 0.05)
    source, stop = Rows(), threading.Event()

    def trickle():
        for number in itertools.count():
            source.pieces.put(numbered(number, number + 1))
            if stop.wait(0.01):
                return

    thread = threading.Thread(target=trickle)
    thread.start()
    window = next(windows.windows(source, Pace()))
    stop.set()
    thread.join()
    assert window == numbered(0, len(window))
    assert len(window) < 200


def test_what_came_before_an_error_is_a_window():
    found = windows.windows(Rows(numbered(0, 2), InputError("stdin can't be read")), Pace())
    assert next(found) == numbered(0, 2)
    with pytest.raises(InputError, match="can't be read"):
        next(found)


def test_the_pace_follows_the_models_speed():
    pace = Pace(seconds=4, least=64, most=1024)
    for _ in range(10):
        pace.took(pace.rows, 0.1)
    assert pace.rows == 1024
    pace.took(3, 0.001)
    assert pace.rows == 1024
    pace.took(1024, 4)
    assert pace.rows == 1024
    for _ in range(10):
        pace.took(pace.rows, 60)
    assert pace.rows == 64
    pace.took(3, 0.001)  # a short window says nothing about a long one
    assert pace.rows == 64
