"""What --deterministic costs: speed of training with it and without, in turns, on every backend.

    python benchmarks/deterministic_cost.py --data_dir=FOLDER_OF_SST2

One epoch of the first 8,000 sentences a run, both settings three times in turns. Figures go into
results/deterministic_cost.json.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from kmodels import records  # noqa: E402
from kmodels.config import BACKENDS  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rows, environments = [], {}
    for backend in BACKENDS:
        for model in ("textcnn", "bilstm", "bert_base_pool"):
            turns = [measure(model, backend, arguments.data_dir) for _ in range(arguments.repeats)]
            ratios = [with_it / without for without, with_it, _ in turns]
            environments[backend] = turns[0][2]
            rows.append({"backend": backend, "model": model, "speed_ratio": statistics.median(ratios)})
            rows[-1]["speed_ratio_range"] = [min(ratios), max(ratios)]
            print(rows[-1], flush=True)
    content = {"command": "python benchmarks/deterministic_cost.py --data_dir=FOLDER_OF_SST2", "rows": rows}
    records.write_json(ROOT / "results" / "deterministic_cost.json", content | {"environments": environments})


def measure(model, backend, data_dir):
    """(sentences a second without --deterministic, with it, the environment), one run right after the other."""
    speeds = []
    for deterministic in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(ROOT / "train.py"), f"--model={model}", f"--backend={backend}"]
            command += [
                f"--data_dir={data_dir}",
                "--max_train_examples=8000",
                "--epochs=1",
                f"--output_dir={folder}/run",
            ]
            command += ["--preset=scratch:tiny"] if model.startswith("bert") else []
            command += [f"--deterministic={deterministic}", "--checkpoint_seconds=0", "--precision=float32"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            record = records.read(Path(folder) / "run")
            speeds.append(record["samples_per_second"])
    return *speeds, record.environment


if __name__ == "__main__":
    main()
