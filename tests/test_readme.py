"""What the README shows of the commands is what they print: its console blocks are run, one after the other."""

import os
import pty
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from kmodels.workers.meeting import free_port

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-\d+)?")
SECONDS = 300
# What is the machine's, or the day's: the processor's name and what training took.
MACHINES_OWN = re.compile(r"(?<=float32, ).*$|^(training|memory) .*$", flags=re.MULTILINE)


def blocks():
    """[[command, what the README shows under it], …] of all console blocks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    return [[part.partition("\n")[::2] for part in block.split("$ ")[1:]] for block in shown]


def terminal_output(command, folder, environment):
    """What a command prints with a terminal as its stdout; of one that ends with &, the process as well."""
    reading, writing = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command.removesuffix(' &')}" if command.endswith(" &") else command],
        cwd=folder,
        env=environment,
        stdout=writing,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(writing)
    read = b""
    with os.fdopen(reading, "rb", buffering=0) as stream:
        while not (command.endswith(" &") and b"http://" in read and b"\n" in read):
            try:
                part = stream.read(4096)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not part:
                break
            read += part
    return read.decode().replace("\r\n", "\n"), process


def skeleton(text):
    """A text without its figures, and with one blank between words."""
    return [" ".join(NUMBER.sub("#", line).split()) for line in MACHINES_OWN.sub("", text).strip().splitlines()]


def parts_of_one(text):
    """The figures from 0 to 1: accuracies, probabilities."""
    found = NUMBER.findall(MACHINES_OWN.sub("", text))
    return [float(number) for number in found if "." in number and "," not in number and float(number) <= 1]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals on this system")
def test_the_console_blocks_show_what_the_commands_print(tmp_path):
    for name in ("train.py", "flags"):
        (tmp_path / name).symlink_to(ROOT / name)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in (("kmodels", "-m kmodels"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment |= {"KERAS_BACKEND": "jax", "PYTHONUNBUFFERED": "1"}
    port = str(free_port("127.0.0.1"))
    commands = [command for block in blocks() for command in block]
    assert len(commands) >= 7
    background = []
    try:
        for command, shown in commands:
            printed, process = terminal_output(command.replace("8080", port), tmp_path, environment)
            printed = printed.replace(port, "8080")
            if command.endswith(" &"):
                background.append(process)
                wait_until_ready(port)
            else:
                assert process.wait(SECONDS) == 0, command
            assert skeleton(printed) == skeleton(shown), command
            assert parts_of_one(printed) == pytest.approx(parts_of_one(shown), abs=0.15), command
    finally:
        for process in background:
            process.terminate()
            process.wait(60)


def wait_until_ready(port):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server was never ready")
