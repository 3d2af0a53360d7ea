"""The same probabilities whatever shares a batch, on the backend that is asked for or the fastest one."""

import numpy as np
import pytest

from kmodels import backend, prediction
from kmodels.config import BACKENDS, RunConfig
from kmodels.errors import InputError
from kmodels.prediction.shapes import plan
from tests.reviews import sentences


def test_the_fastest_installed_backend_is_taken_unless_one_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(backend, "running", lambda: None)
    monkeypatch.setattr(prediction, "GPU_DRIVER", tmp_path / "none")
    words = RunConfig(model="textcnn")
    encoder = RunConfig(model="bert_base_pool", precision="mixed_bfloat16")
    for config, order in (
        (words, prediction.FASTEST_ON_CPU["words"]),
        (encoder, prediction.FASTEST_ON_CPU["encoder mixed"]),
        (RunConfig(model="roberta_pool", precision="float32"), prediction.FASTEST_ON_CPU["encoder float32"]),
    ):
        assert sorted(order) == sorted(BACKENDS)
        for missing in range(3):
            monkeypatch.setattr(backend, "is_installed", lambda name, gone=order[:missing]: name not in gone)
            assert prediction.backend_for(config) == order[missing]
    monkeypatch.setattr(backend, "is_installed", lambda name: True)
    monkeypatch.setattr(prediction, "GPU_DRIVER", tmp_path)
    assert prediction.backend_for(words) == prediction.FASTEST_ON_GPU[0]
    assert [prediction.backend_for(words, name) for name in BACKENDS] == list(BACKENDS)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert prediction.backend_for(words) == "tensorflow"
    with pytest.raises(InputError, match="disagree"):
        prediction.backend_for(words, "jax")


@pytest.mark.backend
@pytest.mark.parametrize("model", ["textcnn", "bilstm", "bert_base_pool", "roberta_pool"])
def test_probabilities_do_not_depend_on_what_shares_a_batch_and_equal_models_own(record_of, model, monkeypatch):
    import kmodels
    from kmodels.data.batching import assemble

    classifier = kmodels.load(record_of(model).output_dir)
    kernel, bias = classifier.model.get_layer("logits").get_weights()
    classifier.model.get_layer("logits").set_weights([10 * kernel, bias])  # hardly trained, it tells little apart
    texts = sentences(40)
    tokenized = classifier.tokenizer.encode(texts, classifier.config.max_length)
    longest = int(tokenized.lengths.max()) + 3
    inputs, _, _ = assemble(tokenized, np.zeros(40, int), np.arange(40), longest, classifier.tokenizer.padding_id)
    expected = prediction.softmax(np.asarray(classifier.model.predict(inputs, batch_size=40, verbose=0)))
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-6)
    assert np.ptp(expected[:, 0]) > 1e-3  # the sentences are told apart
    np.testing.assert_allclose(classifier.predict_proba(texts), expected, rtol=0, atol=1e-5)
    monkeypatch.setattr(prediction, "CPU_BATCH_TOKENS", 150)
    predictor = prediction.Predictor(classifier.model, classifier.tokenizer.padding_id, longest)
    np.testing.assert_allclose(predictor.probabilities(tokenized), expected, rtol=0, atol=1e-5)
    for size in (1, 7):
        parts = [classifier.predict_proba(texts[start : start + size]) for start in range(0, 14, size)]
        np.testing.assert_allclose(np.concatenate(parts), expected[:14], rtol=0, atol=1e-5)


@pytest.mark.backend
def test_a_predictor_follows_weights_that_change(record_of):
    import kmodels

    classifier = kmodels.load(record_of().output_dir)
    texts = sentences(5)
    before = classifier.predict_proba(texts)
    classifier.model.predict_on_batch(  # Keras's own loop may give the arrays of the weights away
        {"token_ids": np.ones((2, 4), np.int32), "padding_mask": np.ones((2, 4), bool)}
    )
    np.testing.assert_array_equal(classifier.predict_proba(texts), before)
    layer = classifier.model.get_layer("logits")
    layer.set_weights([-weight for weight in layer.get_weights()])
    np.testing.assert_allclose(classifier.predict_proba(texts), before[:, ::-1], rtol=0, atol=1e-6)


@pytest.mark.backend
def test_nothing_gives_no_probabilities(record_of):
    import kmodels

    classifier = kmodels.load(record_of().output_dir)
    assert classifier.predictor.probabilities(classifier.tokenizer.encode([], 16)).shape == (0, 2)


@pytest.mark.backend
def test_no_window_compiles_what_was_compiled_before():
    import keras

    from kmodels import backends
    from kmodels.data.tokenizers import TokenizedTexts
    from kmodels.models.inputs import token_inputs

    calls = []

    class Sum(keras.layers.Layer):
        def call(self, token_ids, padding_mask):
            calls.append(token_ids.shape)
            ids = keras.ops.cast(token_ids, "float32") * keras.ops.cast(padding_mask, "float32")
            total = keras.ops.sum(ids, axis=1, keepdims=True)
            return keras.ops.concatenate([total, -total], axis=1)

    inputs = token_inputs()
    model = keras.Model(inputs, keras.layers.Dense(2)(Sum()(inputs["token_ids"], inputs["padding_mask"])))
    calls.clear()  # those that built it
    predictor = prediction.Predictor(model, 0, 64)
    numbers = np.random.default_rng(0)

    def window():
        lengths = numbers.integers(0, 64, numbers.integers(1, 300))
        return TokenizedTexts(np.ones(lengths.sum(), np.int32), np.concatenate([[0], lengths.cumsum()]))

    num_batches = 0
    for tokenized in (window() for _ in range(30)):
        predictor.probabilities(tokenized)
        num_batches += sum(1 for _ in plan(tokenized.lengths, predictor._shapes))
    if backends.current().COMPILES_EACH_SHAPE:
        assert len(calls) == len(set(calls)) <= len(predictor._shapes.needed(300))
    else:  # one graph for all shapes, or none
        assert len(calls) in (1, num_batches)
