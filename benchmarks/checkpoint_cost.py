"""What a checkpoint costs each of the six at full size: seconds that training waits, seconds until it is on the disk.

    python benchmarks/checkpoint_cost.py --backend=torch

Random weights, the models' default sizes, batch 2 of 8 tokens for one step, then five checkpoints one after another.
Figures go into results/checkpoint_cost.json.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


def main():
    """A process an architecture, for memory that one leaves behind would slow the next one down."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--model", help="measure this one in this process and print its row")
    parser.add_argument("--folder", help="on the disk to be measured; default: this project's results/runs")
    arguments = parser.parse_args()
    from kmodels import records
    from kmodels.architectures import ARCHITECTURES

    if arguments.model:
        print(json.dumps(measure(arguments.model, arguments.backend, arguments.folder)))
        return
    rows, environment = [], {}
    for model in ARCHITECTURES:
        command = [sys.executable, __file__, f"--backend={arguments.backend}", f"--model={model}"]
        if arguments.folder:
            command.append(f"--folder={arguments.folder}")
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        row = json.loads(done.stdout.splitlines()[-1])
        environment = row.pop("environment")
        rows.append(row)
        print(row, flush=True)
    command = f"python benchmarks/checkpoint_cost.py --backend={arguments.backend}"
    records.write_json(
        ROOT / "results" / "checkpoint_cost.json", {"command": command, "environment": environment, "rows": rows}
    )


def measure(name, backend_name, folder):
    """One architecture's row."""
    from kmodels import backend
    from kmodels.config import RunConfig

    backend.choose(backend_name)
    from kmodels import backends, checkpoints, run_folder
    from kmodels.callbacks.checkpointing import run_arrays

    model = trained_model(RunConfig(model=name).resolved(backend_name))
    arrays = run_arrays(model)
    waits, totals = [], []
    parent = Path(folder or ROOT / "results" / "runs")
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as run:
        writer = checkpoints.Writer(run)
        for number in range(5):
            start = time.perf_counter()
            writer.write(0, number, arrays, {})
            waits.append(time.perf_counter() - start)
            writer.wait()
            totals.append(time.perf_counter() - start)
        size = (checkpoints.newest(run, print).path / checkpoints.ARRAYS).stat().st_size
    return {
        "model": name,
        "mebibytes": size / 2**20,
        "wait_seconds": statistics.median(waits),
        "wait_seconds_range": [min(waits), max(waits)],
        "disk_seconds": statistics.median(totals),
        "environment": run_folder.environment(backend_name, backends.current()),
    }


def trained_model(config):
    """The architecture at its full size with random weights, after a step, so that all its variables exist."""
    import numpy as np

    from benchmarks.full_size import SIZES, backbone
    from kmodels import loop, models

    size = SIZES[config.model]
    model = models.build(config, 2, size["vocabulary_size"], backbone(size))
    loop.compile_model(model, config, 100)
    ids = np.ones((2, 8), np.int32)
    model.train_on_batch({"token_ids": ids, "padding_mask": ids > 0}, np.zeros(2, np.int32), np.ones(2, np.float32))
    return model


if __name__ == "__main__":
    main()
