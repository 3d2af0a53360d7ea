"""What each job of benchmarks/speed.py is with kmodels: an epoch, its first step alone, or sentences to token ids."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import kmodels
from kmodels import backend

RECORDED = ("compile_seconds", "real_token_fraction", "gflops", "matrix_product_gflops", "fraction_of_peak")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", choices=("epoch", "start", "tokens"), default="epoch")
    parser.add_argument("--settings", type=json.loads, required=True, help="of kmodels.train, as JSON")
    arguments = parser.parse_args()
    settings = arguments.settings
    backend.run_as_command()  # as train.py
    backend.choose(backend.resolve(settings["backend"]))
    import keras  # noqa: F401  imports are not timed

    if "preset" in settings:
        import keras_hub  # noqa: F401
    jobs = {"epoch": epoch, "start": first_step, "tokens": tokens}
    print(json.dumps(jobs[arguments.job](settings)))


def epoch(settings):
    """One epoch, from the files to its last step and to the record; and from the process's start to its first step."""
    import keras

    class Steps(keras.callbacks.Callback):
        first_seconds = None

        def on_train_batch_begin(self, batch, logs=None):
            if self.first_seconds is None:
                self.begin = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.loss = logs["loss"]
            if self.first_seconds is None:
                float(self.loss)  # it has been done, not only begun
                self.first_seconds = time.time() - psutil.Process().create_time()

        def on_test_begin(self, logs=None):
            float(self.loss)
            self.last = time.perf_counter()
            self.num_rows = rows.rows

    steps, rows = Steps(), TimedRows()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        record = kmodels.train(**settings, epochs=1, output_dir=f"{folder}/run", callbacks=[steps])
        whole_seconds = time.perf_counter() - start
    # Of all steps: in a short epoch, those that are no length's first are mostly of short sentences.
    steady_per_second = steps.num_rows / (steps.last - steps.begin - record["compile_seconds"])
    return {
        "seconds": steps.last - start,
        "whole_seconds": whole_seconds,
        "steady_per_second": steady_per_second,
        "first_step_seconds": steps.first_seconds,
        "input_fraction": rows.seconds_per_row * steady_per_second,
        "accuracy": record["best_validation_accuracy"],
        **{name: record.metrics[name] for name in RECORDED if name in record.metrics},
        "num_lengths": record.config["num_buckets"],
        "environment": record.environment,
    }


def first_step(settings):
    """From the process's start to the first step's end, where the run is given up."""
    import keras

    class Done(Exception):
        pass

    class FirstStep(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            float(logs["loss"])
            self.seconds = time.time() - psutil.Process().create_time()
            raise Done

    step = FirstStep()
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Done):
        kmodels.train(**settings, epochs=1, output_dir=f"{folder}/run", callbacks=[step])
    return {"first_step_seconds": step.seconds}


class TimedRows:
    """Times how long batches are assembled, whether the device has work meanwhile or not."""

    def __init__(self):
        from kmodels.data import batching

        self.seconds, self.rows, self._assemble = 0.0, 0, batching.assemble
        batching.assemble = self

    def __call__(self, tokenized, labels, rows, length, padding_id):
        start = time.perf_counter()
        batch = self._assemble(tokenized, labels, rows, length, padding_id)
        self.seconds += time.perf_counter() - start
        self.rows += len(rows)
        return batch

    @property
    def seconds_per_row(self):
        return self.seconds / self.rows


def tokens(settings):
    """SST-2 to token ids, by a vocabulary of its words or an encoder's tokenizer: the first time, and the second."""
    from kmodels import corpus
    from kmodels.config import RunConfig
    from kmodels.data import token_cache
    from kmodels.models import presets

    config = RunConfig(**settings).resolved(settings["backend"])
    texts = corpus.load_dataset(config).train.texts
    known = presets.load_token_table(config.preset)[0] if config.preset else None
    seconds = []
    with tempfile.TemporaryDirectory() as folder:  # not what an earlier turn left
        os.environ["KMODELS_CACHE"] = folder
        for _ in range(2):
            start = time.perf_counter()
            tokenizer = known or token_cache.words(texts, config.vocabulary_size)
            token_cache.encode(tokenizer, texts, config.max_length)
            seconds.append(time.perf_counter() - start)
    return {"first_seconds": seconds[0], "cached_seconds": seconds[1], "num_texts": len(texts)}


if __name__ == "__main__":
    main()
