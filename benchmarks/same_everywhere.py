"""Whether a run predicts the same on every backend and in every exported format, on real sentences.

    python benchmarks/same_everywhere.py RUN … --file=dev.tsv

Each run, from its folder with weights, classifies the file's sentences on each backend (`kmodels predict`) and in each
format (`kmodels export`, read by the format's own runtime). The first backend's probabilities are what the others are
compared with. Figures go into results/same_everywhere.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kmodels import export, records  # noqa: E402
from kmodels.config import BACKENDS  # noqa: E402
from kmodels.data.files import read_rows  # noqa: E402
from kmodels.data.tokenizers import Tokenizer  # noqa: E402
from kmodels.prediction import softmax  # noqa: E402

MODEL_NAMES = dict(zip(export.FORMATS, ("model.onnx", "model", "model.pt2", "model.tflite", "model.xml")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", help="folders of runs, with weights")
    parser.add_argument("--file", required=True, help="sentences: .tsv, .csv or .jsonl")
    parser.add_argument("--output", default=str(ROOT / "results" / "same_everywhere.json"))
    parser.add_argument("--format", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.format:
        print(json.dumps(by_format(arguments).tolist()))
        return
    rows = [row for run in arguments.runs for row in compared(run, arguments.file)]
    records.write_json(arguments.output, {"rows": rows})


def compared(run, file):
    """A row for each backend and format."""
    config = records.read_object(Path(run) / records.CONFIG)
    expected = None
    for where, found in everywhere(run, file):
        if expected is None:
            expected = found
        row = {
            "model": config["model"],
            "trained_on": config["backend"],
            "where": where,
            "sentences": len(found),
            "largest_difference": float(np.abs(found - expected).max()),
            "other_labels": int((found.argmax(axis=1) != expected.argmax(axis=1)).sum()),
        }
        print(row, flush=True)
        yield row


def everywhere(run, file):
    """Yields (backend or format, probabilities: (num_sentences, num_classes))."""
    names = records.read_object(Path(run) / records.MODEL)["label_names"]
    for backend in BACKENDS:
        flags = [f"--file={file}", f"--backend={backend}", f"--top_k={len(names)}"]
        said = kmodels("predict", run, *flags)
        answers = [json.loads(line)["probabilities"] for line in said.splitlines()]
        yield backend, np.array([[answer[name] for name in names] for answer in answers])
    for format, name in MODEL_NAMES.items():
        with tempfile.TemporaryDirectory() as folder:
            model = f"{folder}/{name}"
            kmodels("export", run, f"--format={format}", f"--output={model}")
            command = [sys.executable, __file__, str(run), f"--file={file}", f"--format={format}", f"--model={model}"]
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            yield format, softmax(np.array(json.loads(said.splitlines()[-1])))


def kmodels(*arguments):
    """What a command prints."""
    command = [sys.executable, "-m", "kmodels", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def by_format(arguments):
    """The logits of an exported model, a sentence at a time: (num_sentences, num_classes)."""
    call, _ = export.module(arguments.format).read(Path(arguments.model))
    tokenizer = Tokenizer.load(Path(arguments.model).with_name(records.TOKENIZER))
    max_length = records.read_object(Path(arguments.runs[0]) / records.CONFIG)["max_length"]
    logits = []
    for _, text, _ in read_rows(Path(arguments.file), require_label=False):
        ids = tokenizer.encode([text], max_length).token_ids[None]
        logits.append(np.asarray(call(token_ids=ids, padding_mask=np.ones(ids.shape, bool)))[0])
    return np.array(logits)


if __name__ == "__main__":
    main()
