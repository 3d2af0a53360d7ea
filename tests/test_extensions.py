"""Architectures and datasets of the user's own, as docs/extending.md shows them."""

import re
from pathlib import Path

import numpy as np
import pytest

import kmodels
from kmodels import architectures, cli, commandline, config, extensions
from kmodels.errors import InputError

EXAMPLES = re.findall(
    r"^`(\w+\.py)`.*?```python\n(.*?)```",
    (Path(__file__).parent.parent / "docs" / "extending.md").read_text(encoding="utf-8"),
    flags=re.DOTALL | re.MULTILINE,
)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """What a test registers is gone after it."""
    for names in (architectures.ARCHITECTURES, config.DATASETS):
        for name in list(names):
            monkeypatch.setitem(names, name, names[name])
    monkeypatch.setenv(extensions.VARIABLE, "")
    before = {id(names): set(names) for names in (architectures.ARCHITECTURES, config.DATASETS)}
    yield
    for names in (architectures.ARCHITECTURES, config.DATASETS):
        for name in set(names) - before[id(names)]:
            del names[name]
    extensions.sys.modules.pop("kmodels_extension_average", None)
    extensions.sys.modules.pop("kmodels_extension_weather", None)


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
