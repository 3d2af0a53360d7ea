"""What a run leaves in its folder: the names of its files, the schema of metrics.json, atomic writes, reading back."""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from kmodels.errors import InputError, RunError

CONFIG = "config.json"
ENVIRONMENT = "environment.json"
MODEL = "model.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "best.weights.h5"
HISTORY = "history.jsonl"
METRICS = "metrics.json"
PREDICTIONS = "validation_predictions.json"
TENSORBOARD = "tensorboard"
CHECKPOINTS = "checkpoints"
# All that a run leaves, and so all that --overwrite removes.
FOLDERS = (TENSORBOARD, CHECKPOINTS)
FILES = (CONFIG, ENVIRONMENT, MODEL, TOKENIZER, WEIGHTS, HISTORY, PREDICTIONS, METRICS)

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Record(Mapping[str, Any]):
    """A finished run; as a mapping, its metrics. Two are equal if all of it is. Printed, it is a summary.

    Attributes:
        output_dir: its folder.
        config: {setting: value}, as in config.json.
        environment: versions, backend and device, as in environment.json.
        history: [{…}, …], a dict an epoch, as in history.jsonl.
        metrics: {name: value}, as in metrics.json.
    """

    output_dir: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    history: list[dict[str, Any]]
    metrics: dict[str, Any]

    __hash__ = None  # type: ignore[assignment]  # what it holds can change

    def __getitem__(self, name: str) -> Any:
        return self.metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def __bool__(self) -> bool:
        return True  # a run, whatever was measured: «if record» asks whether there is one

    def to_json(self) -> dict[str, Any]:
        """All of it as a dict that json can write."""
        return vars(self) | {"output_dir": str(self.output_dir)}

    def __str__(self) -> str:
        return summary(self)


def build_metrics(history, best_epoch, seconds, memory, extra, start_epoch=0):
    """The figures of a run under the names of metrics.json, in their order.

    Args:
        history: [{"epoch", "training_accuracy", "training_loss", "validation_accuracy", "validation_loss"}, …].
        best_epoch: number of the best epoch, from 0.
        seconds: how long training and validation took.
        memory: [{…}, …], by worker: the states of kmodels.callbacks.PeakMemory after the run.
        extra: {name: value} of further figures; one of None was not measured and is left out.
        start_epoch: number of the first epoch.
    """
    last = history[-1]
    best = next(line for line in history if line["epoch"] == best_epoch)
    metrics = {"best_epoch": best_epoch}
    devices = [device for worker in memory for device in worker["device_memory"]]
    for number, worker in enumerate(memory):
        metrics[f"peak_worker_{number}_memory_MB"] = worker["peak_host_bytes"] / MEBIBYTE
    for number, device in enumerate(devices):
        metrics[f"peak_gpu_{number}_memory_MB"] = device["peak"] / MEBIBYTE
    metrics |= {
        "training_duration": str(timedelta(seconds=seconds)),
        "training_start_epoch": start_epoch,
        "training_epochs": last["epoch"] - start_epoch,
        "epoch": last["epoch"],
        "training_accuracy": last["training_accuracy"],
        "training_loss": last["training_loss"],
    }
    for number, worker in enumerate(memory):
        metrics[f"training_worker_{number}_memory_MB"] = worker["host_bytes"] / MEBIBYTE
    for number, device in enumerate(devices):
        metrics[f"training_gpu_{number}_memory_MB"] = device["current"] / MEBIBYTE
    metrics |= {
        "validation_accuracy": last["validation_accuracy"],
        "validation_loss": last["validation_loss"],
        "best_validation_accuracy": best["validation_accuracy"],
        "best_validation_loss": best["validation_loss"],
    }
    alone = len(memory) == 1  # else each worker has one GPU, and they are numbered alike
    sizes = memory[0]["nvml_bytes"] if alone else [max(worker["nvml_bytes"], default=0) for worker in memory]
    for number, size in enumerate(sizes):
        if size:
            metrics[f"nvml_gpu_{number}_memory_MB"] = size / MEBIBYTE
    return metrics | {name: value for name, value in extra.items() if value is not None}


def write_text(path, text):
    """Writes a whole file or none: beside its place, synced, renamed.

    Raises:
        RunError: the file can't be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.new")
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise RunError(f"{path} can't be written: {error.strerror}") from error


def sync(path):
    """Waits until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy(source, target):
    """Makes a whole copy of a file at once: beside its place, synced, renamed.

    Raises:
        RunError: the file can't be written.
    """
    beside = target.with_name(f".{target.name}.new")
    try:
        shutil.copyfile(source, beside)
        sync(beside)
        os.replace(beside, target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise RunError(f"{target} can't be written: {error.strerror}") from error


def write_json(path, value):
    """`write_text` of a value as indented JSON; a NaN or an infinity is refused, for they are no JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_history(path, history):
    """`write_text` of history.jsonl: a line an epoch. A figure that is not finite is written as null."""
    lines = [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in line.items()}
        for line in history
    ]
    write_text(path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))


def read_json(path):
    """The value in a JSON file of a run's folder.

    Raises:
        InputError: the file is missing or damaged.
    """
    return _parsed(_read_bytes(path), path)


def read_object(path):
    """The JSON object in a file of a run's folder: dict. InputError as of `read_json`, or if it is no object."""
    return _object(read_json(path), path)


def read_history(path):
    """The epochs in history.jsonl: [{…}, …]. InputError, with the line, as of `read_object`."""
    lines = enumerate(_read_bytes(path).splitlines(), start=1)
    return [_object(_parsed(line, f"{path}:{number}"), f"{path}:{number}") for number, line in lines]


def _read_bytes(path):
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error


def _parsed(content, where):
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: UnicodeDecodeError, JSONDecodeError, an endless integer
        raise InputError(f"{where} is not whole JSON: {error}") from error


def _object(value, where):
    if not isinstance(value, dict):
        raise InputError(f"{where} must hold a JSON object; it holds {type(value).__name__}")
    return value


def read(output_dir: str | os.PathLike[str]) -> Record:
    """The Record in a finished run's folder.

    Raises:
        InputError: the folder holds no finished run, or a damaged one.
    """
    folder = Path(output_dir)
    if not is_finished(folder):
        raise InputError(f"{folder} holds no finished run: it has no {METRICS}")
    return Record(
        output_dir=folder,
        config=read_object(folder / CONFIG),
        environment=read_object(folder / ENVIRONMENT),
        history=read_history(folder / HISTORY),
        metrics=read_object(folder / METRICS),
    )


def is_finished(output_dir):
    """True if a run ended in this folder: metrics.json is written last."""
    return (Path(output_dir) / METRICS).is_file()


def summary(record):
    """A finished run in a few lines, for a terminal."""
    metrics, config = record.metrics, record.config
    rows = [
        ("model", f"{config['model']} on {config['backend']}, {config['precision']}, {record.environment['device']}"),
        ("best epoch", f"{metrics['best_epoch']} of 0 to {metrics['epoch']}"),
        (
            "validation",
            f"accuracy {metrics['best_validation_accuracy']:.4f}, loss {metrics['best_validation_loss']:.4f}",
        ),
        ("training", f"{metrics['training_duration'].partition('.')[0]}{_speed(metrics)}"),
        ("memory", _memory(metrics)),
        ("folder", str(record.output_dir)),
    ]
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


def _speed(metrics):
    if "samples_per_second" not in metrics:
        return ""
    return f", {metrics['samples_per_second']:,.0f} sentences/s, compiling {metrics['compile_seconds']:.1f} s"


def _memory(metrics):
    devices = [f"GPU {name.split('_')[2]} {value:,.0f} MiB" for name, value in metrics.items() if "peak_gpu" in name]
    return ", ".join([f"host {metrics['peak_worker_0_memory_MB']:,.0f} MiB", *devices]) + " at most"
