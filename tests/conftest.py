"""One test process loads one framework: the one KERAS_BACKEND names. No test needs a network."""

import os
import tempfile

import pytest

# Before anything can import Keras: no test writes into the home folder or reaches out.
_HOME = tempfile.TemporaryDirectory(prefix="kmodels-tests-")
os.environ["KERAS_HOME"] = os.path.join(_HOME.name, "keras")
os.environ["KMODELS_CACHE"] = os.path.join(_HOME.name, "cache")
os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_collection_modifyitems(items):
    """Tests marked `backend` run on the chosen backend; choosing it comes before they import Keras."""
    for item in items:
        if item.get_closest_marker("backend"):
            item.fixturenames.insert(0, "chosen_backend")


@pytest.fixture(scope="session")
def chosen_backend():
    """The backend of this test process, chosen as a run chooses it."""
    from kmodels import backend

    name = backend.resolve()
    backend.choose(name)
    return name


@pytest.fixture
def review_files(tmp_path):
    """Two small TSV files of short reviews, (train_file, validation_file): 96 and 32 sentences of two classes."""
    import random

    numbers = random.Random(0)
    things, good, bad = ["film", "plot", "cast", "score"], ["fine", "great", "superb"], ["poor", "dull", "awful"]

    def line():
        label = numbers.randrange(2)
        words = [f"the {numbers.choice(things)} is {numbers.choice((bad, good)[label])}" for _ in range(3)]
        return f"{' and '.join(words[: numbers.randint(1, 3)])}\t{label}\n"

    paths = tmp_path / "train.tsv", tmp_path / "validation.tsv"
    for path, count in zip(paths, (96, 32)):
        path.write_text("sentence\tlabel\n" + "".join(line() for _ in range(count)), encoding="utf-8")
    return paths
