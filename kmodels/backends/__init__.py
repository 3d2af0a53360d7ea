"""What differs between the frameworks: one file each, the same few functions in every one.

configure(deterministic, trains_encoder)
                                 settings of the framework that all runs share
feed(batches, num_steps)         what `model.fit` reads, from a function that starts an iterator of batches
predict_function(model)          a model as a function that starts it on a batch and waits only when asked to
COMPILES_EACH_SHAPE              whether a batch of a new shape costs that function, or training, a compilation
prepare(model)                   how this backend computes what Keras would do slowly; the model stays what it is
optimizer_class(kind)            Keras's optimizer as this backend should run it
num_streams()                    how many operations this process has side by side, each with its share of the cores
is_settled(model)                whether all weights are as all steps have left them, and may be saved
average(averages, variables, part)
                                 moves averages towards weights, by that part of the way
device_memory()                  [DeviceMemory, …] of the accelerators the framework measures; empty on a CPU
reset_peak_device_memory()       peaks start anew
random_state()                   the framework's own random generators as JSON; None where it has none
set_random_state(state)          puts them back
precision(is_encoder)            the fastest number format here that keeps accuracy
describe()                       {"device": …, "devices": …, versions} for environment.json
join(group, met, seconds)        makes this process one of several workers; before anything is computed
leave()                          makes it one that works alone again
alone()                          a context in which it works without the other workers
all_reduce(values, operation)    numbers of all workers, added up, or the largest of each; all must ask at once
TELLS_OF_WHOLE_BATCHES           whether each worker's figures are of all workers' parts of a batch
WORKER_ERRORS                    what is raised where another worker is lost
reason_of(error)                 what such an error says, in one line
"""

import importlib
from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceMemory:
    """What one accelerator's allocator says, in bytes."""

    current: int
    peak: int


def current():
    """The module of the backend that Keras runs on in this process."""
    import keras

    return importlib.import_module(f"kmodels.backends.{keras.config.backend()}")
