"""Probabilities from a model and token ids, in the order of the sentences, fast: like lengths together, few shapes."""

import os
from collections import deque
from pathlib import Path

import numpy as np

from kmodels import backend, backends
from kmodels.data.batching import FILLER, assemble
from kmodels.prediction.shapes import AnyShapes, FixedShapes, plan

# Cells of a batch: where more of them gain no speed any more. Smaller batches hold sentences of more similar length.
CPU_BATCH_TOKENS = 512  # for each core
ACCELERATOR_BATCH_TOKENS = 32768
MOST_IN_FLIGHT = 2  # batches that the device has while the host makes the next one

# The fastest first, as `python benchmarks/predict.py --what=backends` measured them on a CPU. Of GPUs none was
# measured: PyTorch is the one whose usual package brings GPU kernels.
FASTEST_ON_CPU = {
    "words": ("jax", "tensorflow", "torch"),
    "encoder float32": ("jax", "tensorflow", "torch"),
    "encoder mixed": ("torch", "tensorflow", "jax"),
}
FASTEST_ON_GPU = ("torch", "jax", "tensorflow")
GPU_DRIVER = Path("/dev/nvidiactl")


def backend_for(config, name=None):
    """The backend to predict on: `name`, else KERAS_BACKEND, else that of this process, else the fastest installed.

    Args:
        config: the run's kmodels.config.RunConfig.
        name: of a backend, or None.

    Raises:
        InputError: as of kmodels.backend.resolve.
    """
    if name or os.environ.get("KERAS_BACKEND") or backend.running():
        return backend.resolve(name)
    if GPU_DRIVER.exists():
        order = FASTEST_ON_GPU
    elif config.architecture.is_encoder:
        order = FASTEST_ON_CPU["encoder float32" if config.precision == "float32" else "encoder mixed"]
    else:
        order = FASTEST_ON_CPU["words"]
    return next(filter(backend.is_installed, order), None) or backend.resolve()


class Predictor:
    """A classifier made ready for many sentences.

    Args:
        model: keras.Model from {"token_ids", "padding_mask"} to one vector a sentence, as logits, (batch, num_classes).
            Its weights may change later.
        padding_id: the token id that fills up.
        longest: the most tokens that a sentence has.
    """

    def __init__(self, model, padding_id, longest):
        framework = backends.current()
        self._start = framework.predict_function(model)
        self._padding_id = padding_id
        self._size = model.output_shape[-1]
        on_cpu = min(CPU_BATCH_TOKENS * (os.cpu_count() or 1), ACCELERATOR_BATCH_TOKENS)
        batch_tokens = ACCELERATOR_BATCH_TOKENS if framework.device_memory() else on_cpu
        self._shapes = (FixedShapes if framework.COMPILES_EACH_SHAPE else AnyShapes)(batch_tokens, longest)

    def probabilities(self, tokenized):
        """Probabilities of every class, of a model that gives logits.

        Args:
            tokenized: kmodels.data.tokenizers.TokenizedTexts.

        Returns:
            float32, (num_texts, num_classes), in the order of the texts.
        """
        return softmax(self.outputs(tokenized))

    def outputs(self, tokenized):
        """What the model gives for each text: float32, (num_texts, size), in the order of the texts.

        Args:
            tokenized: kmodels.data.tokenizers.TokenizedTexts.
        """
        lengths = tokenized.lengths
        labels = np.zeros(len(lengths), np.int32)
        found = np.zeros((len(lengths), self._size), np.float32)
        in_flight: deque = deque()
        for rows, length in plan(lengths, self._shapes):
            inputs, _, _ = assemble(tokenized, labels, rows, length, self._padding_id)
            in_flight.append((rows, self._start(inputs["token_ids"], inputs["padding_mask"])))
            if len(in_flight) > MOST_IN_FLIGHT:
                _collect(found, *in_flight.popleft())
        for rows, outputs in in_flight:
            _collect(found, rows, outputs)
        return found


def _collect(found, rows, outputs):
    """Waits for a batch, and puts its outputs where they belong."""
    real = rows != FILLER
    found[rows[real]] = outputs()[real]


def probabilities(model, batches):
    """Probabilities of every class.

    Args:
        model: keras.Model from {"token_ids", "padding_mask"} to logits.
        batches: kmodels.data.batching.Batches of the sentences; of these only sentences and padding are looked at.

    Returns:
        float32, (num_sentences, num_classes).
    """
    return Predictor(model, batches.padding_id, int(batches.buckets[-1])).probabilities(batches.tokenized)


def softmax(logits):
    """Logits to probabilities, over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
