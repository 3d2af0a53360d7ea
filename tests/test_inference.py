"""A trained model from Python and from `kmodels evaluate`, on tiny runs of the six; and the six untrained."""

import dataclasses
import doctest
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kmodels
from kmodels import backend, cli, evaluation, inference
from kmodels.architectures import ARCHITECTURES
from kmodels.config import BACKENDS
from kmodels.prediction.answers import WholeFile
from tests.hostile.attacks import write_hugging_face

pytestmark = pytest.mark.backend

ROOT = Path(__file__).parent.parent
TEXTS = ["the film is great", "", "the plot is awful and the cast is dull and the score is poor", "unheard-of words"]
CLOSE = {"rel": 0, "abs": 1e-6}


@pytest.fixture(scope="module")
def classifier_of(record_of):
    """A function from a model's name to the kmodels.Classifier of that run, loaded once."""
    classifiers = {}

    def classifier(model="textcnn"):
        if model not in classifiers:
            classifiers[model] = kmodels.load(record_of(model).output_dir)
        return classifiers[model]

    return classifier


def rows_of(path):
    """(texts, labels) of a review file."""
    return zip(*(line.split("\t") for line in path.read_text().splitlines()[1:]))


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_a_run_predicts_and_evaluates_as_it_was_validated(model, record_of, classifier_of, shared_files):
    record, classifier = record_of(model), classifier_of(model)
    probabilities = classifier.predict_proba(TEXTS)
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (4, 2))
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert classifier.predict(TEXTS) == classifier.classes_[probabilities.argmax(axis=1)].tolist()
    found = classifier.evaluate()
    assert found.accuracy == pytest.approx(record["best_validation_accuracy"], abs=1e-6)
    assert found.loss == pytest.approx(record["best_validation_loss"], abs=1e-5)
    assert classifier.evaluate(file=shared_files[1]).to_json() == found.to_json()
    assert classifier.evaluate(*rows_of(shared_files[1])).to_json() == found.to_json()


@pytest.mark.one_backend
@pytest.mark.parametrize("model", ["textcnn", "roberta_pool"])
def test_a_run_may_be_moved(model, record_of, classifier_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(record_of(model).output_dir, "moved")
    before = classifier_of(model).predict_proba(TEXTS)
    assert kmodels.load("moved").predict_proba(TEXTS) == pytest.approx(before, **CLOSE)
    assert inference.settings_of("moved") == (classifier_of(model).config, ("0", "1"))


@pytest.mark.one_backend
def test_texts_come_as_any_iterable_and_may_be_none_at_all(classifier_of):
    classifier = classifier_of()
    expected = classifier.predict_proba(TEXTS)
    for texts in (tuple(TEXTS), (text for text in TEXTS), np.array(TEXTS), dict.fromkeys(TEXTS)):
        assert classifier.predict_proba(texts) == pytest.approx(expected, **CLOSE)
    empty = classifier.predict_proba([])
    assert (empty.dtype, empty.shape) == (np.float32, (0, 2))
    assert classifier.predict([]) == []


@pytest.mark.one_backend
@pytest.mark.parametrize("texts", ["the film is great", b"bytes", ["good", None], [["the", "film"]], 3, None])
def test_what_is_not_several_texts_is_a_type_error(classifier_of, texts):
    for method in (classifier_of().predict, classifier_of().predict_proba):
        with pytest.raises(TypeError, match=r"str|iterable"):
            method(texts)


@pytest.mark.one_backend
def test_the_longest_sentence_stays_the_runs(classifier_of):
    classifier = classifier_of()
    short = dataclasses.replace(classifier, config=dataclasses.replace(classifier.config, max_length=4))
    cut, whole = ["the film is awful"], ["the film is awful and the cast is great"]
    assert short.predict_proba(whole) == pytest.approx(classifier.predict_proba(cut), **CLOSE)
    assert classifier.predict_proba(whole) != pytest.approx(classifier.predict_proba(cut), abs=1e-3)


@pytest.mark.one_backend
def test_labels_are_names_or_numbers_of_classes(classifier_of):
    names = [classifier_of().evaluate(TEXTS, labels).to_json() for labels in (["1", "0", "0", "1"], [1, 0, 0, 1])]
    assert names[0] == names[1]
    assert names[0]["confusion_matrix"][1][1] == 1 + (classifier_of().predict(TEXTS[3:]) == ["1"])


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": ["a"]}, "texts and labels, or a file"),
        ({"labels": [0]}, "texts and labels, or a file"),
        ({"texts": ["a"], "labels": [0], "file": "x.tsv"}, "texts and labels, or a file"),
        ({"texts": ["a"], "labels": [0, 1]}, "1 texts and 2 labels"),
        ({"texts": ["a"], "labels": [2]}, "got 2"),
        ({"texts": [], "labels": []}, "at least one sentence"),
        ({"text_column": "text"}, "got no file"),
        ({"file": "nowhere.tsv"}, "no such file"),
    ],
)
def test_what_can_not_be_evaluated_is_an_input_error(classifier_of, arguments, message):
    with pytest.raises(kmodels.InputError, match=message):
        classifier_of().evaluate(**arguments)


@pytest.mark.one_backend
def test_the_examples_give_what_they_show(record_of):
    results = doctest.testmod(inference, extraglobs={"folder": record_of("textcnn").output_dir})
    assert results.attempted >= 6
    assert results.failed == 0


# The command


def other_backend(chosen):
    """Another backend than the one of this process, if there is one; not the one that a process takes unasked."""
    return next((name for name in reversed(BACKENDS) if name != chosen and backend.is_installed(name)), chosen)


def test_the_command_gives_json_to_a_pipe_on_any_backend(
    record_of, classifier_of, shared_files, tmp_path, chosen_backend
):
    name, predictions = other_backend(chosen_backend), tmp_path / "predictions.jsonl"
    folder = shutil.copytree(record_of("textcnn").output_dir, tmp_path / "elsewhere")
    command = [sys.executable, "-m", "kmodels", "evaluate", folder, f"--file={shared_files[1]}", f"--backend={name}"]
    environment = {variable: value for variable, value in os.environ.items() if variable != "KERAS_BACKEND"}
    done = subprocess.run(
        [*command, f"--predictions={predictions}"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = classifier_of().evaluate(file=shared_files[1]).to_json()
    assert (found["backend"], found["model"], found["run"]) == (name, "textcnn", str(folder))
    assert found["label_names"] == ["0", "1"]
    assert found["confusion_matrix"] == expected["confusion_matrix"]
    for figure in evaluation.FIGURES:
        assert found[figure] == pytest.approx(expected[figure], abs=1e-5)
    lines = [json.loads(line) for line in predictions.read_text().splitlines()]
    texts, labels = rows_of(shared_files[1])
    assert [line["number"] for line in lines] == list(range(32))
    assert [line["label"] for line in lines] == list(labels)
    saved = [[line["probabilities"][name] for name in ("0", "1")] for line in lines]
    assert saved == pytest.approx(classifier_of().predict_proba(texts), abs=1e-5)


@pytest.fixture
def command(chosen_backend, capsys):
    """A function that runs `kmodels evaluate` in this process: (exit status, stdout, stderr)."""

    def call(*arguments):
        capsys.readouterr()  # what a fixture's training said
        status = cli.main(["kmodels", "evaluate", *map(str, arguments)])
        return status, *capsys.readouterr()

    return call


def test_the_backend_asked_for_is_the_one_that_runs(command, record_of, chosen_backend, monkeypatch):
    folder, other = record_of("textcnn").output_dir, other_backend(chosen_backend)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert json.loads(command(folder, f"--backend={chosen_backend}")[1])["backend"] == chosen_backend
    if other != chosen_backend:  # this process has its framework already
        assert f"start a new process to use {other}" in command(folder, f"--backend={other}")[2]


@pytest.mark.one_backend
def test_without_a_file_the_command_takes_the_runs_validation_data(command, record_of, shared_files):
    status, out, _ = command(record_of("textcnn").output_dir)
    assert status == 0
    assert json.loads(out)["data"] == str(shared_files[1])
    assert json.loads(out)["loss"] == pytest.approx(record_of("textcnn")["best_validation_loss"], abs=1e-5)


@pytest.mark.one_backend
def test_a_terminal_gets_a_table_unless_json_is_asked_for(command, record_of, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    folder = record_of("textcnn").output_dir
    status, out, _ = command(folder)
    assert status == 0
    assert "macro F1" in out and "label \\ predicted" in out and "{" not in out
    status, out, _ = command(folder, "--json")
    assert json.loads(out)["num_sentences"] == 32


@pytest.mark.one_backend
def test_help_is_there(command):
    status, out, _ = command("--help")
    assert status == 0
    for flag in ("file", "text_column", "label_column", "predictions", "backend", "json"):
        assert f"--{flag}" in out


@pytest.mark.one_backend
def test_predictions_go_where_a_link_leads_and_nothing_else_is_left(command, folder_of_wrong_inputs):
    Path("link.jsonl").symlink_to("folder/saved.jsonl")
    assert command("run", "--file=good.tsv", "--predictions=link.jsonl")[0] == 0
    assert Path("link.jsonl").is_symlink()
    assert [path.name for path in Path("folder").iterdir()] == ["saved.jsonl"]
    assert json.loads(Path("link.jsonl").read_text())["label"] == "1"


@pytest.mark.one_backend
def test_saved_probabilities_are_the_very_numbers(tmp_path):
    from kmodels.commands.evaluate import write_predictions

    probabilities = np.random.default_rng(0).dirichlet([1, 1], 50).astype("float32")
    with WholeFile(tmp_path / "saved.jsonl") as file:
        write_predictions(file, probabilities, np.zeros(50, int), ("ä\ud800", "b"))
    lines = [json.loads(line) for line in (tmp_path / "saved.jsonl").read_text().splitlines()]
    assert lines[0]["label"] == "ä\ud800"
    read = np.array([[*line["probabilities"].values()] for line in lines], np.float32)
    assert (read == probabilities).all()


@pytest.fixture
def folder_of_wrong_inputs(record_of, tmp_path, monkeypatch):
    """The working folder of a test: a run without its data, and files that don't fit."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(record_of("textcnn").output_dir, "run")
    config = json.loads(Path("run/config.json").read_text()) | {"validation_file": "gone.tsv"}
    Path("run/config.json").write_text(json.dumps(config))
    Path("good.tsv").write_text("sentence\tlabel\nfine\t1\n")
    Path("neutral.tsv").write_text("sentence\tlabel\nfine\t1\nso so\tneutral\n")
    Path("other.tsv").write_text("words\tlabel\nfine\t1\n")
    Path("empty.tsv").write_text("sentence\tlabel\n")
    Path("folder").mkdir()
    os.mkfifo("pipe")
    return tmp_path


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "evaluate needs one run's folder"),
        (["run", "good.tsv"], "evaluate needs one run's folder"),
        (["run", "--fil=good.tsv"], "unknown flag --fil; did you mean --file?"),
        (["run", "--json=perhaps"], "json"),
        (["nowhere", "--file=good.tsv"], "nowhere holds no trained model"),
        (["folder", "--file=good.tsv"], "folder holds no trained model"),
        (["run"], "gone.tsv); give labelled sentences with --file"),
        (["run", "--file=nowhere.tsv"], "no such file"),
        (["run", "--file=neutral.tsv"], "neutral.tsv:3: expected only labels that the run knows ('0', '1'), got"),
        (["run", "--file=other.tsv"], "name one with --text_column"),
        (["run", "--file=good.tsv", "--text_column=words"], "expected a column named 'words'"),
        (["run", "--file=good.tsv", "--label_column=sentence"], "expected text and label in two columns"),
        (["run", "--file=empty.tsv"], "at least one row"),
        (["run", "--text_column=sentence"], "got no file"),
        (["run", "--file=good.tsv", "--backend=keras"], "backend must be one of"),
        (["run", "--file=good.tsv", "--predictions=nowhere/p.jsonl"], "a folder that exists"),
        (["run", "--file=good.tsv", "--predictions=folder"], "a folder that exists"),
        (["run", "--file=good.tsv", "--predictions=./good.tsv"], "another file than the one that is read"),
        (["run", "--file=good.tsv", "--predictions=pipe"], "pipe can't be written: it is no plain file"),
    ],
)
def test_a_wrong_input_gets_one_line_and_leaves_nothing(
    command, folder_of_wrong_inputs, arguments, message, monkeypatch
):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    before = {path: path.read_bytes() for path in folder_of_wrong_inputs.rglob("*") if path.is_file()}
    status, out, err = command(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err
    assert {path: path.read_bytes() for path in folder_of_wrong_inputs.rglob("*") if path.is_file()} == before


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("model.json", "label_names", ["a", "a"], "must differ"),
        ("config.json", "embedding_dim", None, "embedding_dim"),
    ],
)
def test_a_damaged_run_gets_one_line(command, folder_of_wrong_inputs, name, place, value, message):
    path = Path("run") / name
    path.write_text(json.dumps(json.loads(path.read_text()) | {place: value, "embeddings": "vectors.txt"}))
    status, out, err = command("run", "--file=good.tsv")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


# Untrained

ENCODER = {"preset": "scratch:tiny", "vocabulary_size": 100}
SMALL = {
    "textcnn": {"vocabulary_size": 100, "embedding_dim": 8, "num_filters": 4},
    "bilstm": {"vocabulary_size": 100, "embedding_dim": 8, "lstm_units": 4},
    "bert_base_pool": ENCODER,
    "bert_large_pool": ENCODER,
    "bert_base_lstm": ENCODER | {"lstm_units": 4},
    "roberta_pool": ENCODER | {"vocabulary_size": 300},
}


def arrays(model):
    return [np.array(weight) for weight in model.get_weights()]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_of_the_six_is_built_untrained(name):
    import keras

    model = kmodels.build(name, num_classes=3, **SMALL[name])
    assert isinstance(model, keras.Model)
    inputs = {"token_ids": np.full((2, 5), 99, "int32"), "padding_mask": np.arange(5) < [[5], [2]]}
    logits = np.asarray(model.predict_on_batch(inputs))
    assert (logits.dtype, logits.shape) == (np.float32, (2, 3))
    again, other = kmodels.build(name, 3, **SMALL[name]), kmodels.build(name, 3, seed=1, **SMALL[name])
    assert all((ours == its).all() for ours, its in zip(arrays(model), arrays(again)))
    assert any((ours != its).any() for ours, its in zip(arrays(model), arrays(other)))


def test_a_built_model_is_compiled_and_fitted_as_any_other():
    import keras

    numbers = np.random.default_rng(0)
    labels = numbers.integers(2, size=64)
    token_ids = numbers.integers(2, 50, (64, 6)) + 50 * labels[:, None]
    model = kmodels.build("textcnn", dropout=0.0, **SMALL["textcnn"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    best = kmodels.callbacks.BestEpoch(monitor="loss")
    inputs = {"token_ids": token_ids.astype("int32"), "padding_mask": np.ones((64, 6), bool)}
    history = model.fit(inputs, labels, epochs=4, batch_size=32, verbose=0, callbacks=[best]).history["loss"]
    assert history[-1] < 0.8 * history[0]
    assert best.epoch == 3


def test_an_encoder_is_built_with_the_weights_of_a_folder(tmp_path):
    from kmodels.models import presets

    write_hugging_face(tmp_path, "bert")
    model = kmodels.build("bert_base_pool", preset=str(tmp_path), frozen_layers=1)
    expected = arrays(presets.load_backbone(str(tmp_path), "wordpiece", 0.1))
    for ours, theirs in zip(arrays(model), expected):
        assert (ours == theirs).all()
    whole = kmodels.build("bert_base_pool", preset=str(tmp_path))
    adapted = kmodels.build("bert_base_pool", preset=str(tmp_path), lora_rank=1)
    trained = [sum(np.prod(weight.shape) for weight in each.trainable_weights) for each in (whole, model, adapted)]
    assert trained[0] > trained[1] > trained[2]


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("textcn", {}, "did you mean 'textcnn'"),
        ("textcnn", {"num_filter": 3}, "did you mean 'num_filters'"),
        ("textcnn", {"epochs": 3}, "'epochs' must be a setting of a model"),
        ("textcnn", {"embeddings": "glove.txt"}, "'embeddings' must be a setting of a model"),
        ("textcnn", {"preset": "scratch:tiny"}, "preset is a setting of"),
        ("textcnn", {"num_classes": 1}, "at least 2"),
        ("textcnn", {"num_classes": "2"}, "whole number"),
        ("textcnn", {"vocabulary_size": -1}, "vocabulary_size must be at least"),
        ("bert_base_pool", {"preset": "scratch:huge"}, "scratch: must be followed by one of"),
        ("bert_base_pool", {"preset": "nowhere"}, "an existing folder"),
        ("bert_base_pool", {"preset": "roberta_base_en"}, "is a RobertaBackbone"),
    ],
)
def test_what_can_not_be_built_is_an_input_error(name, settings, message):
    with pytest.raises(kmodels.InputError, match=message) as caught:
        kmodels.build(name, **settings)
    assert "\n" not in str(caught.value)


def test_loading_and_building_leave_keras_own_precision_alone(record_of, tmp_path):
    import keras

    shutil.copytree(record_of("textcnn").output_dir, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"precision": "mixed_bfloat16"}))
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("float64")
        loaded = kmodels.load(tmp_path / "run").model
        built = kmodels.build("textcnn", precision="mixed_bfloat16", **SMALL["textcnn"])
        own = kmodels.build("textcnn", **SMALL["textcnn"])
        assert keras.config.dtype_policy().name == "float64"
    finally:
        keras.config.set_dtype_policy(before)
    names = [model.get_layer("convolutions").dtype_policy.name for model in (loaded, built, own)]
    assert names == ["mixed_bfloat16", "mixed_bfloat16", "float64"]
