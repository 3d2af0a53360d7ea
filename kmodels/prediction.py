"""Probabilities from a model and token ids, in the order of the sentences."""

import numpy as np


def probabilities(model, batches):
    """Probabilities of every class.

    Args:
        model: keras.Model from {"token_ids", "padding_mask"} to logits.
        batches: kmodels.data.batching.Batches of the sentences; its labels are not looked at.

    Returns:
        float32, (num_sentences, num_classes).
    """
    found = None
    plan = batches.plan()
    for rows, (inputs, _, weights) in zip(plan.rows, batches.iterate()):
        logits = np.asarray(model.predict_on_batch(inputs), np.float32)
        if found is None:
            found = np.zeros((len(batches.labels), logits.shape[-1]), np.float32)
        real = weights > 0
        found[rows[real]] = softmax(logits[real])
    return found


def softmax(logits):
    """Logits to probabilities, over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
