"""Callbacks that each measure one thing, for any Keras model on any backend.

`BestEpoch` and `PeakMemory` work in any `model.fit`; the others serve kmodels' own training.
"""

from kmodels.callbacks.best_epoch import BestEpoch
from kmodels.callbacks.peak_memory import PeakMemory

__all__ = ["BestEpoch", "PeakMemory"]
