"""Kills a real run again and again, and compares what it leaves with what an uninterrupted one leaves, bit by bit.

    python benchmarks/kill.py --data_dir=FOLDER_OF_SST2 --kills=30 --output_dir=results/runs/kill

Each backend: textcnn on SST-2 with dropout, once undisturbed; then the same run, its process killed with SIGKILL at
random moments: while it starts, trains, validates and saves. The table goes into results/kill.json.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import safetensors.numpy

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from kmodels import checkpoints, records  # noqa: E402

TIMES = {"epoch_seconds", "training_duration", "samples_per_second", "tokens_per_second", "compile_seconds"}


def main():
    """Runs everything and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--output_dir", type=Path, default=ROOT / "results" / "runs" / "kill")
    parser.add_argument("--backends", default="jax,tensorflow,torch")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    rows = [kill_and_compare(backend, arguments) for backend in arguments.backends.split(",")]
    environment = records.read_json(arguments.output_dir / f"{rows[0]['backend']}-whole" / records.ENVIRONMENT)
    device = {name: environment[name] for name in ("device", "cores", "python", "keras")}
    command = f"python benchmarks/kill.py --data_dir=FOLDER --kills={arguments.kills} --seed={arguments.seed}"
    records.write_json(ROOT / "results" / "kill.json", {"command": command, "environment": device, "rows": rows})


def kill_and_compare(backend, arguments):
    """One backend's row: {"backend", "kills", "inside_saves", "same_bits", …}."""
    whole, killed = (arguments.output_dir / f"{backend}-{name}" for name in ("whole", "killed"))
    subprocess.run([*command(backend, whole, arguments), "--overwrite"], check=True)
    subprocess.run(["rm", "-rf", str(killed)], check=True)
    row = {"backend": backend, "kills": 0, "before_training": 0, "inside_saves": 0}
    moments = random.Random(f"{arguments.seed} {backend}")
    while row["kills"] < arguments.kills:
        before = place(killed)
        process = subprocess.Popen(
            command(backend, killed, arguments), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        if moments.random() < 0.2:
            time.sleep(moments.uniform(0, 6))
        else:
            while process.poll() is None and place(killed) == before:
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 6))
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            raise SystemExit(
                f"the run ended after {row['kills']} kills (status {process.returncode}): give more --epochs"
            )
        row["kills"] += 1
        row["before_training"] += place(killed) == before
        row["inside_saves"] += (killed / records.CHECKPOINTS / checkpoints.UNFINISHED).exists()
        print(row, place(killed), flush=True)
    subprocess.run(command(backend, killed, arguments), check=True)
    row["epochs"] = arguments.epochs
    row["same_bits"] = bits(killed) == bits(whole)
    print(row, flush=True)
    return row


def command(backend, folder, arguments):
    """The run that is killed: saved so often that many kills fall into a save."""
    return [
        *(sys.executable, str(ROOT / "train.py"), "--model=textcnn", f"--backend={backend}"),
        *(f"--data_dir={arguments.data_dir}", f"--epochs={arguments.epochs}", f"--output_dir={folder}"),
        "--checkpoint_seconds=1",
    ]


def place(folder):
    """The name of the newest checkpoint; "" if there is none."""
    names = [path.name for path in (folder / records.CHECKPOINTS).glob("epoch-*")]
    return max(names, default="")


def bits(folder):
    """All that a finished run leaves, its times and memory aside, with every bit of its state."""
    newest = checkpoints.newest(folder, print)
    history = [json.loads(line) for line in (folder / records.HISTORY).read_text(encoding="utf-8").splitlines()]
    metrics = records.read_json(folder / records.METRICS)
    arrays = safetensors.numpy.load_file(newest.path / checkpoints.ARRAYS)
    return {
        "place": (newest.epoch, newest.step),
        "arrays": {name: array.tobytes() for name, array in arrays.items()},
        "best weights": _hdf5_bits(folder / records.WEIGHTS),
        "history": [{name: value for name, value in line.items() if name not in TIMES} for line in history],
        "metrics": {name: value for name, value in metrics.items() if name not in TIMES and "memory" not in name},
    }


def _hdf5_bits(path):
    found = {}

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tobytes()

    with h5py.File(path) as file:
        file.visititems(add)
    return found


if __name__ == "__main__":
    main()
