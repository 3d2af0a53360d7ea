"""Sentences on which an exported model is compared with its run: random tokens of every length."""

import numpy as np
from safetensors.numpy import load_file, save_file

from kmodels.errors import RunError

NUM_SENTENCES = 64
BATCH_SIZES = (16, 16, 16, 16, 3, 1)  # the last ones hold some of the sentences again
TOLERANCE = 1e-4  # between logits: absolute, or of the largest one where that is above 1


def make(vocabulary_size, max_length, padding_id):
    """Batches of the shapes that a model must take.

    Args:
        vocabulary_size: token ids are below this.
        max_length: of the longest sentence, in tokens; the shortest has 1.
        padding_id: the id that fills up.

    Returns:
        [{"token_ids": int32, (batch, length); "padding_mask": bool, (batch, length)}, …]; sizes as in BATCH_SIZES.
    """
    numbers = np.random.default_rng(0)
    lengths = np.linspace(1, max_length, NUM_SENTENCES).round().astype(int)
    ids = numbers.integers(0, vocabulary_size, (NUM_SENTENCES, max_length), np.int32)
    rows = [*np.split(np.arange(NUM_SENTENCES), 4), np.array([0, 20, 40]), np.array([50])]
    batches = []
    for chosen in rows:
        length = lengths[chosen].max()
        padding_mask = np.arange(length) < lengths[chosen][:, None]  # (batch, length)
        token_ids = np.where(padding_mask, ids[chosen, :length], padding_id).astype(np.int32)
        batches.append({"token_ids": token_ids, "padding_mask": padding_mask})
    return batches


def write(path, batches, expected):
    """Keeps batches and the logits that belong to them, [float32, (batch, num_classes), …], in a file."""
    arrays = {f"{number}/{name}": array for number, batch in enumerate(batches) for name, array in batch.items()}
    save_file(arrays | {f"{number}/logits": logits for number, logits in enumerate(expected)}, path)


def read(path):
    """What `write` was given: (batches, expected)."""
    arrays = load_file(path)
    numbers = range(len(BATCH_SIZES))
    batches = [{name: arrays[f"{number}/{name}"] for name in ("token_ids", "padding_mask")} for number in numbers]
    return batches, [arrays[f"{number}/logits"] for number in numbers]


def compare(call, batch_size, batches, expected, name):
    """The largest difference between a function's logits and the expected ones.

    Args:
        call: function from token_ids and padding_mask to logits.
        batch_size: the one size of batch that it takes, then 1; None for any.
        batches, expected: as `read` gives them.
        name: of the model, for the message.

    Raises:
        RunError: it is above TOLERANCE.
    """
    differences = []
    for batch, logits in zip(batches, expected):
        rows = [batch] if batch_size is None else [_row(batch, number) for number in range(len(logits))]
        found = np.concatenate([np.asarray(call(**row)) for row in rows])
        if found.shape != logits.shape:
            raise RunError(f"{name} gives logits of the shape {found.shape}, the run {logits.shape}")
        differences.append(np.abs(found - logits).max())
    difference = float(np.max(differences))  # not Python's max, which passes over a NaN
    allowed = TOLERANCE * max(1, *(float(np.abs(logits).max()) for logits in expected))
    if not difference <= allowed:
        raise RunError(f"{name} gives other logits than the run, by up to {difference:.2g}; {allowed:.2g} is allowed")
    return difference


def _row(batch, number):
    return {name: array[number : number + 1] for name, array in batch.items()}
