"""The wheel: what people install without a checkout has everything that the package reads."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The files in a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    # Built from a copy, for a build leaves files in the tree that it is made from.
    copy = folder / "source"
    copy.mkdir()
    for name in ("kmodels", "flags", "pyproject.toml", "README.md"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(copy)], check=True)
    subprocess.run([*command, str(folder), str(copy)], check=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_every_file_of_the_package_is_in_the_wheel(names):
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kmodels").rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    assert files <= names
    assert "kmodels/py.typed" in files


def test_the_flag_files_are_in_the_wheel_and_are_found_by_name(names, tmp_path, monkeypatch):
    from kmodels import commandline

    installed = {name.rpartition("/")[2] for name in names if "/share/kmodels/flags/" in name}
    assert installed == {path.name for path in (ROOT / "flags").iterdir()}
    monkeypatch.chdir(tmp_path)
    for name in ("textcnn", "textcnn.flags", "flags/textcnn.flags"):
        assert commandline.parse(["kmodels train", f"--flagfile={name}"]).epochs == 50
    (tmp_path / "textcnn").write_text("--epochs=7\n")
    assert commandline.parse(["kmodels train", "--flagfile=textcnn"]).epochs == 7
