"""Good presets and runs, and copies of them to damage."""

import shutil
from pathlib import Path

import pytest

from tests.hostile import attacks
from tests.hostile.checks import FORMATS, MODELS


@pytest.fixture(scope="session")
def whole(chosen_backend, tmp_path_factory):
    """{(kind, format): a good preset}."""
    folders = {each: tmp_path_factory.mktemp("-".join(each)) for each in FORMATS}
    for (kind, format), folder in folders.items():
        getattr(attacks, f"write_{format}")(folder, kind)
    return folders


@pytest.fixture(scope="session")
def runs(chosen_backend, tmp_path_factory):
    """{model: a good run's folder}."""
    import keras

    keras.config.set_dtype_policy("float32")
    folders = {model: tmp_path_factory.mktemp(model) for model in MODELS}
    for model, folder in folders.items():
        attacks.write_run(folder, model, chosen_backend)
    return folders


@pytest.fixture
def preset_copy(whole, tmp_path):
    """A function that copies a good preset for a test to damage."""
    return lambda kind, format: Path(shutil.copytree(whole[kind, format], tmp_path / f"{kind}-{format}"))


@pytest.fixture
def run_copy(runs, tmp_path):
    return lambda model: Path(shutil.copytree(runs[model], tmp_path / model))
