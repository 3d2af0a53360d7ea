"""kmodels trains sentence classifiers with Keras 3 on JAX, TensorFlow or PyTorch, and measures what each run cost.

>>> import kmodels
>>> record = kmodels.train(model="textcnn", dataset="sample", epochs=2)
>>> sorted(record.metrics)[:2]
['best_epoch', 'best_validation_accuracy']

Importing this loads no framework: each name is loaded when it is first used.
"""

import importlib

__version__ = "0.4.0"

_HOMES = {
    "train": "kmodels.training",
    "load": "kmodels.inference",
    "build": "kmodels.inference",
    "Classifier": "kmodels.inference",
    "Evaluation": "kmodels.evaluation",
    "RunConfig": "kmodels.config",
    "Record": "kmodels.records",
    "read": "kmodels.records",
    "InputError": "kmodels.errors",
    "RunError": "kmodels.errors",
    "Interrupted": "kmodels.errors",
    "ARCHITECTURES": "kmodels.architectures",
}
_MODULES = ("callbacks", "backend", "config", "extensions", "records")

__all__ = ["__version__", *_HOMES, "callbacks", "extensions"]


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"kmodels.{name}")
    raise AttributeError(f"module 'kmodels' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
