"""The steps of an export, each in a process of its own: one process, one framework."""

import os
import re
import signal
import subprocess
import sys

from kmodels.errors import InputError, RunError

WRONG_INPUT = 2  # exit status
_EXCEPTION = re.compile(r"(\w+\.)*\w*(Error|Exception|error): ")
# A file must not remember the device on which it was made.
_ON_THE_CPU = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}


def run(job, steps, backend_name=None):
    """Runs steps of a job (`kmodels.export.steps`) in one new process, on the processor.

    Args:
        job: path of its JSON file.
        steps: [name of a step, …].
        backend_name: the backend they run on; None for a step that needs none.

    Returns:
        What the process printed.

    Raises:
        InputError, RunError: as the process ended, with its reason in one line.
    """
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"} | _ON_THE_CPU
    if backend_name:
        environment["KERAS_BACKEND"] = backend_name
    command = [sys.executable, "-m", "kmodels", "export", f"--job={job}", f"--steps={','.join(steps)}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise (InputError if done.returncode == WRONG_INPUT else RunError)(_reason(done.stderr, done.returncode))
    return done.stdout


def _reason(said, status):
    """Why a process failed: from the last exception in what it said to the end, as one line."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}; out of memory?"
    lines = [line for line in said.splitlines() if line.strip()] or [f"exit status {status}"]
    starts = [number for number, line in enumerate(lines) if _EXCEPTION.match(line)] or [len(lines) - 1]
    return " ".join(" ".join(lines[starts[-1] :]).removeprefix("error: ").split())[:500]
