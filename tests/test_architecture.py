"""The walls of the house: what each room may import. docs/architecture.md draws them."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FRAMEWORKS = {"jax", "tensorflow", "torch"}

# Rooms from the ground up: a module imports from its own level and those below. The first name that fits counts.
LEVELS = [
    {
        "kmodels.errors",
        "kmodels.architectures",
        "kmodels.settings",
        "kmodels.config",
        "kmodels.backend",
        "kmodels.records",
        "kmodels.extensions",
        "kmodels.signals",
        "kmodels.cores",
        "kmodels.workers",
        "kmodels",
    },
    {"kmodels.statistics"},
    {"kmodels.data", "kmodels.checkpoints", "kmodels.locks", "kmodels.run_folder", "kmodels.cluster"},
    {"kmodels.comparison", "kmodels.evaluation"},  # figures and records, without a model
    {"kmodels.layers", "kmodels.models", "kmodels.losses"},
    {"kmodels.backends", "kmodels.optimizers", "kmodels.callbacks"},
    {
        "kmodels.training",
        "kmodels.corpus",
        "kmodels.loop",
        "kmodels.inference",
        "kmodels.prediction",
        "kmodels.peak",
    },
    {"kmodels.export", "kmodels.serving"},
    {"kmodels.commandline", "kmodels.stdout", "kmodels.commands", "kmodels.cli", "kmodels.__main__", "train"},
]
# What the lower levels may import from outside, besides the standard library.
OUTSIDE = [
    set(),
    {"numpy", "scipy"},
    {"numpy", "tokenizers", "rich", "safetensors", "psutil", "ray"},
    {"numpy", "psutil", "jinja2", "markupsafe"},
    {"numpy", "keras", "keras_hub", "h5py", "safetensors", "huggingface_hub", "kagglehub"},
    {"numpy", "keras", "psutil", "pynvml", "rich", "tensorboard"},
    {"numpy", "keras"},
    {"numpy", "keras", "tokenizers", "safetensors", "onnxruntime", "openvino", "ai_edge_litert"}
    | {"starlette", "uvicorn", "h11", "prometheus_client"},
    {"absl", "numpy"},
]


# Where a format is written and read by a framework, in a process of its own: each file's.
EXPORTERS = {
    "kmodels.export.torch": {"torch"},
    "kmodels.export.onnx": {"torch"},
    "kmodels.export.tracing": {"torch"},
    "kmodels.export.tf_saved_model": {"tensorflow"},
    "kmodels.export.litert": {"tensorflow"},
}


def modules():
    return [pytest.param(name, path, id=name) for name, path in module_paths()]


def module_paths():
    for path in [*sorted((ROOT / "kmodels").rglob("*.py")), ROOT / "train.py"]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, path


def level_of(module):
    for number, rooms in enumerate(LEVELS):
        if any(module == room or (room != "kmodels" and module.startswith(room + ".")) for room in rooms):
            return number
    raise AssertionError(f"{module} stands on no level: give it one in LEVELS")


def imports(path):
    """The module of each import in a file, inside functions as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "kmodels":
            yield from (f"kmodels.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def standard_library(module):
    return module.partition(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize(("module", "path"), modules())
def test_imports_point_down(module, path):
    level = level_of(module)
    for imported in imports(path):
        if imported.partition(".")[0] == "kmodels":
            assert level_of(imported) <= level, f"{module} imports {imported}, which stands above it"


@pytest.mark.parametrize(("module", "path"), modules())
def test_only_a_backends_own_file_imports_its_framework(module, path):
    of_backend = module.startswith("kmodels.backends.")
    allowed = {module.split(".")[2]} if of_backend else EXPORTERS.get(module, set())
    for imported in imports(path):
        assert imported.partition(".")[0] not in FRAMEWORKS - allowed, f"{module} imports {imported}"


@pytest.mark.parametrize(("module", "path"), modules())
def test_rooms_import_only_their_packages(module, path):
    allowed = OUTSIDE[level_of(module)] | FRAMEWORKS | {"kmodels"}
    for imported in imports(path):
        package = imported.partition(".")[0]
        assert standard_library(imported) or package in allowed, f"{module} imports {imported}"


@pytest.mark.parametrize(("module", "path"), modules())
def test_nothing_outside_backends_branches_on_the_backend(module, path):
    if module.startswith("kmodels.backend"):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            constants = {leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)}
            assert not constants & FRAMEWORKS, f"{module}:{node.lineno} compares with a backend's name"
