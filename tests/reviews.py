"""Short reviews that a model of any size learns at once, and the settings of a run of a second or two on them."""

import random

import numpy as np

from kmodels.architectures import ARCHITECTURES


def write_review_files(folder):
    """Writes train.tsv (96 sentences) and validation.tsv (32), two classes. Returns their paths."""
    numbers = random.Random(0)
    things, good, bad = ["film", "plot", "cast", "score"], ["fine", "great", "superb"], ["poor", "dull", "awful"]

    def line():
        label = numbers.randrange(2)
        words = [f"the {numbers.choice(things)} is {numbers.choice((bad, good)[label])}" for _ in range(3)]
        return f"{' and '.join(words[: numbers.randint(1, 3)])}\t{label}\n"

    paths = folder / "train.tsv", folder / "validation.tsv"
    for path, count in zip(paths, (96, 32)):
        path.write_text("sentence\tlabel\n" + "".join(line() for _ in range(count)), encoding="utf-8")
    return paths


def tiny_settings(model, review_files, output_dir, **settings):
    """A run of a second or two."""
    train_file, validation_file = map(str, review_files)
    if ARCHITECTURES[model].is_encoder:
        sizes = {"preset": "scratch:tiny", "learning_rate": 1e-3, "vocabulary_size": 300}
    else:
        sizes = {"embedding_dim": 8, "learning_rate": 1e-2}
    if model == "textcnn":
        sizes["num_filters"] = 8
    if model in ("bilstm", "bert_base_lstm"):
        sizes["lstm_units"] = 8
    defaults = {"epochs": 2, "batch_size": 16, "num_buckets": 1, "precision": "float32", "output_dir": str(output_dir)}
    files = {"train_file": train_file, "validation_file": validation_file}
    return {"model": model} | sizes | defaults | files | settings


def sentences(count):
    """Different sentences of 0 to 17 words, some of them good and some of them bad, in no order of length."""
    numbers = np.random.default_rng(0)
    words = ["the", "film", "is", "fine", "great", "poor", "dull", "and", "unheard-of"]
    return [" ".join(numbers.choice(words, numbers.integers(0, 18))) for _ in range(count)]
