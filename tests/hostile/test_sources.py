"""No source of kmodels can run what it reads."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml", "runpy", "subprocess"}
NAMES = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES = {"enable_unsafe_deserialization", "deserialize_keras_object", "deserialize", "func_load", "load_model"}
ATTRIBUTES |= {"from_preset", "from_config", "from_pretrained", "model_from_json", "spec_from_file_location"}
ATTRIBUTES |= {"extract", "extractall", "unpack_archive", "popen"}
DOTTED = {"torch.load", "np.load", "numpy.load", "os.system"}
KEYWORDS = {"allow_pickle": False, "safe_mode": True, "shell": False, "trust_remote_code": False, "weights_only": True}


def dangers(node):
    """What a node of a source has that could run what the program reads: {name, …}."""
    if isinstance(node, ast.Import):
        return MODULES & {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return MODULES & {str(node.module).partition(".")[0]} | ATTRIBUTES & {alias.name for alias in node.names}
    if isinstance(node, ast.Name):
        return NAMES & {node.id}
    if isinstance(node, ast.Attribute):
        return (ATTRIBUTES | DOTTED) & {node.attr, ast.unparse(node)}
    if isinstance(node, ast.keyword) and node.arg in KEYWORDS:
        return set() if ast.unparse(node.value) == str(KEYWORDS[node.arg]) else {node.arg}
    return set()


def dangers_in(source):
    return set().union(*map(dangers, ast.walk(ast.parse(source))))


SOURCES = [*sorted((ROOT / "kmodels").rglob("*.py")), ROOT / "train.py"]
# a run of a comparison and a step of an export are processes of their own; never by a shell (KEYWORDS)
# a file of the user's own is loaded because a flag names it
ON_PURPOSE = {
    "kmodels/comparison/runner.py": {"subprocess"},
    "kmodels/export/processes.py": {"subprocess"},
    "kmodels/extensions.py": {"spec_from_file_location"},
    "kmodels/workers/launch.py": {"subprocess"},
    "kmodels/cluster/processes.py": {"subprocess"},
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_can_run_what_it_reads(path):
    allowed = ON_PURPOSE.get(path.relative_to(ROOT).as_posix(), set())
    assert dangers_in(path.read_text(encoding="utf-8")) == allowed


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal as m",
        "import yaml",
        "eval(text)",
        "run = exec",
        "torch.load(path)",
        "np.load(path, mmap_mode=None)",
        "load(path, allow_pickle=True)",
        "load(path, allow_pickle=flag)",
        "load(path, safe_mode=False)",
        "load(path, trust_remote_code=True)",
        "keras.config.enable_unsafe_deserialization()",
        "from keras.config import enable_unsafe_deserialization",
        "keras.saving.deserialize_keras_object(config)",
        "Backbone.from_preset(path)",
        "archive.extractall(folder)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_search_of_the_sources_finds(source):
    assert dangers_in(source)
