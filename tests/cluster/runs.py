"""What runs on a cluster leave to be seen while they train."""

import os
from pathlib import Path

import psutil

AXES = ("model", "backend", "output_dir")  # what a grid names itself


def trainers(folder):
    """The processes that train a run in a folder, or runs in folders of it, and no other test's."""
    return [
        each
        for each in psutil.process_iter(["cmdline"])
        if (each.info["cmdline"] or [])[1:4] == ["-m", "kmodels", "train"]
        and any(flag.startswith(f"--output_dir={folder}") for flag in each.info["cmdline"])
    ]


def folders_of_checkpoints(folder):
    """Those with checkpoints in them, at any depth; checkpoints that are removed meanwhile are passed over."""
    inside = {path: names for path, names, _ in os.walk(folder) if Path(path).name == "checkpoints"}
    return [path for path, names in inside.items() if any(name.startswith("epoch") for name in names)]
