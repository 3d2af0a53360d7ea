"""What the documents promise: their examples run, their tables come from the records, their links lead somewhere."""

import doctest
import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from kmodels import cli

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REPORTED = sorted(path.parent for path in (ROOT / "results").glob("*/comparison.json"))


def tables():
    specification = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_making_the_tables_again_changes_nothing():
    module = tables()
    for path in module.documents():
        text = path.read_text(encoding="utf-8")
        assert module.filled(text) == text, f"run: python benchmarks/tables.py ({path.name} differs)"


@pytest.mark.parametrize("folder", REPORTED, ids=lambda folder: folder.name)
def test_making_the_report_again_changes_nothing(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / folder.name)
    assert cli.main(["kmodels", "report", str(copy)]) == 0
    files = {path.relative_to(copy) for path in copy.rglob("*") if path.is_file()}
    assert files == {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    for name in files:
        assert (copy / name).read_bytes() == (folder / name).read_bytes(), f"run: kmodels report {folder} ({name})"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), target


def test_every_test_that_holds_a_promise_exists():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 20
    for file, function in named:
        assert f"def {function or 'test_'}" in (ROOT / file).read_text(encoding="utf-8"), (file, function)


def test_every_room_in_the_map_exists():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = text.partition("## Rooms")[2].partition("## Walls")[0]
    for room in re.findall(r"^\| (`[^|]+) \|", rooms, flags=re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", room):
            assert (ROOT / name).exists() or (ROOT / "kmodels" / name).exists(), name


def test_every_file_of_the_package_is_in_the_map():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in (ROOT / "kmodels").iterdir():
        if path.name not in ("__init__.py", "__init__.pyi", "__pycache__", "py.typed"):
            assert path.name.removesuffix(".py") in text, f"{path.name} is not in docs/architecture.md"


def test_the_keys_of_the_readme_are_the_keys_of_a_record():
    from kmodels import records

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "results").glob("sst2*/*/metrics.json"):
        for key in records.read_json(path):
            stem = re.sub(r"^(training|validation|best_validation)_(accuracy|loss)$", r"\1_*", key)
            assert f"`{stem}`" in text, key


@pytest.mark.one_backend
def test_the_readmes_python_runs(tmp_path, monkeypatch):
    import keras
    import numpy as np

    monkeypatch.chdir(tmp_path)
    numbers = np.random.default_rng(0)
    x, x_dev = numbers.standard_normal((2, 16, 3)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    names = {"model": model, "x": x, "y": x[:, :1], "x_dev": x_dev, "y_dev": x_dev[:, :1]}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    assert (tmp_path / "best.weights.h5").is_file()


@pytest.mark.one_backend
@pytest.mark.parametrize("name", ["kmodels.callbacks.best_epoch", "kmodels.callbacks.peak_memory"])
def test_examples_in_docstrings_give_what_they_show(name):
    import keras
    import numpy as np

    x = np.random.default_rng(0).standard_normal((16, 3)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    module = importlib.import_module(name)
    results = doctest.testmod(module, extraglobs={"model": model, "x": x, "y": y})
    assert results.attempted >= 3
    assert results.failed == 0


@pytest.mark.one_backend
@pytest.mark.parametrize("name", ["kmodels", "kmodels.training"])
def test_examples_of_training_give_what_they_show(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted >= 2
    assert results.failed == 0
