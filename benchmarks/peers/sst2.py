"""SST-2 for the peers, read as a script of their own would read it, and what each of them measures."""

import csv
import json
import time
from pathlib import Path

import psutil

STEPS_BEFORE_STEADY = 20  # kernels are chosen and caches filled


def read(folder, split, rows=None):
    """([sentence, …], [0 or 1, …]) of "train" or "dev", the first `rows` of them."""
    with open(Path(folder) / f"{split}.tsv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[:rows]
    return [line["sentence"] for line in lines], [int(line["label"]) for line in lines]


class Clock:
    """What one training takes, from the text on the disk to its last step, and to its figures on dev.

    Args:
        before_steady: steps that don't count as steady ones.

    Attributes:
        first_step_seconds: from the start of the process to the end of the first step.
    """

    def __init__(self, before_steady=STEPS_BEFORE_STEADY):
        self.start = time.perf_counter()
        self.first_step_seconds = None
        self._before_steady = before_steady
        self._num_steps = 0
        self._steady = None
        self._samples = 0
        self._last = None

    def stepped(self, num_samples):
        """A step has ended."""
        now = time.perf_counter()
        if self._num_steps == 0:
            self.first_step_seconds = time.time() - psutil.Process().create_time()
        self._num_steps += 1
        if self._num_steps == self._before_steady:
            self._steady = now
        elif self._steady:
            self._samples += num_samples
        self._last = now

    def report(self, accuracy, **more):
        """Prints the figures, as one line of JSON."""
        figures = {
            "seconds": self._last - self.start,
            "whole_seconds": time.perf_counter() - self.start,
            "steady_per_second": self._samples / (self._last - self._steady) if self._samples else None,
            "first_step_seconds": self.first_step_seconds,
            "accuracy": accuracy,
        }
        print(json.dumps(figures | more))
