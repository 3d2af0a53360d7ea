"""What kmodels.backends.tensorflow does besides what every backend does."""

import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import kmodels
from tests.backends.test_prepare import SETTINGS, TOLERANCE, made, outcome
from tests.reviews import tiny_settings, write_review_files

pytestmark = pytest.mark.backend


@pytest.fixture(autouse=True)
def _on_tensorflow(chosen_backend):
    if chosen_backend != "tensorflow":
        pytest.skip("the other backends have files of their own")


@pytest.fixture
def halved(monkeypatch):
    from kmodels.backends.tensorflow import halves

    monkeypatch.setattr(halves, "_halved", [True])


# Each half draws what it doesn't show, as it draws what it drops out.
WITHOUT_DRAWS = {name: settings for name, settings in SETTINGS.items() if "word_dropout" not in settings}


@pytest.mark.parametrize("settings", WITHOUT_DRAWS.values(), ids=WITHOUT_DRAWS)
def test_halves_of_a_batch_give_and_teach_what_the_batch_does(settings, halved):
    expected, got = (outcome(made("float32", settings, prepared, dropout=0.0)) for prepared in (False, True))
    for ours, theirs in zip(got[:2], expected[:2]):
        np.testing.assert_allclose(ours[:-1], theirs[:-1], atol=TOLERANCE["float32"] * np.abs(theirs).max())
    largest = max(np.linalg.norm(change) for change in expected[2].values())
    for path, theirs in expected[2].items():
        assert np.linalg.norm(got[2][path] - theirs) < TOLERANCE["float32"] * max(np.linalg.norm(theirs), largest), path


def test_a_batch_of_one_sentence_has_no_halves(halved):
    inputs = {"token_ids": np.array([[3, 4, 5]], "int32"), "padding_mask": np.ones((1, 3), bool)}
    model, whole = (made("float32", SETTINGS["mean"], prepared, dropout=0.0) for prepared in (True, False))
    model.compile(loss="mse")
    model.train_on_batch(inputs, np.zeros((1, 3)))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    model.set_weights(whole.get_weights())
    np.testing.assert_allclose(model.predict_on_batch(inputs), whole.predict_on_batch(inputs), atol=1e-5)


def test_halves_drop_other_elements_and_a_new_step_others_again(halved):
    ids = np.tile(np.arange(1, 8, dtype="int32"), (4, 1))
    model = made("float32", SETTINGS["mean"], True, dropout=0.5)
    import tensorflow as tf

    call = tf.function(lambda inputs: model(inputs, training=True))
    inputs = {"token_ids": tf.constant(ids), "padding_mask": tf.ones((4, 7), bool)}
    rows = np.concatenate([call(inputs).numpy(), call(inputs).numpy()])
    assert len(np.unique(rows.round(6), axis=0)) == 8


def test_a_model_that_looks_at_a_batch_or_is_someone_elses_is_not_halved(halved):
    import keras

    from kmodels.backends.tensorflow import halves

    class Own(keras.layers.Layer):
        def call(self, x):
            return x - keras.ops.mean(x, axis=0)

    def halved_with(layer):
        inputs = keras.Input((3,))
        model = keras.Model(inputs, layer(inputs))
        own = model.call
        halves.prepare(model)
        return model.call != own

    assert halved_with(keras.layers.Dense(2))
    assert not halved_with(keras.layers.BatchNormalization())
    assert not halved_with(keras.layers.Dense(2, activity_regularizer="l2"))
    assert not halved_with(keras.layers.Lambda(lambda x: x - x[0]))
    assert not halved_with(lambda x: x - keras.ops.mean(x, axis=0))
    assert not halved_with(Own())


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_each_of_the_encoders_is_halved(settings, halved):
    model = made("float32", settings, prepared=False)
    own = model.call
    from kmodels import backends

    backends.current().prepare(model)
    assert model.call != own


@pytest.mark.parametrize(
    ("kind", "intra", "inter", "expected"),
    [
        ("encoder", "2", "2", {"intra": 1, "inter": 2}),
        ("words", "2", "2", {}),
        ("encoder", "2", "1", {}),
        ("encoder", "4", "4", {}),
    ],
)
def test_only_for_encoders_and_only_of_two_cores_each_operation_gets_one(kind, intra, inter, expected, monkeypatch):
    """What TensorFlow would be told had it not started here; a process where it has not is in the next test."""
    import tensorflow as tf

    from kmodels import backends
    from kmodels.backends.tensorflow import halves

    told: dict[str, int] = {}
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", intra)
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", inter)
    monkeypatch.setattr(halves, "_halved", [])
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    for name in ("intra", "inter"):
        record = functools.partial(told.__setitem__, name)
        monkeypatch.setattr(tf.config.threading, f"set_{name}_op_parallelism_threads", record)
    backends.current().configure(trains_encoder=kind == "encoder")
    assert told == expected
    assert backends.current().num_streams() == (2 if expected else 1)


RUN = """
import json, sys
import kmodels
from kmodels import backends
record = kmodels.train(**json.loads(sys.argv[1]))
import tensorflow as tf
threads = tf.config.threading
print(threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads())
print(backends.current().num_streams(), record["best_validation_loss"])
"""


def test_a_run_in_halves_learns_what_a_whole_one_does(tmp_path):
    from kmodels.backends.tensorflow import halves

    files = write_review_files(tmp_path)
    whole, halved = (
        tiny_settings("bert_base_pool", files, tmp_path / name, epochs=2, dropout=0.0) for name in ("whole", "halved")
    )
    environment = os.environ | dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "2")
    environment |= {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", RUN, json.dumps(halved)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    intra, inter, streams, loss = result.stdout.split()[-4:]
    assert (intra, inter, streams) == ("1", "2", "2")
    assert halves.num_streams() == 1  # this process
    expected = kmodels.train(**whole)["best_validation_loss"]
    assert float(loss) == pytest.approx(expected, abs=1e-3) and expected < 0.69
