"""What the workers of a run do together: figures over all of them, and stopping and saving at the same step."""

import json
import time

import numpy as np

from kmodels import backends


class Together:
    """A run's workers. With one, nothing is exchanged.

    What is exchanged must be asked for by all workers, at the same place.

    Args:
        group: kmodels.workers.group.Group.
        seconds_between: how often, inside an epoch, the workers ask each other whether to stop or to save.
    """

    def __init__(self, group, seconds_between=1.0):
        self.group = group
        self.seconds_between = seconds_between
        self._steps = self._left = 1
        self._since = time.monotonic()

    @property
    def has_parts(self):
        """True if each worker's figures are of its own part of the batches."""
        return self.group.size > 1 and not backends.current().TELLS_OF_WHOLE_BATCHES

    def due(self, stop, save):
        """Whether to stop, and whether to save, after this step: the same answer in every worker.

        Args:
            stop: the number of a signal that this worker got, or None.
            save: whether it is time to save; worker 0's clock decides.

        Returns:
            (number of a signal or None, bool).
        """
        if self.group.size == 1:
            return stop, save
        self._left -= 1
        if self._left:
            return None, False
        first = self.group.is_first
        number, save, steps = self._largest([stop or 0, first and save, first and self._steps_until_next()])
        self._steps = self._left = int(steps)
        return int(number) or None, bool(save)

    def largest(self, value):
        """The largest of the workers' values: float."""
        return value if self.group.size == 1 else self._largest([value])[0]

    def sums(self, variables):
        """The metrics' sums over all workers' sentences: [array of each variable's type, …]. Counts of steps stay."""
        values = [np.asarray(variable) for variable in variables]
        if not self.has_parts:
            return values
        flat = np.concatenate([np.ravel(value).astype(np.float64) for value in values])
        is_sum = np.concatenate([np.full(value.size, value.dtype.kind == "f") for value in values])
        added = backends.current().all_reduce(flat, "sum")
        flat = np.where(is_sum, added, backends.current().all_reduce(flat, "max"))
        parts = np.split(flat, np.cumsum([value.size for value in values])[:-1])
        return [part.reshape(value.shape).astype(value.dtype) for part, value in zip(parts, values)]

    def figures(self, model):
        """The model's figures over all workers' sentences: {name: float}. Its own sums become those of all."""
        for variable, value in zip(model.metrics_variables, self.sums(model.metrics_variables)):
            variable.assign(value)
        return {name: float(value) for name, value in model.get_metrics_result().items()}

    def gathered(self, value):
        """What each worker gives, by rank: [value, …]; what JSON can hold."""
        if self.group.size == 1:
            return [value]
        own = np.frombuffer(json.dumps(value).encode(), np.uint8)
        length = int(self._largest([len(own)])[0])
        table = np.zeros((self.group.size, length))
        table[self.group.rank, : len(own)] = own
        rows = backends.current().all_reduce(table, "sum").astype(np.uint8)
        return [json.loads(row.tobytes().rstrip(b"\0")) for row in rows]

    def _largest(self, values):
        return backends.current().all_reduce(np.array(values, np.float64), "max")

    def _steps_until_next(self):
        """How many steps take about `seconds_between`, as fast as the last ones were."""
        now = time.monotonic()
        seconds, self._since = (now - self._since) / self._steps, now
        return max(1, min(round(self.seconds_between / max(seconds, 1e-6)), 2 * self._steps))
