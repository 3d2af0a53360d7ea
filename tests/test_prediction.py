"""Probabilities whatever shares a batch, and `kmodels predict` from the outside."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmodels import answers, backend, cli, prediction
from kmodels.config import BACKENDS, RunConfig
from kmodels.data.batching import FILLER
from kmodels.errors import InputError, RunError
from kmodels.streaming import Row
from tests.reviews import tiny_settings, write_review_files

LENGTHS = st.lists(st.integers(0, 40), max_size=60)
SHAPES = st.builds(
    lambda kind, tokens: kind(tokens, 40),
    st.sampled_from([prediction.AnyShapes, prediction.FixedShapes]),
    st.integers(1, 300),
)


# Plans


@given(LENGTHS, SHAPES)
def test_every_sentence_is_in_one_batch_that_holds_it_and_is_no_larger_than_allowed(lengths, shapes):
    batches = list(prediction.plan(np.array(lengths, np.int32), shapes))
    rows = np.concatenate([rows[rows != FILLER] for rows, _ in batches]) if batches else np.array([], int)
    assert sorted(rows) == list(range(len(lengths)))
    for rows, length in batches:
        assert all(lengths[row] <= length <= 40 for row in rows if row != FILLER)
        assert len(rows) * length <= max(shapes.batch_tokens, 40)
        assert rows[0] != FILLER


@given(LENGTHS, st.integers(1, 300))
def test_fixed_shapes_are_all_known_beforehand(lengths, tokens):
    shapes = prediction.FixedShapes(tokens, 40)
    found = {(len(rows), length) for rows, length in prediction.plan(np.array(lengths, np.int32), shapes)}
    assert found <= set(shapes.all())


@given(LENGTHS, st.integers(1, 300))
def test_where_shapes_are_free_nothing_is_filled_up(lengths, tokens):
    for rows, length in prediction.plan(np.array(lengths, np.int32), prediction.AnyShapes(tokens, 40)):
        assert FILLER not in rows
        assert length == max(1, max(lengths[row] for row in rows))


@pytest.mark.parametrize("longest", [1, 2, 3, 16, 17, 60, 128, 512])
def test_fixed_shapes_are_few_and_waste_little(longest):
    shapes = prediction.FixedShapes(2048, longest)
    assert len(shapes.all()) <= 40
    assert shapes.lengths[-1] == longest
    assert (np.diff(shapes.lengths) > 0).all()
    for length in range(9, longest + 1):
        assert min(each for each in shapes.lengths if each >= length) < 1.25 * length


def test_a_sentence_alone_costs_one_row():
    for shapes in (prediction.AnyShapes(2048, 128), prediction.FixedShapes(2048, 128)):
        [(rows, length)] = prediction.plan(np.array([9], np.int32), shapes)
        assert list(rows) == [0]
        assert length <= 16


# Which backend


def test_the_fastest_installed_backend_is_taken_unless_one_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
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


# What is written


def test_a_line_says_label_and_probability_and_what_is_asked_for():
    rows = [Row(1, "a"), Row(2, None, "expected UTF-8"), Row(3, "b")]
    likely = np.array([[0.7, 0.1, 0.2], [0.25, 0.4, 0.35]], np.float32)
    names = ("bad", "good", "müßig")
    lines = [json.loads(line) for line in answers.json_lines(rows, likely, names, top_k=2, threshold=0.5)]
    assert lines == [
        {"label": "bad", "probability": 0.7, "probabilities": {"bad": 0.7, "müßig": 0.2}},
        {"error": "expected UTF-8", "line": 2},
        {"label": None, "probability": 0.4, "probabilities": {"good": 0.4, "müßig": 0.35}},
    ]
    assert list(lines[2]["probabilities"]) == ["good", "müßig"]
    plain = list(answers.json_lines(rows, likely, names))
    assert plain[2] == '{"label": "good", "probability": 0.4}\n'


def test_glue_gets_numbers_of_classes_and_names_that_are_numbers():
    likely = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert list(answers.glue_lines(5, likely, ("negative", "positive"))) == ["5\t0\n", "6\t1\n"]
    assert list(answers.glue_lines(0, likely, ("1", "2"))) == ["0\t1\n", "1\t2\n"]


def test_a_whole_file_is_there_in_the_end_or_not_at_all(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text("before")
    with pytest.raises(RuntimeError), answers.WholeFile(path) as file:
        file.write("half")
        raise RuntimeError
    assert [each.name for each in tmp_path.iterdir()] == ["labels.jsonl"]
    assert path.read_text() == "before"
    with answers.WholeFile(path) as file:
        file.write("whole")
    assert path.read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 1
    for place in (tmp_path, tmp_path / "none" / "labels.jsonl", Path(os.devnull)):
        with pytest.raises(InputError, match="can't be written"):
            answers.WholeFile(place)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_ends_in_one_line(tmp_path):
    with (
        open("/dev/full", "w") as full,
        pytest.raises(RunError, match="labels can't be written: No space left"),
        answers.WholeFile(tmp_path / "labels") as file,
    ):
        file._file.close()
        file._file = full
        file.write("x" * 10**6)
    assert not list(tmp_path.iterdir())


# With a model


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A function from a model's name to the folder of a tiny run of it, made once."""
    from kmodels.training import train

    files = write_review_files(tmp_path_factory.mktemp("reviews"))
    folders = {}

    def run(model="textcnn"):
        if model not in folders:
            folder = tmp_path_factory.mktemp(model) / "run"
            length = {"epochs": 6} if model == "textcnn" else {"epochs": 1, "max_train_examples": 16}
            train(**tiny_settings(model, files, folder, **length))
            folders[model] = folder
        return folders[model]

    return run


def sentences(count):
    """Different sentences of 0 to 17 words, some of them good and some of them bad, in no order of length."""
    numbers = np.random.default_rng(0)
    words = ["the", "film", "is", "fine", "great", "poor", "dull", "and", "unheard-of"]
    return [" ".join(numbers.choice(words, numbers.integers(0, 18))) for _ in range(count)]


@pytest.mark.backend
@pytest.mark.parametrize("model", ["textcnn", "bilstm", "bert_base_pool", "roberta_pool"])
def test_probabilities_do_not_depend_on_what_shares_a_batch_and_equal_models_own(runs, model, monkeypatch):
    import kmodels
    from kmodels.data.batching import assemble

    classifier = kmodels.load(runs(model))
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
def test_a_predictor_follows_weights_that_change(runs):
    import kmodels

    classifier = kmodels.load(runs())
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
def test_nothing_gives_no_probabilities(runs):
    import kmodels

    classifier = kmodels.load(runs())
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
        num_batches += sum(1 for _ in prediction.plan(tokenized.lengths, predictor._shapes))
    if backends.current().COMPILES_EACH_SHAPE:
        assert len(calls) == len(set(calls)) <= len(predictor._shapes.all())
    else:  # one graph for all shapes, or none
        assert len(calls) in (1, num_batches)


# The command


@contextlib.contextmanager
def stdin_of(monkeypatch, content):
    """sys.stdin as a pipe with these bytes."""
    reading, writing = os.pipe()
    writer = threading.Thread(target=lambda: (os.write(writing, content), os.close(writing)))
    writer.start()
    with open(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield
    writer.join()


def predicted(capfdbinary, *arguments):
    """(exit status, [JSON, …] of stdout, stderr) of `kmodels predict`."""
    status = cli.main(["kmodels", "predict", *map(str, arguments)])
    out, err = capfdbinary.readouterr()
    return status, [json.loads(line) for line in out.splitlines()], err.decode()


@pytest.mark.backend
def test_a_pipe_of_text_gives_a_line_for_each_sentence_in_order(runs, monkeypatch, capfdbinary, tmp_path):
    import kmodels

    folder = shutil.copytree(runs(), tmp_path / "moved")
    texts = sentences(500)
    with stdin_of(monkeypatch, "\n".join(texts).encode()):
        status, lines, err = predicted(capfdbinary, folder)
    assert (status, err) == (0, "")
    expected = kmodels.load(folder).predict_proba(texts)
    assert [line["label"] for line in lines] == [str(number) for number in expected.argmax(axis=1)]
    assert len({line["label"] for line in lines}) == 2
    np.testing.assert_allclose([line["probability"] for line in lines], expected.max(axis=1), rtol=0, atol=1e-5)


@pytest.mark.backend
def test_a_csv_file_with_quoted_newlines_and_bad_lines(runs, capfdbinary, tmp_path):
    path, output = tmp_path / "reviews.csv", tmp_path / "labels.jsonl"
    path.write_bytes(b'id,review\n1,"the film\nis great"\n2\n3,\xff\n4,"the plot, is awful"\n5,\n')
    status, lines, err = predicted(capfdbinary, runs(), f"--file={path}", "--top_k=9", f"--output={output}")
    assert (status, lines) == (0, [])
    assert [line.partition(" ")[0] for line in err.splitlines()] == [f"{path}:4:", f"{path}:5:", "2"]
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line.get("label") for line in lines] == ["1", None, None, "0", lines[4]["label"]]
    assert [line.get("line") for line in lines] == [None, 4, 5, None, None]
    assert sum(lines[0]["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert list(lines[3]["probabilities"]) == ["0", "1"]
    status, lines, err = predicted(capfdbinary, runs(), f"--file={path}", "--threshold=1")
    assert [line.get("label") for line in lines] == [None] * 5


@pytest.mark.backend
def test_strict_answers_what_came_before_the_first_bad_line(runs, monkeypatch, capfdbinary, tmp_path):
    content = b"the film is great\nthe plot is awful\n\xffoops\nthe film is great\n"
    with stdin_of(monkeypatch, content):
        status, lines, err = predicted(capfdbinary, runs(), "--strict")
    assert (status, [line["label"] for line in lines]) == (2, ["1", "0"])
    assert err.startswith("error: stdin:3: expected UTF-8")
    assert err.count("\n") == 1
    with stdin_of(monkeypatch, content):
        status, lines, err = predicted(capfdbinary, runs(), "--strict", f"--output={tmp_path / 'labels'}")
    assert (status, lines, list(tmp_path.iterdir())) == (2, [], [])


@pytest.mark.backend
def test_the_file_for_glue(runs, capfdbinary, tmp_path):
    path, glue = tmp_path / "test.tsv", tmp_path / "SST-2.tsv"
    path.write_text('index\tsentence\n0\tthe film is great\n1\tthe "plot is awful\n2\t\n')
    status, lines, err = predicted(capfdbinary, runs(), f"--file={path}", f"--glue_file={glue}")
    assert (status, lines, err) == (0, [], "")
    index, prediction_ = zip(*(line.split("\t") for line in glue.read_text().splitlines()))
    assert index == ("index", "0", "1", "2")
    assert prediction_[:3] == ("prediction", "1", "0")
    glue.unlink()
    path.write_text("index\tsentence\n0\tthe film is great\n1\n")
    status, lines, err = predicted(capfdbinary, runs(), f"--file={path}", f"--glue_file={glue}")
    assert (status, lines) == (2, [])
    assert f"{path}:3: expected 2 fields" in err
    assert not glue.exists()


@pytest.mark.backend
@pytest.mark.parametrize("file_format", ["text", "csv", "jsonl"])
def test_empty_input_gives_nothing(runs, monkeypatch, capfdbinary, file_format):
    with stdin_of(monkeypatch, b""):
        assert predicted(capfdbinary, runs(), f"--format={file_format}") == (0, [], "")


@pytest.mark.backend
def test_an_empty_sentence_is_a_sentence(runs, monkeypatch, capfdbinary):
    with stdin_of(monkeypatch, b"\n\nthe film is great\n"):
        status, lines, _ = predicted(capfdbinary, runs())
    assert (status, len(lines)) == (0, 3)
    assert lines[0] == lines[1]
    assert lines[2]["label"] == "1"


@pytest.mark.backend
def test_weights_that_are_no_numbers_are_not_answered(runs, monkeypatch, capfdbinary):
    monkeypatch.setattr(
        prediction.Predictor, "probabilities", lambda self, tokenized: np.full((len(tokenized.lengths), 2), np.nan)
    )
    with stdin_of(monkeypatch, b"the film\n"):
        status, lines, err = predicted(capfdbinary, runs())
    assert (status, lines) == (1, [])
    assert "must be numbers" in err


@pytest.mark.backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fil=x"], "unknown flag --fil; did you mean --file?"),
        (["--format=cvs"], "format must be one of text, tsv, csv, jsonl; got 'cvs'; did you mean 'csv'?"),
        (["--text_column=a"], "text_column is for tsv, csv and jsonl"),
        (["--top_k=-1"], "top_k must be at least 0"),
        (["--threshold=2"], "threshold must be from 0 to 1"),
        (["--output=x", "--glue_file=./x"], "must be different files"),
        (["--file=nowhere.csv"], "nowhere.csv can't be read: No such file"),
        (["--file=plain.csv", "--output=nowhere/x"], "nowhere/x can't be written"),
        (["more"], "predict needs one run's folder"),
        (["--file=plain.csv"], "plain.csv:1: expected a column named 'sentence'"),
    ],
)
def test_a_wrong_call_gets_one_line_and_leaves_nothing(runs, monkeypatch, capfdbinary, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("plain.csv").write_text("a,b\n1,2\n")
    status, lines, err = predicted(capfdbinary, runs(), *arguments)
    assert (status, lines) == (2, [])
    assert message in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["plain.csv"]


def test_no_run_is_told_and_help_names_every_key_and_flag(tmp_path, capsys):
    from kmodels.commands import predict

    assert cli.main(["kmodels", "predict", str(tmp_path)]) == 2
    assert "holds no trained model" in capsys.readouterr().err
    assert cli.main(["kmodels", "predict", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"--{flag}" in said for flag in predict.FLAGS)
    assert all(f"  {key}" in said for key in ("label ", "probability ", "probabilities ", "error, line "))


# A process


@contextlib.contextmanager
def process(*arguments, **streams):
    """A `kmodels predict` with pipes, ended at the end."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    command = [sys.executable, "-m", "kmodels", "predict", *map(str, arguments)]
    started = subprocess.Popen(command, cwd=Path(__file__).parent.parent, **streams)
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


@pytest.mark.backend
def test_a_slow_pipe_is_answered_at_once_and_a_closed_one_ends_quietly(runs):
    with process(runs()) as typed:
        for number, sentence in enumerate([b"the film is great\n", b"the plot is awful\n"] * 3):
            start = time.monotonic()
            typed.stdin.write(sentence)
            typed.stdin.flush()
            line = json.loads(typed.stdout.readline())  # it waits forever if the answer waits for more input
            assert line["label"] == "10"[number % 2]
            assert number < 2 or time.monotonic() - start < 3  # the first ones start the framework
        typed.stdout.close()  # as `| head -1` does
        with contextlib.suppress(BrokenPipeError):
            for _ in range(1000):
                typed.stdin.write(b"the film is great\n")
                typed.stdin.flush()
                if typed.poll() is not None:
                    break
                time.sleep(0.01)
        assert typed.wait(20) == 0
        assert typed.stderr.read() == b""


@pytest.mark.backend
def test_an_endless_pipe_takes_no_more_memory_than_a_short_one(runs):
    texts = sentences(1000)
    block = ("\n".join(texts) + "\n").encode()

    def feed(stdin):
        with contextlib.suppress(OSError):
            while True:
                stdin.write(block)

    with process(runs()) as endless:
        threading.Thread(target=feed, args=(endless.stdin,), daemon=True).start()
        resident, first = psutil.Process(endless.pid).memory_info, None
        sizes = []
        for count in (40_000, 40_000, 80_000):
            lines = list(itertools.islice(endless.stdout, count))[-len(texts) :]  # these are all the thousand
            likely = [json.loads(line)["probability"] for line in lines]
            first = first or likely
            np.testing.assert_allclose(likely, first, rtol=0, atol=1e-5)
            sizes.append(resident().rss)
        endless.kill()
    assert sizes[2] - sizes[0] < 40 * 2**20
