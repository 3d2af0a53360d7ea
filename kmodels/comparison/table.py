"""The runs in a folder as a table."""

import os
from pathlib import Path

from kmodels import records
from kmodels.errors import InputError
from kmodels.settings import did_you_mean

NAMES = ("name", "model", "backend", "seed", "status")
FIGURES = ("epoch", "accuracy", "loss", "seconds_per_epoch", "host_MiB")
COLUMNS = NAMES + FIGURES


def rows(folder, sort="name"):
    """A dict of COLUMNS for each run at any depth below a folder; None where there is no figure yet.

    Args:
        folder: where runs lie.
        sort: one of COLUMNS; FIGURES fall, NAMES rise.

    Raises:
        InputError: no such folder or column, or a damaged record.
    """
    if sort not in COLUMNS:
        raise InputError(f"sort must be one of {', '.join(COLUMNS)}; got {sort!r}{did_you_mean(sort, COLUMNS)}")
    if not Path(folder).is_dir():
        raise InputError(f"runs needs a folder; {folder} is none")
    found = [_row(path, folder) for path in sorted(_runs_below(folder))]
    missing = [row for row in found if row[sort] is None]
    found = [row for row in found if row[sort] is not None]
    return sorted(found, key=lambda row: row[sort], reverse=sort in FIGURES) + missing


def text(table):
    """Rows as lines for a terminal, columns under their names."""
    cells = [COLUMNS, *([_shown(row[name]) for name in COLUMNS] for row in table)]
    widths = [max(len(line[number]) for line in cells) for number in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells]
    return "\n".join(lines)


def _runs_below(folder):
    """The folders of runs; those of checkpoints, which a run in training removes meanwhile, are not looked into."""
    for path, folders, files in os.walk(folder):
        if records.CONFIG in files:
            folders[:] = [name for name in folders if name != records.CHECKPOINTS]
            yield Path(path)


def _row(folder, root):
    config = records.read_object(folder / records.CONFIG)
    path = folder / records.HISTORY
    history = records.read_history(path) if path.is_file() else []
    finished = records.is_finished(folder)
    metrics = records.read(folder).metrics if finished else {}
    best = _best_of(history, config.get("monitor"))
    seconds = [line["epoch_seconds"] for line in history if line.get("epoch_seconds")]
    return {
        "name": str(folder.relative_to(root)),
        "model": config.get("model"),
        "backend": config.get("backend"),
        "seed": config.get("seed"),
        "status": "finished" if finished else "unfinished",
        "epoch": history[-1]["epoch"] if history else None,
        "accuracy": metrics.get("best_validation_accuracy", best.get("validation_accuracy")),
        "loss": metrics.get("best_validation_loss", best.get("validation_loss")),
        "seconds_per_epoch": sum(seconds) / len(seconds) if seconds else None,
        "host_MiB": metrics.get("peak_worker_0_memory_MB"),
    }


def _best_of(history, monitor):
    """The line of the epoch that a run which goes on would keep so far; {} if there is none."""
    key, sign = ("validation_accuracy", -1) if monitor == "accuracy" else ("validation_loss", 1)
    measured = [line for line in history if line.get(key) is not None]
    return min(measured, key=lambda line: sign * line[key], default={})


def _shown(value):
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.0f}"
    return str(value)
