"""Two hosts, as two network namespaces with a cable between them: a run across them, and its end once that is cut."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kmodels
from tests.reviews import tiny_settings

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.backend
WAIT_SECONDS = 14  # more than the 10 s that TensorFlow's own heartbeat has if nobody says otherwise


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def hosts():
    """The names of two network namespaces, whose only way to each other is 10.77.N.0/30; skipped without the right."""
    if not shutil.which("ip"):
        pytest.skip("needs the program ip (Debian: iproute2)")
    number = os.getpid() % 250
    names = [f"kmodels-{os.getpid()}-{host}" for host in "ab"]
    cable = [f"km{os.getpid() % 10**6}{host}" for host in "ab"]
    with contextlib.ExitStack() as undo:
        try:
            for name in names:
                ip("netns", "add", name)
                undo.callback(ip, "netns", "del", name)
            ip("link", "add", cable[0], "netns", names[0], "type", "veth", "peer", "name", cable[1], "netns", names[1])
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no right to make network namespaces: {error.stderr.decode().strip()}")
        for name, end, host in zip(names, cable, (1, 2)):
            ip("-n", name, "addr", "add", f"10.77.{number}.{host}/30", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names, cable, f"10.77.{number}.1"


def start(hosts, backend, settings):
    """A worker on each host. Returns their processes."""
    names, _, address = hosts
    flags = [f"--{name}={value}" for name, value in settings.items()]
    processes = []
    for rank, name in enumerate(names):
        variables = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": address}
        variables |= {"MASTER_PORT": "29500", "KERAS_BACKEND": backend, "KMODELS_WAIT_SECONDS": str(WAIT_SECONDS)}
        command = ["ip", "netns", "exec", name, sys.executable, str(ROOT / "train.py"), *flags]
        processes.append(
            subprocess.Popen(
                command, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    return processes


def test_a_run_across_two_hosts_and_its_end_when_the_cable_is_cut(hosts, shared_files, tmp_path, chosen_backend):
    settings = tiny_settings("bilstm", shared_files, tmp_path / "run", backend=chosen_backend)
    for process in start(hosts, chosen_backend, settings):
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert "peak_worker_1_memory_MB" in kmodels.records.read(tmp_path / "run").metrics

    endless = settings | {"epochs": 100_000, "output_dir": str(tmp_path / "cut"), "checkpoint_seconds": 0.5}
    processes = start(hosts, chosen_backend, endless)
    end = time.monotonic() + 90
    while not list((tmp_path / "cut").glob("checkpoints/epoch*")) and time.monotonic() < end:
        time.sleep(0.1)
    (name, _), (cable, _), _ = hosts
    ip("-n", name, "link", "set", cable, "down")
    cut = time.monotonic()
    for process in processes:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1, said
        last = said.splitlines()[-1]
        assert "error: another worker is lost, or doesn't answer: " in last, said
        if chosen_backend != "torch":
            assert re.search(r"worker [01]: silent for \d+ s$", last), said
    assert time.monotonic() - cut < 60
    assert list((tmp_path / "cut").glob("checkpoints/epoch*"))
