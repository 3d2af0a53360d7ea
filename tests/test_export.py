"""Exported models, read again by their own runtimes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kmodels
from kmodels import cli, export, extensions, records
from kmodels.config import BACKENDS, DATASETS, RunConfig
from kmodels.data import tokenizer_training
from kmodels.errors import InputError, RunError
from kmodels.export import probes, processes, steps

ROOT = Path(__file__).parent.parent
NAMES = dict(zip(export.FORMATS, ("model.onnx", "model", "model.pt2", "model.tflite", "model.xml")))
# textcnn and bert_base_lstm have nearly all layers between them; RoBERTa's GELU is another one. ONNX is made by way of
# PyTorch's format, and OpenVINO's by way of ONNX.
PAIRS = [("bert_base_lstm", format) for format in export.FORMATS]
PAIRS += [("textcnn", format) for format in export.FORMATS if format not in ("torch", "openvino")]
PAIRS += [("roberta_pool", "litert")]


@pytest.fixture(scope="module")
def trained(record_of, tmp_path_factory):
    """A function from a model's name to (a run's folder, its probabilities of the sentences that a page has)."""
    made = {}

    def run(model):
        if model not in made:
            folder = shutil.copytree(record_of(model).output_dir, tmp_path_factory.mktemp(model) / "run")
            texts = ["the film is great", "the plot is awful and the cast is dull"]
            made[model] = folder, kmodels.load(folder).predict_proba(texts)
            if model == "textcnn":  # as if it had been trained so: its export must be in float32 all the same
                config = records.read_json(folder / records.CONFIG) | {"precision": "mixed_bfloat16"}
                records.write_json(folder / records.CONFIG, config)
        return made[model]

    return run


def exported(run, format, output):
    """`export.export`; skips where the packages of a format are missing."""
    try:
        export.module(format)
    except InputError as error:
        pytest.skip(str(error))
    return export.export(run, format, output)


# Each pair of a model and a format comes once, on one of the backends.
@pytest.mark.backend
@pytest.mark.parametrize("turn", range(len(PAIRS) // len(BACKENDS)))
def test_the_example_of_the_page_gives_the_runs_probabilities(turn, trained, chosen_backend, tmp_path):
    model, format = PAIRS[turn * len(BACKENDS) + BACKENDS.index(chosen_backend)]
    run, expected = trained(model)
    done = exported(run, format, tmp_path / NAMES[format])
    assert (done.config.backend, done.backend) == (chosen_backend, export.module(format).BACKEND)
    if format != "litert":
        assert done.batch is None
    names = {done.path.name, done.page.name, "tokenizer.json"} | ({"model.bin"} if format == "openvino" else set())
    assert {path.name for path in tmp_path.iterdir()} == names
    assert done.tokenizer.read_bytes() == (run / records.TOKENIZER).read_bytes()
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in paths if str(ROOT).encode() in path.read_bytes()]  # a file tells nothing of its origin
    example = re.search(r"```python\n(.*?)```", done.page.read_text(), re.DOTALL).group(1)
    command = [sys.executable, "-c", f"{example}\nprint(logits.tolist())"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    labels, logits = map(json.loads, ran.stdout.replace("'", '"').splitlines())
    exponentials = np.exp(logits)
    np.testing.assert_allclose(exponentials / exponentials.sum(axis=1, keepdims=True), expected, atol=1e-5)
    assert labels == [str(number) for number in expected.argmax(axis=1)]


@pytest.mark.backend
def test_a_model_that_differs_from_its_run_is_not_left_there(trained, chosen_backend, tmp_path, monkeypatch, capsys):
    if chosen_backend != "torch":
        pytest.skip("once will do, where the run's backend writes the model, too")
    run, _ = trained("textcnn")
    real = processes.run

    def spoil(job, names, *backend):
        said = real(job, names, *backend)
        if "logits" in names:
            path = records.read_json(job)["probes"]
            batches, logits = probes.read(path)
            logits[4][1] += 0.001  # one sentence of the batch of another size
            probes.write(path, batches, logits)
        return said

    monkeypatch.setattr(processes, "run", spoil)
    (tmp_path / "notes.txt").write_text("mine")
    capsys.readouterr()  # what the training said
    status = cli.main(["kmodels", "export", str(run), "--format=torch", f"--output={tmp_path / 'model.pt2'}"])
    said = capsys.readouterr()
    assert (status, said.out, said.err.count("\n")) == (1, "", 1)
    assert "model.pt2 gives other logits than the run, by up to 0.001; 0.0001" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.fixture
def run(tmp_path):
    """A run's folder without weights, which is enough for what is checked before a model is built."""
    folder = tmp_path / "run"
    folder.mkdir()
    config = RunConfig.from_settings(model="textcnn", backend="torch", dataset="sample").to_json()
    records.write_json(folder / records.CONFIG, config)
    records.write_json(folder / records.MODEL, {"label_names": ["bad", "good"]})
    tokenizer_training.train_words(["a film"]).save(folder / records.TOKENIZER)
    (folder / records.WEIGHTS).touch()
    return folder


@pytest.fixture
def some_format(monkeypatch):
    """A format whose packages are always there."""
    from kmodels.export import torch

    monkeypatch.setattr(torch, "PACKAGES", ())
    return "--format=torch"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "export needs one run's folder"),
        (["RUN", "--formt=onnx"], "unknown flag --formt; did you mean --format?"),
        (["RUN"], "export needs --format"),
        (["RUN", "--format=torch"], "export needs --output"),
        (["RUN", "--format=onx", "--output=m"], "format must be one of onnx, tf_saved_model, torch, litert, openvino"),
        (["nowhere", "--format=torch", "--output=m.pt2"], "nowhere holds no trained model"),
        (["RUN", "--format=torch", "--output=m.onnx"], "a file that ends in .pt2 for this format; got 'm.onnx'"),
        (["RUN", "--format=torch", "--output=nowhere/m.pt2"], "in a folder that exists; got nowhere/m.pt2"),
        (["RUN", "--format=torch", "--output=there.pt2"], "there.pt2 exists; give another --output, or --overwrite"),
        (["RUN", "--format=torch", "--output=page.pt2"], "page.pt2.md exists"),
        (["RUN", "--format=torch", "--output=folder.pt2", "--overwrite"], "something else than an exported model"),
        (["RUN", "--format=torch", "--output=other/m.pt2"], "other/tokenizer.json belongs to another model"),
        (["RUN", "--format=torch", "--output=other/m.pt2", "--overwrite"], "belongs to another model"),
        (["RUN", "--format=torch", "--output=page.pt2", "--overwrite"], "page.pt2.md is no page of an exported model"),
    ],
)
def test_a_wrong_call_changes_nothing(arguments, message, run, some_format, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processes, "run", lambda *_: pytest.fail("a process was started"))
    for name in ("there.pt2", "page.pt2.md", "other/tokenizer.json", "folder.pt2/notes.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("mine")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert cli.main(["kmodels", "export", *(str(run) if each == "RUN" else each for each in arguments)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert message in said.err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_run_of_what_other_processes_do_not_know_is_refused_before_one_is_started(run, some_format, monkeypatch):
    monkeypatch.setattr(processes, "run", lambda *_: pytest.fail("a process was started"))
    monkeypatch.setitem(DATASETS, "mine", lambda data_dir: None)
    monkeypatch.setattr(extensions, "_only_here", {"mine"})
    records.write_json(run / records.CONFIG, records.read_json(run / records.CONFIG) | {"dataset": "mine"})
    with pytest.raises(InputError, match="'mine' is registered in this process only"):
        export.export(run, "torch", run.with_name("m.pt2"))


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch):
    from kmodels.export import litert

    monkeypatch.setattr(litert, "PACKAGES", ("numpy", "a_package_that_nobody_has"))
    with pytest.raises(InputError, match=r"litert needs a-package-that-nobody-has; .* pip install 'kmodels\[litert\]'"):
        export.module("litert")


@pytest.fixture
def made_up(monkeypatch):
    """Exports that build no model: SavedModels that hold "new"."""

    def steps(job, names, *_):
        target = Path(records.read_json(job)["target"])
        if "write" in names:
            target.mkdir()
            (target / "saved_model.pb").write_text("new")
        return json.dumps({"difference": 0.0, "batch": None})

    monkeypatch.setattr(processes, "run", steps)
    from kmodels.export import tf_saved_model

    monkeypatch.setattr(tf_saved_model, "PACKAGES", ())


def test_only_a_saved_model_is_replaced_and_as_a_whole(run, made_up, tmp_path):
    output = tmp_path / "saved"
    output.mkdir()
    (output / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="something else than an exported model"):
        export.export(run, "tf_saved_model", output, overwrite=True)
    (output / "saved_model.pb").write_text("old")
    export.export(run, "tf_saved_model", output, overwrite=True)
    assert [path.name for path in output.iterdir()] == ["saved_model.pb"]
    assert (output / "saved_model.pb").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "saved", "saved.md", "tokenizer.json"]


def test_what_is_beside_is_replaced_only_if_an_export_left_it(run, made_up, tmp_path):
    """Another run's tokenizer is replaced with the model that it belongs to, and a run's own folder keeps its."""
    output, tokenizer = tmp_path / "saved", tmp_path / records.TOKENIZER
    another_model = r"tokenizer\.json belongs to another model; give another folder$"
    export.export(run, "tf_saved_model", output)
    first = (run / records.TOKENIZER).read_bytes()
    tokenizer_training.train_words(["another film"]).save(run / records.TOKENIZER)
    second = (run / records.TOKENIZER).read_bytes()
    for overwrite in (False, True):
        with pytest.raises(InputError, match=another_model):
            export.export(run, "tf_saved_model", output.with_name("second"), overwrite)
    export.export(run, "tf_saved_model", output, overwrite=True)
    assert tokenizer.read_bytes() == second
    export.export(run, "tf_saved_model", output.with_name("second"))
    (run / records.TOKENIZER).write_bytes(first)
    with pytest.raises(InputError, match=another_model):  # of the second one
        export.export(run, "tf_saved_model", output, overwrite=True)
    assert tokenizer.read_bytes() == second
    export.export(run, "tf_saved_model", run / "saved")  # its own folder
    export.export(run, "tf_saved_model", run / "saved", overwrite=True)
    other = shutil.copytree(run, tmp_path / "other")
    tokenizer_training.train_words(["a third film"]).save(run / records.TOKENIZER)
    before = (other / records.TOKENIZER).read_bytes()
    with pytest.raises(InputError, match=another_model):
        export.export(run, "tf_saved_model", other / "saved", overwrite=True)
    assert (other / records.TOKENIZER).read_bytes() == before


def test_the_weights_of_another_openvino_model_are_not_replaced(run, tmp_path, monkeypatch):
    from kmodels.export import openvino

    monkeypatch.setattr(openvino, "PACKAGES", ())
    monkeypatch.setattr(processes, "run", lambda *_: pytest.fail("a process was started"))
    (tmp_path / "model.bin").write_text("mine")
    for overwrite, message in ((False, r"model\.bin exists"), (True, r"model\.bin is of no exported model")):
        with pytest.raises(InputError, match=message):
            export.export(run, "openvino", tmp_path / "model.xml", overwrite)


def test_probes_have_sentences_of_every_length_and_batches_of_several_sizes(tmp_path):
    batches = probes.make(vocabulary_size=50, max_length=64, padding_id=7)
    lengths = [batch["padding_mask"].sum(axis=1) for batch in batches]
    assert sorted(np.concatenate(lengths[:4])) == list(range(1, 65))
    assert {len(each) for each in lengths} == set(probes.BATCH_SIZES)
    for batch in batches:
        assert (batch["token_ids"][~batch["padding_mask"]] == 7).all()
        assert batch["token_ids"].min() >= 0 and batch["token_ids"].max() < 50
    logits = [np.ones((len(each), 2), np.float32) for each in lengths]
    probes.write(tmp_path / "probes", batches, logits)
    for before, after in zip((batches, logits), probes.read(tmp_path / "probes")):
        assert str(before) == str(after)


def number_of_tokens(token_ids, padding_mask):
    """Logits of a model that counts."""
    counts = padding_mask.sum(axis=1).astype(np.float32)
    return np.stack([counts, -counts], axis=1)


def take_one(token_ids, padding_mask):
    assert len(token_ids) == 1
    return number_of_tokens(token_ids, padding_mask)


def test_a_model_passes_that_gives_the_same_logits():
    batches = probes.make(50, 16, 0)
    expected = [number_of_tokens(**batch) for batch in batches]
    assert probes.compare(number_of_tokens, None, batches, expected, "m") == 0
    assert probes.compare(take_one, 1, batches, expected, "m") == 0
    allowed = probes.TOLERANCE * 16  # the largest logit
    near = [logits + 0.9 * allowed for logits in expected]
    assert probes.compare(number_of_tokens, None, batches, near, "m") == pytest.approx(0.9 * allowed, rel=1e-2)


@pytest.mark.parametrize("wrong", [0.002, np.nan])
@pytest.mark.parametrize("batch", range(len(probes.BATCH_SIZES)))
def test_a_model_fails_that_gives_another_logit_in_any_batch(batch, wrong):
    batches = probes.make(50, 16, 0)
    expected = [number_of_tokens(**each) for each in batches]
    expected[batch][-1, 1] += wrong
    with pytest.raises(RunError, match="gives other logits than the run, by up to"):
        probes.compare(number_of_tokens, None, batches, expected, "m")


def test_a_model_fails_that_gives_another_number_of_logits():
    batches = probes.make(50, 16, 0)
    expected = [number_of_tokens(**batch)[:, :1] for batch in batches]
    with pytest.raises(RunError, match=r"logits of the shape \(16, 2\), the run \(16, 1\)"):
        probes.compare(number_of_tokens, None, batches, expected, "m")


def test_the_reason_of_a_failed_process_is_its_last_exception_in_one_line(tmp_path):
    said = "Traceback:\nValueError: first\n\nTraceback:\na.b.SomeError: it\n  doesn't fit\n"
    assert processes._reason(said, 1) == "a.b.SomeError: it doesn't fit"
    assert processes._reason("a warning\nerror: no room\n", 1) == "no room"
    assert processes._reason("", -9) == "killed by SIGKILL; out of memory?"
    with pytest.raises(InputError, match=r"job\.json can't be read"):
        processes.run(tmp_path / "job.json", ["check"])
    assert set(steps.STEPS) == {"logits", "write", "check"}
