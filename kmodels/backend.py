"""Decides which one framework this process loads, before Keras exists."""

import atexit
import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import types
from pathlib import Path

from kmodels.config import BACKENDS
from kmodels.errors import InputError
from kmodels.settings import did_you_mean


def cache_dir():
    """The folder for what can be made again: data sets, compiled programs. $KMODELS_CACHE decides if set."""
    if os.environ.get("KMODELS_CACHE"):
        return Path(os.environ["KMODELS_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kmodels"


# What `choose` set KERAS_BACKEND to. Processes that this one starts inherit both, and tell it so from what a user set.
_CHOSEN = "KMODELS_CHOSEN_BACKEND"


def resolve(name=None):
    """The backend that a run uses: `name`, else KERAS_BACKEND, else that of this process, else the first installed.

    ~/.keras/keras.json is not asked: Keras writes "tensorflow" there when it is first imported, whatever is in use.

    Args:
        name: one of BACKENDS, or None.

    Raises:
        InputError: the name is unknown, disagrees with KERAS_BACKEND as the user set it, or is not installed.
    """
    from_environment = os.environ.get("KERAS_BACKEND") or None
    is_users = from_environment != os.environ.get(_CHOSEN)
    if name and from_environment and is_users and name != from_environment:
        raise InputError(f"--backend={name} and KERAS_BACKEND={from_environment} disagree; give one of them")
    own = running() if running() in BACKENDS else None  # else `choose` says what is wrong
    wanted = name or (is_users and from_environment) or own or from_environment
    if not wanted:
        return _first_installed()
    if wanted not in BACKENDS:
        hint = did_you_mean(wanted, BACKENDS)
        raise InputError(f"the backend must be one of {', '.join(BACKENDS)}; got {wanted!r}{hint}")
    if not is_installed(wanted):
        raise InputError(f"the backend {wanted} is not installed; install it with: pip install 'kmodels[{wanted}]'")
    return wanted


def running():
    """The backend that Keras runs on in this process; None before Keras is imported."""
    keras = sys.modules.get("keras")
    return keras.config.backend() if keras else None


def check_free(name):
    """Raises InputError if Keras runs on another backend in this process already."""
    if running() not in (None, name):
        raise InputError(f"Keras runs on {running()} in this process; start a new process to use {name}")


@contextlib.contextmanager
def preferred(name):
    """A context in which a Keras that is imported by itself comes up on a backend, and not on that of keras.json.

    Args:
        name: of a backend; where it is none that is installed, what this process inherited, else the first that is
            installed. What the user set stays.
    """
    before = {variable: os.environ.get(variable) for variable in ("KERAS_BACKEND", _CHOSEN)}
    is_users = before["KERAS_BACKEND"] and before["KERAS_BACKEND"] != before[_CHOSEN]
    order = name, before["KERAS_BACKEND"], *BACKENDS
    wanted = next((each for each in order if each in BACKENDS and is_installed(each)), None)
    if is_users or wanted is None:
        yield
        return
    os.environ["KERAS_BACKEND"] = os.environ[_CHOSEN] = wanted
    try:
        yield
    finally:
        for variable, value in before.items():
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value


def is_installed(name):
    """True if the framework can be imported here, or could but for `choose`. Imports nothing."""
    if name in sys.modules:  # an entry of None, by which an import is refused, says nothing of what is installed
        return sys.modules[name] is not None or importlib.machinery.PathFinder.find_spec(name) is not None
    return importlib.util.find_spec(name) is not None


# What Keras imports where it is installed: JAX for a callback; pandas and scikit-learn for who gives `fit` frames or
# takes a model for an estimator, which a command never does.
_NEEDLESS = {"jax"}
_NEEDLESS_IN_A_COMMAND = {"pandas", "sklearn"}
_is_command = False


def run_as_command():
    """Says that this process runs a command and no code of a user's own beside it.

    So less need be imported, and what is imported is left out of Python's searches for cycles, as at its end all is.
    """
    global _is_command
    _is_command = True
    atexit.register(gc.freeze)


def choose(name, deterministic=False):
    """Makes `name` the one framework of this process, and imports Keras on it.

    Afterwards `import tensorflow` fails in a process that uses another backend: KerasHub would load it on every one,
    600 MiB of memory and three seconds that the run does not need. If it was imported before, it stays. Memory that is
    freed from then on stays in the process.

    Args:
        name: a backend that `resolve` gave.
        deterministic: have the framework use only kernels that give the same bits each time.

    Raises:
        InputError: Keras runs on another backend in this process already.
    """
    check_free(name)
    if running():
        return
    if os.environ.get("KERAS_BACKEND") != name:
        os.environ["KERAS_BACKEND"] = os.environ[_CHOSEN] = name
    _keep_freed_memory()
    _set_framework_defaults(name)
    if deterministic:
        _ask_for_determinism(name)
    if name != "tensorflow":
        _refuse("tensorflow")
        _refuse("tensorflow_text")
    compiler = _without_compiler() if name == "torch" else contextlib.nullcontext()
    needless = _NEEDLESS | (_NEEDLESS_IN_A_COMMAND if _is_command else set())
    with _uncollected(), _without(needless - {name}), compiler:
        _import_quietly("keras")


@contextlib.contextmanager
def _uncollected():
    """A context without Python's searches for cycles: an import makes half a million objects, and nearly all stay.

    In a command they are left out of later searches as well: a user's own program decides that for itself.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if _is_command:
            gc.freeze()
        if was_enabled:
            gc.enable()


def _import_quietly(module):
    """Imports without what TensorFlow's C++ says at its start, which no log level silences; shown if it fails."""
    with tempfile.TemporaryFile() as said:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            importlib.import_module(module)
        except ImportError:
            said.seek(0)
            os.write(stderr, said.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _refuse(module):
    """Makes `import module` fail, by Python's own way. Returns False if it was imported already."""
    if module in sys.modules:
        return False
    sys.modules[module] = None  # type: ignore[assignment]
    return True


@contextlib.contextmanager
def _without(modules):
    """A context in which these can't be imported. No longer: SciPy takes an entry of None for the module."""
    refused = [module for module in modules if _refuse(module)]
    try:
        yield
    finally:
        for module in refused:
            sys.modules.pop(module, None)


@contextlib.contextmanager
def _without_compiler():
    """A context in which Keras has torch.compile's front end without importing it: most of a start of Keras on torch.

    Keras only decorates two functions with its `disable`, which is to mark them; the compiler, if it is ever asked for,
    reads the mark.
    """
    compiler = "torch._dynamo"
    _import_quietly("torch")
    if compiler in sys.modules:
        yield
        return

    def marked(function):
        function._torchdynamo_disable = True
        return function

    def whole(name):  # whatever else is asked for
        sys.modules.pop(compiler, None)
        return getattr(importlib.import_module(compiler), name)

    stand_in = types.ModuleType(compiler)
    vars(stand_in).update(disable=lambda: marked, __getattr__=whole)
    sys.modules[compiler] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(compiler) is stand_in:
            del sys.modules[compiler]


def _set_framework_defaults(name):
    """Settings that a framework reads once, at its start. What the user has set stays."""
    defaults = {
        "jax": {
            # Memory is taken as needed, so that a peak says what a run needed.
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            # Compiled programs outlive the process: the second run of the same shapes starts in seconds.
            "JAX_COMPILATION_CACHE_DIR": str(cache_dir() / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # of small ones there are dozens
        },
        "tensorflow": {
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # Without AVX512-VNNI or newer TensorFlow leaves oneDNN's products out, which are faster there, too.
            "TF_ENABLE_ONEDNN_OPTS": "1",
        },
        "torch": {
            # oneDNN compiles a product for each shape, and both it and PyTorch keep a thousand, some of 20 MiB each.
            "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256",
            "LRU_CACHE_CAPACITY": "256",
        },
    }
    for variable, value in defaults[name].items():
        os.environ.setdefault(variable, value)


# The numbers that glibc's malloc.h gives the parameters, and what they are set to.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MALLOPT = ((_M_TRIM_THRESHOLD, -1), (_M_MMAP_THRESHOLD, 2**30), (_M_ARENA_MAX, 1))


def _keep_freed_memory():
    """Has the C library keep what is freed, for the next step, which asks for the same again.

    As it is, glibc gives a step's gradients and intermediate arrays back to the system, which then hands out each of
    their pages anew, zeroed: on a CPU a quarter of a step's time on JAX. It has to come before the frameworks start
    their threads, for each of these would get a heap of its own. What the user has set stays.

    Source: glibc's manual, Malloc Tunable Parameters.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOPT:
            mallopt(parameter, value)


def _ask_for_determinism(name):
    """What a framework must be told before its start to give the same bits each time on a GPU."""
    if name == "jax":
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
    elif name == "torch":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _first_installed():
    for name in BACKENDS:
        if is_installed(name):
            return name
    raise InputError(f"no backend is installed; install one with: pip install 'kmodels[{BACKENDS[0]}]'")
