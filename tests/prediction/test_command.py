"""`kmodels predict` from the outside."""

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

from kmodels import cli, prediction
from tests.reviews import sentences


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
    capfdbinary.readouterr()  # what a training said
    status = cli.main(["kmodels", "predict", *map(str, arguments)])
    out, err = capfdbinary.readouterr()
    return status, [json.loads(line) for line in out.splitlines()], err.decode()


@pytest.mark.backend
def test_a_pipe_of_text_gives_a_line_for_each_sentence_in_order(record_of, monkeypatch, capfdbinary, tmp_path):
    import kmodels

    folder = shutil.copytree(record_of().output_dir, tmp_path / "moved")
    texts = sentences(500)
    with stdin_of(monkeypatch, "\n".join(texts).encode()):
        status, lines, err = predicted(capfdbinary, folder)
    assert (status, err) == (0, "")
    expected = kmodels.load(folder).predict_proba(texts)
    assert [line["label"] for line in lines] == [str(number) for number in expected.argmax(axis=1)]
    assert len({line["label"] for line in lines}) == 2
    np.testing.assert_allclose([line["probability"] for line in lines], expected.max(axis=1), rtol=0, atol=1e-5)


@pytest.mark.one_backend
def test_a_csv_file_with_quoted_newlines_and_bad_lines(record_of, capfdbinary, tmp_path):
    path, output = tmp_path / "reviews.csv", tmp_path / "labels.jsonl"
    path.write_bytes(b'id,review\n1,"the film\nis great"\n2\n3,\xff\n4,"the plot, is awful"\n5,\n')
    status, lines, err = predicted(
        capfdbinary, record_of().output_dir, f"--file={path}", "--top_k=9", f"--output={output}"
    )
    assert (status, lines) == (0, [])
    assert [line.partition(" ")[0] for line in err.splitlines()] == [f"{path}:4:", f"{path}:5:", "2"]
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line.get("label") for line in lines] == ["1", None, None, "0", lines[4]["label"]]
    assert [line.get("line") for line in lines] == [None, 4, 5, None, None]
    assert sum(lines[0]["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert list(lines[3]["probabilities"]) == ["0", "1"]
    status, lines, err = predicted(capfdbinary, record_of().output_dir, f"--file={path}", "--threshold=1")
    assert [line.get("label") for line in lines] == [None] * 5


@pytest.mark.one_backend
def test_strict_answers_what_came_before_the_first_bad_line(record_of, monkeypatch, capfdbinary, tmp_path):
    content = b"the film is great\nthe plot is awful\n\xffoops\nthe film is great\n"
    with stdin_of(monkeypatch, content):
        status, lines, err = predicted(capfdbinary, record_of().output_dir, "--strict")
    assert (status, [line["label"] for line in lines]) == (2, ["1", "0"])
    assert err.startswith("error: stdin:3: expected UTF-8")
    assert err.count("\n") == 1
    with stdin_of(monkeypatch, content):
        status, lines, err = predicted(
            capfdbinary, record_of().output_dir, "--strict", f"--output={tmp_path / 'labels'}"
        )
    assert (status, lines, list(tmp_path.iterdir())) == (2, [], [])


@pytest.mark.one_backend
def test_the_file_for_glue(record_of, capfdbinary, tmp_path):
    path, glue = tmp_path / "test.tsv", tmp_path / "SST-2.tsv"
    path.write_text('index\tsentence\n0\tthe film is great\n1\tthe "plot is awful\n2\t\n')
    status, lines, err = predicted(capfdbinary, record_of().output_dir, f"--file={path}", f"--glue_file={glue}")
    assert (status, lines, err) == (0, [], "")
    index, prediction_ = zip(*(line.split("\t") for line in glue.read_text().splitlines()))
    assert index == ("index", "0", "1", "2")
    assert prediction_[:3] == ("prediction", "1", "0")
    glue.unlink()
    path.write_text("index\tsentence\n0\tthe film is great\n1\n")
    status, lines, err = predicted(capfdbinary, record_of().output_dir, f"--file={path}", f"--glue_file={glue}")
    assert (status, lines) == (2, [])
    assert f"{path}:3: expected 2 fields" in err
    assert not glue.exists()


FORMATS = {
    "plain.txt": "{0}\n",
    "rows.tsv": "sentence\tlabel\n{0}\t1\n",
    "rows.csv": 'sentence,label\n"{0}",1\n',
    "rows.jsonl": '{{"sentence": "{0}", "label": "1"}}\n',
}


@pytest.mark.one_backend
@pytest.mark.parametrize("is_sst2", [True, False])
def test_a_space_at_the_end_is_what_it_was_in_training(is_sst2, record_of, capfdbinary, tmp_path):
    """Of SST-2 it was taken off; in other data it is a token to byte-level BPE. As lines, in files, to evaluate too."""
    folder = shutil.copytree(record_of("roberta_pool").output_dir, tmp_path / "run")
    if is_sst2:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"train_file": None, "validation_file": None}))
    found: dict = {"the film is great": [], "the film is great ": []}
    for (name, content), text in itertools.product(FORMATS.items(), found):
        path, saved = tmp_path / name, tmp_path / "saved.jsonl"
        path.write_text(content.format(text))
        status, [line], _ = predicted(capfdbinary, folder, f"--file={path}", "--top_k=2")
        assert status == 0
        found[text].append(line["probabilities"]["1"])
        if name != "plain.txt":
            assert cli.main(["kmodels", "evaluate", str(folder), f"--file={path}", f"--predictions={saved}"]) == 0
            found[text].append(json.loads(saved.read_text())["probabilities"]["1"])
    without, with_space = found.values()
    np.testing.assert_allclose(without, without[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(with_space, with_space[0], rtol=0, atol=1e-6)
    assert (abs(with_space[0] - without[0]) < 1e-6) == is_sst2


@pytest.mark.one_backend
@pytest.mark.parametrize("file_format", ["text", "csv", "jsonl"])
def test_empty_input_gives_nothing(record_of, monkeypatch, capfdbinary, file_format):
    with stdin_of(monkeypatch, b""):
        assert predicted(capfdbinary, record_of().output_dir, f"--format={file_format}") == (0, [], "")


@pytest.mark.one_backend
def test_an_empty_sentence_is_a_sentence(record_of, monkeypatch, capfdbinary):
    with stdin_of(monkeypatch, b"\n\nthe film is great\n"):
        status, lines, _ = predicted(capfdbinary, record_of().output_dir)
    assert (status, len(lines)) == (0, 3)
    assert lines[0] == lines[1]
    assert lines[2]["label"] == "1"


@pytest.mark.one_backend
def test_weights_that_are_no_numbers_are_not_answered(record_of, monkeypatch, capfdbinary):
    monkeypatch.setattr(
        prediction.Predictor, "probabilities", lambda self, tokenized: np.full((len(tokenized.lengths), 2), np.nan)
    )
    with stdin_of(monkeypatch, b"the film\n"):
        status, lines, err = predicted(capfdbinary, record_of().output_dir)
    assert (status, lines) == (1, [])
    assert "must be numbers" in err


@pytest.mark.one_backend
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
def test_a_wrong_call_gets_one_line_and_leaves_nothing(
    record_of, monkeypatch, capfdbinary, tmp_path, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Path("plain.csv").write_text("a,b\n1,2\n")
    status, lines, err = predicted(capfdbinary, record_of().output_dir, *arguments)
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
    started = subprocess.Popen(command, cwd=Path(__file__).parents[2], **streams)
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


@pytest.mark.backend
def test_a_slow_pipe_is_answered_at_once_and_a_closed_one_ends_quietly(record_of):
    with process(record_of().output_dir) as typed:
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
def test_an_endless_pipe_takes_no_more_memory_than_a_short_one(record_of):
    texts = sentences(1000)
    block = ("\n".join(texts) + "\n").encode()

    def feed(stdin):
        with contextlib.suppress(OSError):
            while True:
                stdin.write(block)

    with process(record_of().output_dir) as endless:
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


@pytest.mark.one_backend
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_stdout_is_one_line(record_of):
    with open("/dev/full", "w") as full, process(record_of().output_dir, stdout=full) as started:
        _, said = started.communicate(b"the film is great\n")
    assert (started.returncode, said) == (1, b"error: stdout can't be written: No space left on device\n")
