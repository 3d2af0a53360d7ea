"""What `backends.current().prepare` makes of a model: on each backend the same model, whoever computes it."""

import numpy as np
import pytest

pytestmark = pytest.mark.backend

# Of the largest number, or the length, of what is compared.
TOLERANCE = {"float32": 3e-5, "mixed_bfloat16": 3e-2}
SETTINGS = {
    "mean": {"name": "bert_base_pool", "pooling": "mean"},
    "first token": {"name": "bert_base_pool", "pooling": "pooler"},
    "roberta": {"name": "roberta_pool", "pooling": "first"},
    "lstm": {"name": "bert_base_lstm", "lstm_units": 8},
    "lstm that is not shown all": {"name": "bert_base_lstm", "lstm_units": 8, "word_dropout": 0.4},
    "low rank": {"name": "bert_base_pool", "lora_rank": 2},
    "frozen": {"name": "bert_base_pool", "pooling": "mean", "frozen_layers": 1},
}


def batch():
    """Token ids of sentences of several lengths; the last one is a filler without any token."""
    ids = np.random.default_rng(0).integers(1, 200, (6, 9)).astype("int32")
    lengths = np.array([9, 9, 4, 1, 7, 0])
    return {"token_ids": ids, "padding_mask": np.arange(9) < lengths[:, None]}


def made(precision, settings, prepared, dropout=0.1):
    import keras

    import kmodels
    from kmodels import backends

    backends.current().configure()
    keras.utils.set_random_seed(1)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = kmodels.build(
            preset="scratch:tiny", vocabulary_size=200, num_classes=3, dropout=dropout, seed=1, **settings
        )
    finally:
        keras.config.set_dtype_policy(before)
    if prepared:
        backends.current().prepare(model)
    return model


def outcome(model):
    """[logits, logits while training, {path: change of a weight by one step against the gradient}] of a model."""
    import keras

    inputs, weights = batch(), np.array([1.0, 1, 1, 1, 1, 0], "float32")
    logits = [keras.ops.convert_to_numpy(model(inputs, training=training)) for training in (False, True)]
    before = {variable.path: variable.numpy() for variable in model.trainable_variables}
    model.compile(keras.optimizers.SGD(1.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train_on_batch(inputs, np.array([0, 1, 2, 0, 1, 2]), sample_weight=weights)
    changes = {variable.path: variable.numpy() - before[variable.path] for variable in model.trainable_variables}
    return [*logits, changes]


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_prepared_model_gives_the_same_and_learns_the_same(precision, settings):
    expected, got = (outcome(made(precision, settings, prepared)) for prepared in (False, True))
    for ours, theirs in zip(got[:2], expected[:2]):
        assert np.isfinite(ours).all()
        ours, theirs = ours[:-1], theirs[:-1]  # a filler's weigh nothing
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE[precision] * np.abs(theirs).max())
    assert got[2].keys() == expected[2].keys()
    largest = max(np.linalg.norm(change) for change in expected[2].values())
    for path, theirs in expected[2].items():
        # Some gradients are 0 but for rounding, as a key's bias is, or less than a weight's last digit.
        scale = max(np.linalg.norm(theirs), 1e-2 * largest)
        assert np.linalg.norm(got[2][path] - theirs) < TOLERANCE[precision] * scale, path
