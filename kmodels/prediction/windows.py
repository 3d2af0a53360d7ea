"""How many sentences are classified together: few seconds' work, and what has come when the input pauses."""

import queue
import time

from kmodels.errors import InputError
from kmodels.prediction.streaming import Row

MOST_CHARACTERS = 2**22  # of a window
PAUSE_SECONDS = 0.02  # input that pauses this long has paused
GATHER_SECONDS = 0.1  # the longest that a sentence waits for others to share its window


class Pace:
    """How many rows a window may have, so that its answers come every few seconds at the model's speed.

    Args:
        seconds: that a window should take.
        least, most: rows.
    """

    def __init__(self, seconds=4.0, least=64, most=16384):
        self.seconds = seconds
        self.least = least
        self.most = most
        self.rows = 4 * least

    def took(self, num_rows, seconds):
        """Learns from a window: one that was full and quick makes the next ones longer, a slow one shorter."""
        if seconds > 2 * self.seconds:
            self.rows = max(self.least, self.rows // 2)
        elif num_rows >= self.rows and seconds < self.seconds / 2:
            self.rows = min(self.most, self.rows * 2)


def windows(source, pace):
    """Gathers rows: as many as a window may have, or those that came until the input paused.

    Args:
        source: kmodels.prediction.background.Background of lists of Row.
        pace: Pace.

    Yields:
        [Row, …], in the order of the input.
    """
    window: list[Row] = []
    characters, begun = 0, 0.0
    ended = paused = False
    while not ended:
        try:
            rows = source.get(timeout=PAUSE_SECONDS if window else None)
            ended, paused = rows is None, False
        except queue.Empty:
            rows, paused = [], True
        except InputError:
            if window:
                yield window
            raise
        for row in rows or ():
            begun = begun if window else time.monotonic()
            window.append(row)
            characters += len(row.text or "")
            if len(window) >= pace.rows or characters >= MOST_CHARACTERS:
                yield window
                window, characters = [], 0
        if window and (ended or paused or time.monotonic() - begun > GATHER_SECONDS):
            yield window
            window, characters = [], 0
