"""How fast kmodels trains, beside transformers' Trainer, KerasHub's classifier and PyTorch by hand, in turns.

    python benchmarks/speed.py --data_dir=FOLDER_OF_SST2 --checkpoint=FOLDER --turns=3

The checkpoint is a BERT encoder in Hugging Face format. Each side is a process of its own, and all have their turn
before one has its next. Measured are one epoch end to end, from the text on the disk to the last step, imports
excluded; the same to the figures on dev, with all that kmodels saves; steady steps, without what is compiled or chosen
in the first ones; and the time from the start of the process to the end of the first step. Programs that JAX compiled
are kept from one turn to the next, as they are for users. Ratios are of figures of the same turn. A run is called
disturbed if other processes had more than a twentieth of the machine meanwhile.

The peers are in benchmarks/peers/. Figures go into results/speed.json, and docs/performance.md shows them.
"""

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import invocation  # noqa: E402
from benchmarks.peers import sst2  # noqa: E402
from benchmarks.predict import resident_MiB  # noqa: E402
from kmodels import records  # noqa: E402
from kmodels.architectures import ARCHITECTURES  # noqa: E402
from kmodels.backend import is_installed  # noqa: E402
from kmodels.backends import cpu  # noqa: E402

PEERS = ROOT / "benchmarks" / "peers"
DISTURBED = 0.05  # part of the machine that others may have
KERAS_HUB_ROWS = 256  # it takes minutes for these
BACKENDS = "jax", "tensorflow", "torch"
HAS_GPU = Path("/dev/nvidiactl").exists()
WORD_MODELS = ("textcnn", "bilstm")


def main():
    arguments = parsed()
    sides = {
        "words": word_sides,
        "encoder": encoder_sides,
        "peak": peak_sides,
        "start": start_sides,
        "tokens": token_sides,
        "memory": memory_sides,
    }
    path = Path(arguments.output)
    found = records.read_json(path) if path.is_file() else {}
    left_out = {name for name in BACKENDS if not is_installed(name)}
    if "tensorflow" in left_out:
        left_out.add("BertTextClassifier")  # reads its text by tensorflow-text
    with tempfile.TemporaryDirectory() as folder:
        for what in arguments.what.split(","):
            chosen = arguments.sides if what == "encoder" else ""  # the aims of the others are of all their sides
            here = {
                name: side
                for name, side in sides[what](arguments, folder).items()
                if not left_out & set(name.split()) and re.search(chosen, name)
            }
            before = found.get(what, {"turns": []})["turns"] if arguments.more else []
            found[what] = {"command": invocation.command(), "turns": before}
            for turn in in_turns(here, arguments.turns, folder):
                before.append(turn)
                records.write_json(path, found)  # a run that is cut off keeps its turns


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--what", default="words,encoder,peak,start,tokens,memory", help="which parts")
    parser.add_argument(
        "--sides", default="", help="regular expression of the names of the encoder's sides; others are left out"
    )
    parser.add_argument("--data_dir", required=True, help="folder with SST-2's train.tsv and dev.tsv")
    parser.add_argument("--checkpoint", required=True, help="folder of a BERT encoder in Hugging Face format")
    parser.add_argument("--rows", type=int, default=8000, help="training sentences of the encoders")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--more", action="store_true", help="turns beside those that the output has already")
    parser.add_argument("--output", default=str(ROOT / "results" / "speed.json"))
    return parser.parse_args()


# Sides: {name: Side}


class Side(NamedTuple):
    """A process that measures something."""

    command: list[str]
    backend: str  # for Keras, or ""


def encoder_sides(arguments, folder):
    """Fine-tuning the checkpoint, its pooler and a linear layer on the first rows, at each number format."""
    settings = {
        "model": "bert_base_pool",
        "preset": arguments.checkpoint,
        "learning_rate": 1e-4,
        "batch_size": 32,
        "max_train_examples": arguments.rows,
    }
    sides = {
        f"kmodels {backend} {precision}": ours(arguments, settings, backend, precision)
        for backend in BACKENDS
        for precision in precisions(backend)
    }
    checkpoint = f"--checkpoint={arguments.checkpoint}"
    for precision in precisions("torch"):
        precision = precision.removeprefix("mixed_")
        rows, work = f"--rows={arguments.rows}", f"--output_dir={folder}/trainer"
        more = checkpoint, rows, work, f"--precision={precision}", "--learning_rate=1e-4"
        sides[f"Trainer {precision}"] = peer("trainer", arguments, *more)
    more = checkpoint, f"--rows={KERAS_HUB_ROWS}"
    sides["BertTextClassifier float32"] = peer("text_classifier", arguments, *more, backend="jax")  # the guide's
    return sides


def word_sides(arguments, folder):
    """An epoch of the models over words."""
    sides = {}
    for model in WORD_MODELS:
        sizes = ARCHITECTURES[model].defaults
        names = ("batch_size", "embedding_dim", "num_filters", "kernel_sizes", "lstm_units", "vocabulary_size")
        given = {name: sizes[name] for name in names if name in sizes}
        same = [f"--{name}={shown(value)}" for name, value in given.items()]
        for backend in BACKENDS:
            sides[f"{model}, kmodels {backend}"] = ours(arguments, {"model": model} | given, backend, "float32")
        sides[f"{model}, PyTorch by hand"] = peer("pytorch", arguments, f"--model={model}", *same)
    return sides


def peak_sides(arguments, folder):
    """Steps of BERT base's sizes, 32 sentences of 32 tokens each, beside what a matrix product reaches."""
    data_dir = f"{folder}/long"
    for split, rows in (("train", 512), ("dev", 64)):
        write_long(arguments.data_dir, data_dir, split, rows)
    settings = {"model": "bert_base_pool", "preset": "scratch:base", "max_length": 32, "batch_size": 32}
    given = argparse.Namespace(**vars(arguments) | {"data_dir": data_dir})
    return {
        f"kmodels {backend} {precision}": ours(given, settings | {"measure_peak": True}, backend, precision)
        for backend in BACKENDS
        for precision in precisions(backend)
    }


def precisions(backend):
    """The number formats that a framework is as quick in as the device lets it; XLA's bfloat16 isn't on a CPU."""
    has_bfloat16 = HAS_GPU or (backend != "jax" and cpu.multiplies_bfloat16())
    return ("float32", "mixed_bfloat16") if has_bfloat16 else ("float32",)


def write_long(source, folder, split, rows):
    """SST-2's sentences, joined until each row has at least 32 words, so that `max_length` cuts all to one length."""
    sentences, labels = sst2.read(source, split)
    Path(folder).mkdir(exist_ok=True)
    with open(Path(folder) / f"{split}.tsv", "w", encoding="utf-8") as file:
        file.write("sentence\tlabel\n")
        words = []
        for sentence, label in zip(sentences, labels, strict=True):
            words += sentence.split()
            if len(words) >= 32:
                file.write(f"{' '.join(words)}\t{label}\n")
                words, rows = [], rows - 1
            if not rows:
                return


def start_sides(arguments, folder):
    """BERT base's first step; what JAX compiles in the first turn, the second finds."""
    settings = {"model": "bert_base_pool", "preset": "scratch:base", "max_train_examples": arguments.rows}
    return {f"kmodels {backend}": ours(arguments, settings, backend, "auto", "--job=start") for backend in BACKENDS}


def token_sides(arguments, folder):
    """SST-2's sentences to token ids, with nothing in the cache and then with all."""
    words, pieces = {"model": "textcnn"}, {"model": "bert_base_pool", "preset": arguments.checkpoint}
    return {
        f"{what}, kmodels": ours(arguments, settings, "jax", "float32", "--job=tokens")
        for what, settings in (("words", words), ("WordPiece", pieces))
    }


def memory_sides(arguments, folder):
    """Short runs beside Keras's `fit` of the same models on arrays."""
    encoder = {"model": "bert_base_pool", "preset": arguments.checkpoint, "pooling": "mean"}
    jobs = {"textcnn": ({"model": "textcnn"}, 64), "encoder": (encoder, 32)}
    sides = {}
    for model, (settings, batch_size) in jobs.items():
        settings |= {"max_train_examples": 24 * batch_size, "batch_size": batch_size, "num_buckets": 12}
        for backend in ("jax", "torch"):
            sides[f"{model}, kmodels {backend}"] = ours(arguments, settings, backend, "float32")
            more = f"--model={model}", f"--batch_size={batch_size}"
            sides[f"{model}, bare {backend}"] = peer("bare_keras", arguments, *more, backend=backend)
    return sides


def ours(arguments, settings, backend, precision, *more):
    settings = settings | {"backend": backend, "precision": precision, "data_dir": arguments.data_dir}
    command = [sys.executable, str(PEERS / "with_kmodels.py"), f"--settings={json.dumps(settings)}", *more]
    return Side(command, backend)


def peer(name, arguments, *more, backend=""):
    return Side([sys.executable, str(PEERS / f"{name}.py"), f"--data_dir={arguments.data_dir}", *more], backend)


def shown(value):
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else value


# In turns


def in_turns(sides, turns, folder):
    """Yields {name: figures}, a turn of all sides each."""
    order = random.Random(0)
    for _ in range(turns):
        names = list(sides)
        order.shuffle(names)
        turn = {}
        for name in names:
            turn[name] = measured(sides[name], folder)
            print(
                name, {key: value for key, value in turn[name].items() if isinstance(value, (int, float))}, flush=True
            )
        yield {name: turn[name] for name in sides}


def measured(side, folder):
    """The figures that a process prints, its peak memory, and whether it was disturbed."""
    environment = os.environ | {"KMODELS_CACHE": f"{folder}/cache", "KERAS_HOME": f"{folder}/keras"}
    environment["KERAS_BACKEND"] = side.backend
    busy, own, start = busy_seconds(), own_seconds(), time.monotonic()
    with subprocess.Popen(side.command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        peak = 0
        while process.poll() is None:
            peak = resident_MiB(process.pid).get("VmHWM", peak)
            time.sleep(0.2)
        said = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(side.command)} ended with {process.returncode}")
    others = (busy_seconds() - busy - (own_seconds() - own)) / ((time.monotonic() - start) * os.cpu_count())
    figures = json.loads(said.splitlines()[-1])
    return figures | {"peak_MiB": peak, "others": others, "disturbed": others > DISTURBED}


def busy_seconds():
    """Seconds that all processors have worked so far."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0) - getattr(times, "guest", 0)


def own_seconds():
    """Seconds that this process and those it waited for have had."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
