"""Which framework a process loads."""

import json
import os
import platform
import subprocess
import sys

import pytest

from kmodels import backend
from kmodels.errors import InputError
from tests.reviews import write_review_files


def python(code, **environment):
    environment = os.environ | {"KMODELS_CHOSEN_BACKEND": ""} | environment  # that of this process is none of its own
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def before_keras(monkeypatch):
    """As in a process that has not imported Keras, whatever other tests did in this one."""
    monkeypatch.setattr(backend, "running", lambda: None)
    monkeypatch.delenv("KMODELS_CHOSEN_BACKEND", raising=False)


def test_a_flag_and_the_environment_that_disagree_are_refused(monkeypatch, before_keras):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(InputError, match="--backend=jax and KERAS_BACKEND=torch disagree"):
        backend.resolve("jax")
    assert backend.resolve("torch") == "torch"


def test_the_environment_decides_where_no_flag_is_given(monkeypatch, before_keras):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert backend.resolve() == "torch"


def test_an_unknown_backend_is_refused_with_the_nearest(monkeypatch, before_keras):
    monkeypatch.setenv("KERAS_BACKEND", "pytorch")
    with pytest.raises(InputError, match=r"got 'pytorch'; did you mean 'torch'\?"):
        backend.resolve()


def test_a_backend_that_is_not_installed_names_the_extra(monkeypatch, before_keras):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(backend, "is_installed", lambda name: name == "torch")
    with pytest.raises(InputError, match=r"pip install 'kmodels\[jax\]'"):
        backend.resolve("jax")
    assert backend.resolve() == "torch"


def test_without_any_backend_the_first_is_suggested(monkeypatch, before_keras):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(backend, "is_installed", lambda name: False)
    with pytest.raises(InputError, match="no backend is installed"):
        backend.resolve()


@pytest.mark.parametrize("is_command", [True, False])
@pytest.mark.parametrize("name", backend.BACKENDS)
def test_a_process_loads_one_framework_and_a_command_less_of_others(name, is_command):
    """All of it can be imported later; a user's own program finds Keras ready for it, and its garbage collected."""
    code = f"""
import atexit, gc, sys
from kmodels import backend
atexit.register(lambda: print(gc.get_freeze_count() > 0, len(gc.get_objects()) == 0))
if {is_command}:
    backend.run_as_command()
backend.choose({name!r})
print(*[module for module in ("pandas", "sklearn", "sympy", "torch._dynamo") if module in sys.modules])
import sklearn.linear_model
from keras.src.wrappers import sklearn_wrapper
print(sklearn_wrapper.sklearn is not None)
import kmodels.models.presets
print(*sorted(module for module in ("jax", "tensorflow", "torch") if sys.modules.get(module)))
print(gc.isenabled(), gc.get_freeze_count() > 0)
"""
    result = python(code, KERAS_BACKEND="")
    imported, is_ready, frameworks, searches, at_the_end = result.stdout.splitlines()
    needless = {"sympy", "torch._dynamo"} | ({"pandas", "sklearn"} if is_command else set())
    assert not needless & set(imported.split())
    assert is_ready == str(not is_command)
    assert frameworks == name, result.stderr
    assert searches == f"True {is_command}"
    assert at_the_end == f"{is_command} {is_command}"


def test_training_on_torch_does_without_its_compiler(tmp_path):
    code = f"""
import sys
from kmodels.cli import main
files = {[str(path) for path in write_review_files(tmp_path)]!r}
flags = ["--epochs=1", "--train_file=" + files[0], "--validation_file=" + files[1], "--output_dir={tmp_path}/run"]
assert main(["kmodels", "train", "--backend=torch", "--model=textcnn", *flags]) == 0
print(*[module for module in ("torch._dynamo", "torch._inductor", "sympy") if module in sys.modules])
"""
    result = python(code, KERAS_BACKEND="")
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, ""), result


def test_torch_can_still_compile_what_keras_says_it_must_not_look_into():
    code = """
from kmodels import backend
backend.choose("torch")
import keras, torch
from keras.src.backend.torch import image, random

@torch.compile(backend="eager")
def function(x):
    return keras.random.uniform(x.shape, seed=keras.random.SeedGenerator(1)) + x

assert function(torch.zeros(3)).shape == (3,)
assert torch._dynamo.disable is not image.dynamo.disable
print(random.torch_seed_generator._torchdynamo_disable)
"""
    result = python(code, KERAS_BACKEND="")
    assert result.stdout == "True\n", result.stderr


def test_keras_that_runs_on_another_backend_is_said_so(monkeypatch):
    monkeypatch.setattr(backend, "running", lambda: "torch")
    with pytest.raises(InputError, match="Keras runs on torch in this process; start a new process to use jax"):
        backend.choose("jax")


@pytest.mark.skipif(not backend.is_installed("jax"), reason="torch would be the first installed")
def test_where_no_backend_is_named_it_is_the_one_that_keras_runs_on(tmp_path):
    """Keras came up on what keras.json says, and jax, which kmodels would take by itself, is installed too."""
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "torch"}))
    code = """
import keras
import kmodels
from kmodels import prediction
kmodels.build("textcnn", vocabulary_size=100, embedding_dim=4)
print(keras.config.backend(), prediction.backend_for(kmodels.RunConfig(model="textcnn")))
"""
    result = python(code, KERAS_BACKEND="", KERAS_HOME=str(tmp_path))
    assert result.stdout == "torch torch\n", result.stderr


TWO_BACKENDS = """
import subprocess, sys
from kmodels import backend
backend.choose(backend.resolve({first!r}))
child = "from kmodels import backend; print(backend.resolve(), backend.resolve('torch'))"
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout.strip())
backend.choose(backend.resolve("torch"))
"""


@pytest.mark.skipif(not backend.is_installed("jax"), reason="it takes two backends")
def test_what_kmodels_set_is_not_taken_for_the_users_own():
    """Neither in this process nor in those that it starts, which without a name run on the same."""
    result = python(TWO_BACKENDS.format(first="jax"), KERAS_BACKEND="")
    assert result.stdout == "jax torch\n"
    assert result.stderr.endswith("Keras runs on jax in this process; start a new process to use torch\n")
    result = python(TWO_BACKENDS.format(first=None), KERAS_BACKEND="jax")  # the user's
    assert result.stdout == "\n"
    assert result.stderr.endswith("--backend=torch and KERAS_BACKEND=jax disagree; give one of them\n")


@pytest.mark.skipif(not backend.is_installed("tensorflow"), reason="it is to be refused")
def test_a_framework_whose_import_is_refused_counts_as_installed():
    code = """
import sys
from kmodels import backend
backend.choose("torch")
assert sys.modules["tensorflow"] is None
print(backend.is_installed("tensorflow"), backend.is_installed("a_package_that_nobody_has"))
"""
    assert python(code, KERAS_BACKEND="").stdout == "True False\n"


def test_import_kmodels_loads_no_framework_and_is_quick():
    code = """
import sys, time
start = time.process_time()
import kmodels
seconds = time.process_time() - start
assert not {"keras", "keras_hub", "jax", "tensorflow", "torch", "numpy"} & set(sys.modules), sorted(sys.modules)
assert seconds < 0.1, seconds
assert callable(kmodels.train) or True
"""
    result = python(code)
    assert result.returncode == 0, result.stderr


def test_the_cache_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("KMODELS_CACHE", "/a/cache")
    assert backend.cache_dir().as_posix() == "/a/cache"
    monkeypatch.delenv("KMODELS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert backend.cache_dir().as_posix() == "/b/kmodels"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="TensorFlow has it by default on other processors")
def test_tensorflow_has_onednn_on_any_processor():
    code = """
from kmodels import backend
backend.choose("tensorflow")
from tensorflow.python.util import _pywrap_util_port
print(_pywrap_util_port.IsMklEnabled())
"""
    done = python(code)
    assert done.stdout.strip() == "True", done.stderr


def test_what_the_user_has_told_a_framework_stays(monkeypatch):
    users = {"TF_ENABLE_ONEDNN_OPTS": "0", "JAX_COMPILATION_CACHE_DIR": "/mine"}
    monkeypatch.setattr(os, "environ", os.environ.copy() | users)
    for name in backend.BACKENDS:
        backend._set_framework_defaults(name)
    assert users.items() <= os.environ.items()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
@pytest.mark.parametrize(("environment", "is_kept"), [({}, True), ({"MALLOC_ARENA_MAX": "8"}, False)])
def test_memory_that_a_step_frees_is_there_for_the_next_one(environment, is_kept):
    """In any thread, without the system handing out each page anew; unless the user has said otherwise."""
    code = """
import resource, threading
from kmodels import backend
backend.choose("torch")

def steps():
    for _ in range(6):
        one, two = b"1" * 40_000_000, b"2" * 80_000_000

faults = []
for _ in range(3):
    thread = threading.Thread(target=steps)
    thread.start()
    thread.join()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[2] - faults[1])
"""
    done = python(code, **environment)
    pages = 6 * 120_000_000 / 4096
    assert (int(done.stdout) < 0.1 * pages) == is_kept, done
