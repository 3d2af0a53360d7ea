"""Axes: which values they span, where their ticks stand, and where a value falls. Arithmetic only."""

import math
from dataclasses import dataclass

from kmodels.comparison import wording

# A cost that spans more than this is drawn on a logarithmic axis.
WIDE = 10.0
# Ticks of a logarithmic axis of time, in seconds: all of them if few fall in, else the coarse ones.
TIMES = (0.01, 0.1, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000, 86400, 864000)
COARSE_TIMES = (0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 864000)
UNITS = ((86400, "d", 172800), (3600, "h", 7200), (60, "min", 120), (1, "s", 0))
SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Axis:
    """A line from `start` to `end` in a drawing that stands for the values from `low` to `high`.

    Attributes:
        ticks: ((value, label), …).
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool
    ticks: tuple

    def __call__(self, value):
        """Where a value falls; one beyond the axis falls on its end."""
        fraction = min(max(self._fraction(value), 0.0), 1.0)
        return self.start + fraction * (self.end - self.start)

    def holds(self, value):
        """False for a value beyond the axis."""
        return self.low <= value <= self.high

    def _fraction(self, value):
        if not self.logarithmic:
            return (value - self.low) / (self.high - self.low)
        if value <= 0:
            return 0.0
        return (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))


def accuracy_axis(values, intervals, start, end):
    """An axis for accuracies, cut off at 0 and 1. Long intervals stretch it, but not so far that the values merge."""
    low, high = _padded(_span(values), 0.01)
    low, high = _reaching(low, high, intervals, 0.02)
    low, high = max(low, 0.0), min(high, 1.0)
    return linear(low, high, start, end, _decimal)


def cost_axis(values, intervals, start, end, time=False):
    """An axis for times or sizes: logarithmic where they span more than 10 ×, else from 0 unless they are close."""
    low, high = _span(values)
    if low > 0 and high / low > WIDE:
        return logarithmic(low / 1.3, high * 1.3, start, end, time)
    margin = max(0.12 * (high - low), 0.02 * high)
    low, high = _reaching(low - margin, high + margin, intervals, 0.0)
    return (_linear_time if time else linear)(low if low > 0.5 * high else 0.0, high or 1.0, start, end)


def loss_axis(values, start, end):
    """An axis for losses: logarithmic where they span more than 10 ×."""
    low, high = _span(values)
    if low > 0 and high / low > WIDE:
        return logarithmic(low / 1.15, high * 1.15, start, end)
    low, high = _padded((low, high), 0.05)
    return linear(low, high, start, end)


def epoch_axis(epochs, start, end):
    """An axis for numbers of epochs, with ticks at whole numbers."""
    low, high = _span(epochs)
    step = max(1, _nice_step(high - low, 6))
    ticks = tuple((value, wording.count(value)) for value in _multiples(low, high, step))
    return Axis(low - 0.5, high + 0.5, start, end, False, ticks)


def linear(low, high, start, end, label=None):
    """A linear axis with ticks at round numbers.

    Args:
        label: (value, step) → text; numbers with thousands separators unless told.
    """
    step = _nice_step(high - low, 6)
    ticks = tuple((value, (label or _size)(value, step)) for value in _multiples(low, high, step))
    return Axis(low, high, start, end, False, ticks)


def logarithmic(low, high, start, end, time=False):
    """A logarithmic axis with ticks at 1, 2, 5, 10, … or at round times."""
    values = _times(low, high) if time else _powers(low, high)
    label = wording.duration if time else _short
    return Axis(low, high, start, end, True, tuple((value, label(value)) for value in values))


def scaled(label, axis):
    """What an axis shows, and that it is logarithmic where it is."""
    return f"{label} (logarithmic)" if axis.logarithmic else label


def _span(values):
    """(least, most) of some values; (0, 1) of none."""
    values = list(values)
    return (min(values), max(values)) if values else (0.0, 1.0)


def _padded(span, least):
    """A span with a margin, and never of no length."""
    low, high = span
    margin = max(0.06 * (high - low), least * max(abs(low), abs(high)), least * 1e-6)
    return low - margin, high + margin


def _reaching(low, high, intervals, least):
    """A span stretched to hold intervals, to three times its length at most."""
    reach = max(high - low, least)
    ends = [end for interval in intervals for end in interval]
    return max(min([low, *ends]), low - reach), min(max([high, *ends]), high + reach)


def _nice_step(span, count):
    """1, 2 or 5 times a power of ten: the least that cuts a span into at most `count` parts."""
    if span <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(span / count))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power * count >= span * 0.999)


def _multiples(low, high, step):
    """The multiples of a step within a span."""
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _powers(low, high):
    """Round numbers for a logarithmic axis: 1, 2, 5, 10, … if few fall in, else powers of ten, at most six."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [factor * 10.0**power for power in decades for factor in (1, 2, 5)]
    return _thinned(_within(fine, low, high), _within([10.0**power for power in decades], low, high))


def _times(low, high):
    """Round times for a logarithmic axis, at most six."""
    if low < TIMES[0] or high > TIMES[-1]:
        return _powers(low, high)
    return _thinned(_within(TIMES, low, high), _within(COARSE_TIMES, low, high))


def _within(values, low, high):
    return [value for value in values if low <= value <= high]


def _thinned(fine, coarse):
    """The fine values if they are few, else the coarse ones if they are enough; of either every second, third, …."""
    values = fine if len(fine) <= 5 or len(coarse) < 3 else coarse
    return values[:: math.ceil(len(values) / 5) or 1]


def _linear_time(low, high, start, end):
    """A linear axis of time, in the unit that suits its end."""
    size, unit = next((size, unit) for size, unit, least in UNITS if high >= least)
    step = _nice_step((high - low) / size, 6)
    ticks = tuple((value * size, f"{_size(value, step)} {unit}") for value in _multiples(low / size, high / size, step))
    return Axis(low, high, start, end, False, ticks)


def _decimal(value, step):
    """A fraction with the digits that tell a step apart; two at least."""
    return f"{value:.{min(max(2, -math.floor(math.log10(step) + 1e-9)), 6)}f}"


def _size(value, step):
    """A number on an axis: 0.05, 1,500, 20 M."""
    if value == 0:
        return "0"
    if step < 1e-4 or abs(value) >= 1e15:
        return f"{value:.2g}".replace("-", wording.MINUS)
    if abs(value) >= 1e5:
        return _short(value)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{digits}f}".replace("-", wording.MINUS)


def _short(value):
    """A number in few signs: 0.05, 2 k, 20 M."""
    if abs(value) >= 1e15 or 0 < abs(value) < 1e-3:
        return f"{value:.0e}".replace("e+", "e").replace("-", wording.MINUS)
    for size, suffix in SUFFIXES:
        if abs(value) >= size * 10 or (abs(value) >= size and size > 1e3):
            return f"{value / size:.3g} {suffix}".replace("-", wording.MINUS)
    return f"{value:,.6g}".replace("-", wording.MINUS)
