"""Work ahead of the caller, in a thread."""

import itertools
import time

import pytest

from kmodels.errors import InputError
from kmodels.prediction.background import Background


def test_a_background_gives_all_in_order_and_then_nothing():
    ahead = Background(lambda give: [give(number) for number in range(100)], most_waiting=3)
    ahead.peek()
    assert list(ahead) == list(range(100))
    assert ahead.get() is None


def test_a_background_runs_ahead_only_so_far():
    made = []

    def produce(give):
        for number in itertools.count():
            made.append(number)
            give(number)

    ahead = Background(produce, most_waiting=3)
    assert [ahead.get() for _ in range(5)] == list(range(5))
    time.sleep(0.3)
    assert len(made) <= 5 + 3 + 1
    ahead.close()
    time.sleep(0.5)
    num_made = len(made)
    time.sleep(0.3)
    assert len(made) == num_made


def test_what_a_background_raises_comes_after_what_it_gave():
    def produce(give):
        give(1)
        raise InputError("no more")

    ahead = Background(produce, most_waiting=3)
    assert ahead.get() == 1
    for _ in range(2):
        with pytest.raises(InputError, match="no more"):
            ahead.get()
