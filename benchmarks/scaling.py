"""How much faster two workers of one thread train than one worker of one thread, and what they exchange a step.

    python benchmarks/scaling.py --data_dir=FOLDER_OF_SST2 --preset=FOLDER_OF_AN_ENCODER

One worker and two take turns, on the same sentences in the same batches; each worker has one core. Speeds are of
steady steps. Bytes are those that went over the loopback device, where nothing else was sent, by the number of steps.
Figures go into results/scaling.json, in the place of those of the same models, backends and batch sizes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

# What is trained: enough steps that starting and ending weigh nothing in the bytes of one, and at least so many.
MIN_STEPS = 40
WORK = {
    "bilstm": (["--model=bilstm"], 20_000),
    "bert_base_pool": (["--model=bert_base_pool", "--pooling=mean", "--precision=float32"], 3_000),
}
# Source of the bandwidths, one way for each device: NVIDIA's H100 data sheet (NVLink 900 GB/s both ways; 989 TFLOP/s in
# bfloat16) and the line rates of Ethernet and InfiniBand NDR.
LINKS = {"NVLink": 450e9, "400 Gb/s": 50e9, "100 Gb/s": 12.5e9}
DEVICE_FLOPS = 989e12
PART_OF_PEAK = 0.4  # that a training step reaches; to be measured for the device at hand
SECONDS_PER_HOP = 5e-6


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--models", default=",".join(WORK))
    parser.add_argument("--backends", default="torch,tensorflow,jax")
    parser.add_argument("--batch_sizes", default="64,512", help="sentences of a batch, of all workers together")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    from kmodels import records

    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two workers need two cores")
    path = ROOT / "results" / "scaling.json"
    rows = records.read_json(path)["rows"] if path.is_file() else []
    for model in arguments.models.split(","):
        for backend in arguments.backends.split(","):
            for batch_size in map(int, arguments.batch_sizes.split(",")):
                measured = measure(model, backend, batch_size, arguments)
                print(measured, flush=True)
                rows = [row for row in rows if place(row) != place(measured)] + [measured]
                records.write_json(path, {"rows": sorted(rows, key=place)})


def place(row):
    """What a row is of, and by what rows are sorted."""
    return list(WORK).index(row["model"]), row["backend"], row["batch_size"]


def measure(model, backend, batch_size, arguments):
    """One model on one backend: speeds of one worker and of two, in turns."""
    from benchmarks import invocation
    from kmodels.backends import cpu

    environment = {"processor": cpu.name(), "load_before": os.getloadavg()[0]}
    speeds, sent = {1: [], 2: []}, []
    for _ in range(arguments.turns):
        for workers in speeds:
            metrics, num_bytes = train(model, backend, batch_size, workers, arguments)
            speeds[workers].append(metrics["samples_per_second"])
            if workers == 2:
                sent.append(num_bytes)
    ratios = [two / one for one, two in zip(speeds[1], speeds[2])]
    return {
        "model": model,
        "backend": backend,
        "batch_size": batch_size,
        "command": invocation.command(),
        "environment": environment,
        "num_parameters": metrics["num_parameters"],
        "one_per_second": statistics.median(speeds[1]),
        "two_per_second": statistics.median(speeds[2]),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "bytes_per_step": statistics.median(sent),
    }


def train(model, backend, batch_size, workers, arguments):
    """One run. Returns (its metrics, the bytes that went over the loopback device a step)."""
    from kmodels import records

    flags, num_examples = WORK[model]
    flags = [*flags, "--epochs=1", "--checkpoint_seconds=0"]
    num_steps = max(MIN_STEPS, -(-num_examples // batch_size))
    encoder = [f"--preset={arguments.preset}"] if model.startswith("bert") else []
    cores = sorted(os.sched_getaffinity(0))[:workers]
    with tempfile.TemporaryDirectory() as folder:
        sizes = [f"--batch_size={batch_size}", f"--max_train_examples={num_steps * batch_size}", f"--workers={workers}"]
        places = [f"--data_dir={arguments.data_dir}", f"--output_dir={folder}/run"]
        environment = os.environ | {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}
        environment |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
        before = loopback_bytes()
        subprocess.run(
            [sys.executable, str(ROOT / "train.py"), *flags, *encoder, *sizes, *places],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        num_bytes = loopback_bytes() - before
        return records.read(Path(folder) / "run").metrics, num_bytes / num_steps


def loopback_bytes():
    return psutil.net_io_counters(pernic=True)["lo"].bytes_sent


def efficiency(num_parameters, num_bytes, num_tokens, devices, bytes_per_second, accumulation=1):
    """The part of a device's time that is spent computing, on paper.

    Ring all-reduce of `num_bytes` after every `accumulation` batches, not hidden behind the computation.

    Args:
        num_parameters: in matrices, each of which costs 6 floating-point operations a token.
        num_bytes: of the gradients that go round.
        num_tokens: of a batch on one device.
        devices: how many.
        bytes_per_second: of each device's link, one way.
        accumulation: batches for one update.

    Source: Patarasuk & Yuan 2009 (ring all-reduce).
    """
    compute = accumulation * 6 * num_parameters * num_tokens / (DEVICE_FLOPS * PART_OF_PEAK)
    exchange = 2 * (devices - 1) / devices * num_bytes / bytes_per_second + 2 * (devices - 1) * SECONDS_PER_HOP
    return compute / (compute + exchange)


if __name__ == "__main__":
    main()
