"""Two training steps of each of the six at full size, on each backend: does it fit, and what is the peak?

    python benchmarks/full_size.py --output=results/full_size.json

Weights are random, so no download is needed: sizes are those of the published checkpoints. Every run is a process of
its own, so a peak is that of one model on one backend.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

BACKENDS = ("jax", "tensorflow", "torch")
# keras_hub's bert_base_en_uncased, bert_large_en_uncased, roberta_large_en; SST-2's words for the other two.
SIZES = {
    "textcnn": {"vocabulary_size": 15000},
    "bilstm": {"vocabulary_size": 15000},
    "bert_base_pool": {"kind": "BertBackbone", "vocabulary_size": 30522, "layers": 12, "dim": 768},
    "bert_large_pool": {"kind": "BertBackbone", "vocabulary_size": 30522, "layers": 24, "dim": 1024},
    "bert_base_lstm": {"kind": "BertBackbone", "vocabulary_size": 30522, "layers": 12, "dim": 768},
    "roberta_pool": {"kind": "RobertaBackbone", "vocabulary_size": 50265, "layers": 24, "dim": 1024},
}
LATER_STEPS = 1


def step(model_name, backend_name, batch_size, length):
    """Trains some steps on random tokens in this process. Returns {figure: value}."""
    from kmodels import backend
    from kmodels.config import RunConfig

    config = RunConfig(model=model_name).resolved(backend_name)
    backend.choose(backend_name)
    from kmodels import backends
    from kmodels.callbacks.peak_memory import peak_resident_bytes

    framework = backends.current()
    framework.configure()
    precision = framework.precision(config.architecture.is_encoder)
    model = _model(config, precision)
    losses, seconds = _train(model, batch_size, length)
    return {
        "model": model_name,
        "backend": backend_name,
        "precision": precision,
        "batch_size": batch_size,
        "length": length,
        "num_parameters": model.count_params(),
        "losses": losses,
        "peak_host_MB": peak_resident_bytes() / 2**20,
        "first_step_seconds": seconds[0],
        "later_step_seconds": min(seconds[1:]),
        "environment": framework.describe(),
    }


def _model(config, precision):
    """The classifier at full size, compiled as a run compiles it."""
    import keras

    from kmodels import models
    from kmodels.losses import SmoothedCrossEntropy
    from kmodels.optimizers import adamw

    keras.config.set_dtype_policy(precision)
    size = SIZES[config.model]
    model = models.build(config, 2, size["vocabulary_size"], backbone(size))
    optimizer = adamw(config.learning_rate, config.weight_decay, config.clip_norm)
    model.compile(optimizer, loss=SmoothedCrossEntropy())
    return model


def _train(model, batch_size, length):
    """([loss, …], [seconds, …]) of some steps on random tokens without padding."""
    import numpy as np

    numbers = np.random.default_rng(0)
    token_ids = numbers.integers(5, 10000, (batch_size, length)).astype("int32")
    inputs = {"token_ids": token_ids, "padding_mask": np.ones((batch_size, length), bool)}
    labels = numbers.integers(0, 2, batch_size).astype("int32")
    losses, seconds = [], []
    for _ in range(1 + LATER_STEPS):
        start = time.perf_counter()
        losses.append(float(model.train_on_batch(inputs, labels)))
        seconds.append(time.perf_counter() - start)
    return losses, seconds


def backbone(size):
    """The KerasHub encoder of an entry of SIZES with random weights; None for the models over words."""
    if "kind" not in size:
        return None
    import keras_hub

    return getattr(keras_hub.models, size["kind"])(
        vocabulary_size=size["vocabulary_size"],
        num_layers=size["layers"],
        num_heads=size["dim"] // 64,
        hidden_dim=size["dim"],
        intermediate_dim=4 * size["dim"],
    )


def main():
    """Runs every model on every backend and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="results/full_size.json")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--only", help=argparse.SUPPRESS)  # MODEL:BACKEND, one run in this process
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(step(*arguments.only.split(":"), arguments.batch_size, arguments.length)))
        return
    rows = []
    for run in itertools.product(SIZES, BACKENDS):
        command = [sys.executable, __file__, f"--only={':'.join(run)}"]
        command += [f"--batch_size={arguments.batch_size}", f"--length={arguments.length}"]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(result.stdout.splitlines()[-1]))
        print(*run, f"{rows[-1]['peak_host_MB']:.0f} MiB", rows[-1]["losses"], flush=True)
        Path(arguments.output).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
