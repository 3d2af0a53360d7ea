"""One test process loads one framework: the one KERAS_BACKEND names. No test needs a network."""

import gc
import os
import sys
import tempfile

import hypothesis
import pytest

from tests.reviews import tiny_settings, write_review_files

# Before anything can import Keras: no test writes into the home folder or reaches out.
_HOME = tempfile.TemporaryDirectory(prefix="kmodels-tests-")
os.environ["KERAS_HOME"] = os.path.join(_HOME.name, "keras")
os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" not in os.environ:  # what one of these processes has compiled is there for the others
    os.environ["KMODELS_CACHE"] = os.path.join(_HOME.name, "cache")
# The tests' models run for milliseconds: compiling them well takes longer than running them.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false",
)

gc.disable()  # until the tests are collected, which makes what stays; see pytest_collection_finish

# A busy machine is no failure.
hypothesis.settings.register_profile("kmodels", deadline=None)
hypothesis.settings.load_profile("kmodels")


# What takes longest, mostly for it starts processes: the files with which the processes of the tests begin.
_LONGEST = (
    "test_lost_nodes",
    "test_ray",
    "test_equal_backends",
    "test_readme",
    "test_interruption",
    "workers/test_training",
    "test_resume",
    "test_export",
    "test_two_hosts",
    "backends/test_tensorflow",
    "tests/test_training",
)


def pytest_ignore_collect(collection_path, config):
    """A file is not read for the tests that it marks `backend` where none are asked for, nor the other way round."""
    if not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text(encoding="utf-8")
    if config.option.markexpr == "not backend":
        return "\npytestmark = pytest.mark.backend\n" in text or None
    if config.option.markexpr.startswith("backend"):
        return ("mark.backend" not in text and "mark.one_backend" not in text) or None
    return None


def pytest_collection_finish():
    """What there is by now stays to the end: no search for cycles need go through it."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests marked `backend` run on the chosen backend; choosing it comes before they import Keras."""
    if "keras" in sys.modules:
        raise pytest.UsageError(
            "a test module imports Keras at its top: that would choose the backend before the tests do"
        )
    for item in items:
        if item.get_closest_marker("one_backend"):
            item.add_marker("backend")
        if item.get_closest_marker("backend"):
            item.fixturenames.insert(0, "chosen_backend")
    selected = yield  # by marks
    items[:] = _dealt(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    return selected


def _dealt(items, num_processes):
    """The tests in an order of which each process first takes an equal part: one that begins with long files.

    So at the end none has a long test left and the others none; and what a file sets up is mostly set up once.
    """
    parts, rest = [[] for _ in range(num_processes)], list(items)
    turns = [*range(num_processes), *reversed(range(num_processes))]
    for number, name in enumerate(_LONGEST):
        long = [item for item in rest if item.path.with_suffix("").as_posix().endswith(f"/{name}")]
        parts[turns[number % len(turns)]] += long
        rest = [item for item in rest if item not in long]
    for number, part in enumerate(parts):
        free = len(items) * (number + 1) // num_processes - sum(map(len, parts[: number + 1]))
        part += rest[: max(0, free)]
        rest = rest[max(0, free) :]
    return [item for part in parts for item in part] + rest


@pytest.fixture(scope="session")
def chosen_backend():
    """The backend of this test process, chosen as a run chooses it."""
    from kmodels import backend

    name = backend.resolve()
    backend.choose(name)
    if name == "tensorflow":  # graphs that run for milliseconds take longer to be rewritten
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    gc.freeze()
    return name


@pytest.fixture
def review_files(tmp_path):
    """Two small TSV files of short reviews, (train_file, validation_file)."""
    return write_review_files(tmp_path)


@pytest.fixture(scope="session")
def shared_files(tmp_path_factory):
    """The review files of all runs of `record_of`."""
    return write_review_files(tmp_path_factory.mktemp("reviews"))


@pytest.fixture(scope="session")
def record_of(chosen_backend, shared_files, tmp_path_factory):
    """A function from a model's name to the kmodels.Record of a tiny run of it, made once; not to be changed."""
    from kmodels.training import train

    records = {}

    def record(model="textcnn"):
        if model not in records:
            folder = tmp_path_factory.mktemp(model) / "run"
            # textcnn learns what can be learned, for the examples in docstrings.
            length = {"epochs": 6} if model == "textcnn" else {"epochs": 1, "max_train_examples": 16}
            records[model] = train(**tiny_settings(model, shared_files, folder, **length))
        return records[model]

    return record


@pytest.fixture(autouse=True, scope="module")
def forgotten_models():
    """What a module's tests built is let go: graphs of hundreds of models make every collection of garbage slow."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session(free_memory=True)
