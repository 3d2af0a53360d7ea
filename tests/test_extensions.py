"""Architectures and datasets of the user's own, as docs/extending.md shows them."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kmodels
from kmodels import architectures, backend, cli, commandline, config, extensions
from kmodels.comparison import runner
from kmodels.config import BACKENDS
from kmodels.errors import InputError
from kmodels.workers import launch

ROOT = Path(__file__).parent.parent
EXAMPLES = re.findall(
    r"^`(\w+\.py)`.*?```python\n(.*?)```",
    (ROOT / "docs" / "extending.md").read_text(encoding="utf-8"),
    flags=re.DOTALL | re.MULTILINE,
)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What a test registers is gone after it."""
    for names in (architectures.ARCHITECTURES, config.DATASETS):
        for name in list(names):
            monkeypatch.setitem(names, name, names[name])
    monkeypatch.setenv(extensions.VARIABLE, "")
    monkeypatch.setattr(extensions, "_only_here", set())
    before = {id(names): set(names) for names in (architectures.ARCHITECTURES, config.DATASETS)}
    yield
    for names in (architectures.ARCHITECTURES, config.DATASETS):
        for name in set(names) - before[id(names)]:
            del names[name]
    for name in (
        "average",
        "weather",
        "kmodels_extension_average",
        "kmodels_extension_weather",
        "kmodels_extension_near",
    ):
        sys.modules.pop(name, None)


@pytest.fixture
def files(tmp_path):
    """{name: path} of the examples in the document."""
    for name, source in EXAMPLES:
        (tmp_path / name).write_text(source, encoding="utf-8")
    return {Path(name).stem: str(tmp_path / name) for name, _ in EXAMPLES}


@pytest.mark.one_backend
def test_the_documents_examples_train_and_load_again(files, tmp_path, capsys):
    flags = [f"--extension={path}" for path in files.values()]
    flags += ["--model=average", "--dataset=weather", "--epochs=3", "--batch_size=16", "--embedding_dim=12"]
    assert cli.main(["kmodels", "train", *flags, f"--output_dir={tmp_path / 'run'}"]) == 0
    record = kmodels.read(tmp_path / "run")
    assert record["best_validation_accuracy"] > 0.5
    classifier = kmodels.load(tmp_path / "run")
    assert classifier.model.get_layer("embedding").embedding_dim == 12
    assert classifier.model.get_layer("hidden").units == 64
    assert set(classifier.predict(["rain again", "the sun is out"])) <= {"bad", "good"}


@pytest.mark.one_backend
def test_an_architecture_may_have_no_word_vectors_and_sizes_of_its_own(review_files, tmp_path):
    @extensions.architecture("counts", reads="words", summary="", defaults={"lstm_units": 4000})
    def counts(vocabulary_size, num_classes, lstm_units):
        import keras

        from kmodels.models.inputs import logits_layer, token_inputs

        inputs = token_inputs()
        x = keras.ops.sum(keras.ops.one_hot(inputs["token_ids"], vocabulary_size), axis=1)
        return keras.Model(inputs, logits_layer(num_classes, 0)(x))

    train_file, validation_file = map(str, review_files)
    files = {"train_file": train_file, "validation_file": validation_file}
    kmodels.train(model="counts", epochs=1, output_dir=str(tmp_path / "run"), **files)
    assert kmodels.load(tmp_path / "run").predict_proba(["the film is great"]).shape == (1, 2)


def test_an_extension_is_in_the_help_and_a_name_can_be_mistyped(files, capsys):
    assert commandline.run(print, ["kmodels train", f"--extension={files['average']}", "--help"]) == 0
    assert "average           mean of word vectors" in capsys.readouterr().out
    assert commandline.run(print, ["kmodels train", "--extension", files["average"], "--model=averag"]) == 2
    assert "did you mean 'average'?" in capsys.readouterr().err


def test_processes_that_are_started_load_the_same_files(files, monkeypatch):
    assert extensions.load_named(["--extension", files["average"], "--model=x"]) == ["--model=x"]
    paths = extensions.os.environ[extensions.VARIABLE]
    assert paths == files["average"]
    del architectures.ARCHITECTURES["average"]
    del extensions.sys.modules["kmodels_extension_average"]
    extensions.load_named([])
    assert "average" in architectures.ARCHITECTURES


def test_the_command_that_a_report_names_loads_them_too(files, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("weather.py").write_text("")
    monkeypatch.setattr(runner, "command", lambda config: [sys.executable, "-c", "1 / 0"])
    grid = ["--models=average", "--backends=jax", "--seeds=1", "--dataset=sample", "--output_dir=grid"]
    assert cli.main(["kmodels", "compare", f"--extension={files['average']}", "--extension", "weather.py", *grid]) == 1
    said = Path("grid/RESULTS.md").read_text(encoding="utf-8")
    assert f"kmodels compare --extension={files['average']} --extension=weather.py --models=average " in said
    capsys.readouterr()


def test_processes_know_what_python_loaded_or_imported(files, tmp_path, monkeypatch):
    extensions.load(Path(files["weather"]))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("average")
    assert extensions.environment() == {extensions.VARIABLE: f"{files['weather']}:{files['average']}"}
    flags = ["--model=averag", "--dataset=weather"]
    done = subprocess.run(launch.command(flags), cwd=ROOT, capture_output=True, text=True)
    assert "did you mean 'average'?" in done.stderr


@pytest.mark.parametrize(
    ("flags", "environment", "expected"),
    [
        (["--backend=torch"], {}, "torch"),
        ([], {}, next(filter(backend.is_installed, BACKENDS))),
        (["--backend=torch"], {"KERAS_BACKEND": "jax", "KMODELS_CHOSEN_BACKEND": "jax"}, "torch"),
        ([], {"KERAS_BACKEND": "torch", "KMODELS_CHOSEN_BACKEND": "torch"}, "torch"),
        (["--backend=torch"], {"KERAS_BACKEND": "jax"}, "jax"),  # the user's own, which is then refused
    ],
    ids=str,
)
def test_a_file_that_imports_keras_gets_the_commands_backend(flags, environment, expected, tmp_path, monkeypatch):
    for variable in ("KERAS_BACKEND", "KMODELS_CHOSEN_BACKEND"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    path = tmp_path / "average.py"
    path.write_text("import os\nfound = os.environ['KERAS_BACKEND']")  # as Keras does when it is imported
    assert extensions.load_named([f"--extension={path}", *flags]) == flags
    assert sys.modules["kmodels_extension_average"].found == expected
    after = {name: os.environ[name] for name in ("KERAS_BACKEND", "KMODELS_CHOSEN_BACKEND") if name in os.environ}
    assert after == environment


def test_a_file_that_is_imported_and_loaded_registers_once(files, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("average")
    extensions.load_named([f"--extension={files['average']}"])
    assert extensions.environment() == {extensions.VARIABLE: files["average"]}


CELL = """
from kmodels import extensions

@extensions.dataset("mine")
def mine(data_dir=None):
    return number
"""


def test_a_cell_that_is_run_again_replaces_what_it_registered():
    cell = {"__name__": "__main__"}
    exec(CELL, cell | {"number": 1})
    exec(CELL, cell | {"number": 2})
    assert config.DATASETS["mine"]() == 2
    with pytest.raises(ValueError, match="the name 'mine' is taken"):
        exec(CELL.replace("def mine", "def other"), cell)


def test_functions_of_one_name_in_two_files_are_two(tmp_path):
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(CELL)
    extensions.load(tmp_path / "one.py")
    with pytest.raises(InputError, match="the name 'mine' is taken"):
        extensions.load(tmp_path / "two.py")
    assert extensions.environment() == {extensions.VARIABLE: str(tmp_path / "one.py")}


@pytest.mark.parametrize("place", ["a cell", "a program", "a package"])
def test_what_only_this_process_knows_is_said_before_others_are_started(place, tmp_path, monkeypatch):
    path = tmp_path / "package" / "mine.py"
    path.parent.mkdir()
    path.write_text(CELL)
    names = {"a cell": ("__main__", ""), "a program": ("__main__", str(path)), "a package": ("package.mine", str(path))}
    name, file = names[place]
    exec(CELL, {"__name__": name, "__file__": file, "__package__": name.rpartition(".")[0]})
    assert extensions.environment() == {}
    monkeypatch.setattr(launch, "run", lambda *_: pytest.fail("processes were started"))
    with pytest.raises(InputError, match="'mine' is registered in this process only, and other processes need it"):
        kmodels.train(model="textcnn", dataset="mine", backend="torch", workers=2, output_dir=str(tmp_path / "run"))
    exec(compile(CELL, str(path), "exec"), {"__name__": "mine", "__file__": str(path), "__package__": ""})
    assert extensions.environment() == {extensions.VARIABLE: str(path)}
    assert "--dataset=mine" in launch.command(["--dataset=mine"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "must be a .py file"),
        ("1 / 0", "fails: ZeroDivisionError: division by zero"),
        ("from kmodels import extensions\n@extensions.dataset('sst2')\ndef f(): ...", "the name 'sst2' is taken"),
        (
            "from kmodels import extensions\n@extensions.architecture('x', reads='letters', summary='')\ndef f(): ...",
            "reads must be one of words",
        ),
        (
            "from kmodels import extensions\n"
            "@extensions.architecture('x', reads='words', summary='', defaults={'depth': 3})\ndef f(): ...",
            "defaults must be settings; got depth",
        ),
    ],
)
def test_a_file_that_fails_is_one_line(source, message, tmp_path, capsys):
    path = tmp_path / "broken.py"
    if source is not None:
        path.write_text(source)
    assert cli.main(["kmodels", "train", f"--extension={path}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert message in said


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        (3, "must give texts and labels twice"),
        ((["a"], [0], ["b"], [0]), "must give texts and labels twice"),
        (([], [], ["b"], [0], ("x", "y")), "one str or more"),
        (([1], [0], ["b"], [0], ("x", "y")), "one str or more"),
        ((["a"], [0, 1], ["b"], [0], ("x", "y")), "an int label for each of its 1 texts"),
        ((["a"], [0.5], ["b"], [0], ("x", "y")), "an int label"),
        ((["a"], [2], ["b"], [0], ("x", "y")), "labels from 0 to 1"),
        ((["a"], [0], ["b"], [-1], ("x", "y")), "labels from 0 to 1"),
    ],
)
def test_a_dataset_that_gives_something_else_is_one_line(loaded, message):
    from kmodels.data import datasets

    extensions.dataset("mine")(lambda data_dir: loaded)
    with pytest.raises(InputError, match=message):
        datasets.load("mine")


def test_a_dataset_gets_the_folder_and_gives_examples():
    from kmodels.data import datasets

    extensions.dataset("mine")(lambda data_dir: ([data_dir, "b"], [0, 1], ["c"], np.array([1]), ("x", "y")))
    found = datasets.load("mine", data_dir="here")
    assert found.train.texts == ["here", "b"]
    assert found.validation.labels.tolist() == [1]
    assert found.label_names == ("x", "y")


def test_a_setting_that_an_architecture_has_not_is_refused():
    extensions.architecture("plain", reads="words", summary="")(lambda num_classes: None)
    with pytest.raises(InputError, match="embedding_dim is a setting of"):
        config.RunConfig(model="plain", embedding_dim=3)
