"""How many sentences a second `kmodels predict` classifies, beside transformers' pipeline, and in how much memory.

    python benchmarks/predict.py --data_dir=FOLDER_OF_SST2 --checkpoint=FOLDER --turns=3
    python benchmarks/predict.py --data_dir=FOLDER_OF_SST2 --checkpoint=FOLDER --what=backends --lines=4096

The checkpoint is a BERT encoder in Hugging Face format. A head is trained for a moment; then kmodels and the pipeline
run the same weights on the same lines, each in a process of its own, in turns. Timed is what lies between the first
line read and the last line written: no start of a process, no loading. Compilation counts, but compiled programs are
kept from one turn to the next, as they are for users. The pipeline runs with the batch size that was its fastest on the
first lines, once as the lines come, and once on lines sorted by length (the sorting is timed, too).

Figures go into results/predict.json.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import invocation  # noqa: E402
from kmodels import records  # noqa: E402

BATCH_SIZES = (1, 4, 8, 16, 32, 64, 128)
PRECISIONS = {"float32": "float32", "mixed_bfloat16": "bfloat16"}  # of kmodels: of the pipeline
MODELS = ("textcnn", "bilstm", "scratch:mini")
BACKENDS = ("jax", "tensorflow", "torch")


def main():
    """Measures what is asked for, and puts it beside what results/predict.json holds already."""
    arguments = parsed()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child](arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.work_dir = Path(arguments.work_dir or folder)
        arguments.work_dir.mkdir(parents=True, exist_ok=True)
        os.environ["KMODELS_CACHE"] = str(arguments.work_dir / "cache")  # nothing was compiled before
        path = Path(arguments.output)
        found = records.read_json(path) if path.is_file() else {}
        for what in arguments.what.split(","):
            part = {"pipeline": pipeline, "memory": memory, "backends": backends}[what]
            found[what] = {"command": invocation.command()} | part(arguments)
            records.write_json(path, found)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--what", default="backends,memory,pipeline")
    parser.add_argument("--data_dir", help="folder with SST-2's train.tsv")
    parser.add_argument("--checkpoint", help="folder of a BERT encoder in Hugging Face format")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--pilot_lines", type=int, default=2000, help="on which the pipeline's batch size is chosen")
    parser.add_argument("--memory_lines", default="10000,100000,1000000")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--batch_sizes", default=",".join(map(str, BATCH_SIZES)))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--output", default=str(ROOT / "results" / "predict.json"))
    parser.add_argument("--work_dir", help="for runs, which are made once; default: a folder that is removed")
    for name in ("child", "run", "file", "precision", "order", "backend"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--batch_size", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


# What is measured


def pipeline(arguments):
    """kmodels beside the pipeline: a row for each number format and order of the lines."""
    lines, pilot = (written_lines(arguments, count) for count in (arguments.lines, arguments.pilot_lines))
    rows = []
    for precision in arguments.precisions.split(","):
        run = encoder_run(arguments, precision)
        here = {"run": run, "precision": precision}
        best = {}
        for order in ("as they come", "sorted"):
            speeds = {}
            for size in map(int, arguments.batch_sizes.split(",")):
                speeds[size] = child("transformers", file=pilot, order=order, batch_size=size, **here)["per_second"]
                print(precision, order, size, f"{speeds[size]:.0f}/s", flush=True)
            best[order] = max(speeds, key=speeds.get)
        turns = []
        for _ in range(arguments.turns):
            turn = {"kmodels": child("kmodels", file=lines, **here)}
            for order, size in best.items():
                turn[order] = child("transformers", file=lines, order=order, batch_size=size, **here)
            turns.append(turn)
            print(precision, {name: f"{each['per_second']:.0f}/s" for name, each in turn.items()}, flush=True)
        rows += [compared(precision, order, size, turns) for order, size in best.items()]
    return {"rows": rows, "environment": turns[0]["kmodels"]["environment"]}


def compared(precision, order, batch_size, turns):
    """A row: both speeds, and their ratio in each turn."""
    ours, theirs = ([turn[name]["per_second"] for turn in turns] for name in ("kmodels", order))
    ratios = [our / their for our, their in zip(ours, theirs)]
    return {
        "precision": precision,
        "order": order,
        "pipeline_batch_size": batch_size,
        "backend": turns[0]["kmodels"]["backend"],
        "lines": turns[0]["kmodels"]["lines"],
        "kmodels_per_second": ours,
        "pipeline_per_second": theirs,
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
    }


def memory(arguments):
    """The command's resident memory on files of several lengths: a row each, the largest and that at every tenth."""
    run = trained(arguments, "textcnn", "float32")
    rows = []
    for count in map(int, arguments.memory_lines.split(",")):
        file = written_lines(arguments, count)
        command = [sys.executable, "-m", "kmodels", "predict", str(run), f"--file={file}"]
        start = time.monotonic()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            samples = []
            while process.poll() is None:
                samples += filter(None, [resident_MiB(process.pid)])
                time.sleep(0.02)
        if process.returncode:
            raise SystemExit(f"predict ended with {process.returncode}")
        tenths = [samples[(len(samples) - 1) * tenth // 10]["VmRSS"] for tenth in range(1, 11)]
        found = {"peak_MiB": samples[-1]["VmHWM"], "tenths_MiB": tenths}
        rows.append({"lines": count, "seconds": time.monotonic() - start} | found)
        print(rows[-1], flush=True)
    return {"rows": rows}


def resident_MiB(pid):
    """What a process holds now (VmRSS) and has held at most (VmHWM), by the system's count; {} if it has just ended."""
    try:
        fields = [line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    except OSError:
        return {}
    return {field[0][:-1]: int(field[1]) / 1024 for field in fields if field[0] in ("VmRSS:", "VmHWM:")}


def backends(arguments):
    """The engine alone on each backend, in turns: a row for each model, number format and backend."""
    file = written_lines(arguments, arguments.lines)
    settings = [(model, "float32") for model in MODELS] + [("scratch:mini", "mixed_bfloat16")]
    cells = list(itertools.product(settings, BACKENDS))
    found = {cell: [] for cell in cells}
    for _ in range(arguments.turns):
        for (model, precision), backend in cells:
            run = trained(arguments, model, precision)
            result = child("engine", run=run, file=file, backend=backend)
            found[(model, precision), backend].append(result)
            print(model, precision, backend, result, flush=True)
    rows = []
    for ((model, precision), backend), results in found.items():
        speeds = [result["per_second"] for result in results]
        rows.append(
            {"model": model, "precision": precision, "backend": backend}
            | {"per_second": statistics.median(speeds), "per_second_range": [min(speeds), max(speeds)]}
            | {name: statistics.median(each[name] for each in results) for name in ("first_per_second", "load_seconds")}
            | {"milliseconds_alone": statistics.median(each["milliseconds_alone"] for each in results)}
        )
    return {"rows": rows, "environment": results[0]["environment"]}


# Lines and runs


def written_lines(arguments, count):
    """A file of so many sentences of SST-2, from the first on, and again from the first."""
    path = arguments.work_dir / f"{count}.txt"
    if not path.is_file():
        from kmodels.data.sst2 import read_sst2_file

        texts, _ = read_sst2_file(Path(arguments.data_dir) / "train.tsv")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(text + "\n" for text in itertools.islice(itertools.cycle(texts), count))
    return path


def trained(arguments, model, precision):
    """The folder of a run of this model on a few sentences; weights are the same in every precision."""
    folder = arguments.work_dir / model.replace("scratch:", "") / precision
    if not folder.is_dir() and precision == "float32":
        settings = ["--max_train_examples=4000", "--epochs=1", "--precision=float32", f"--output_dir={folder}"]
        if model.startswith("scratch:"):
            settings += ["--model=bert_base_pool", f"--preset={model}"]
        else:
            settings += [f"--model={model}"]
        train(arguments, settings)
    if not folder.is_dir():
        with_precision(trained(arguments, model, "float32"), folder, precision)
    return folder


def encoder_run(arguments, precision):
    """The folder of a run that starts from the checkpoint, with the same weights for the pipeline inside it."""
    folder = arguments.work_dir / "encoder" / precision
    if not folder.is_dir() and precision != "float32":
        with_precision(encoder_run(arguments, "float32"), folder, precision)
    elif not folder.is_dir():
        num_layers = records.read_json(Path(arguments.checkpoint) / "config.json")["num_hidden_layers"]
        start = ["--model=bert_base_pool", f"--preset={arguments.checkpoint}", f"--frozen_layers={num_layers}"]
        settings = ["--max_train_examples=64", "--epochs=1", "--precision=float32", f"--output_dir={folder}"]
        train(arguments, start + settings)
        print("largest difference of probabilities:", child("same", run=folder, file=written_lines(arguments, 256)))
    return folder


def train(arguments, settings):
    command = [sys.executable, "train.py", "--backend=torch", f"--data_dir={arguments.data_dir}", *settings]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def with_precision(run, folder, precision):
    """A copy of a run whose work is done in another number format."""
    shutil.copytree(run, folder)
    config = records.read_json(folder / records.CONFIG)
    records.write_json(folder / records.CONFIG, config | {"precision": precision})


# In a process of their own


def child(name, **settings):
    """What a function of CHILDREN measures."""
    flags = [f"--{key}={value}" for key, value in settings.items()]
    command = [sys.executable, __file__, f"--child={name}", *flags]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure_kmodels(arguments):
    """The command's own path from file to file, on the backend that it takes by default."""
    from kmodels import inference, prediction
    from kmodels.prediction import answers, streaming
    from kmodels.prediction.background import Background

    config, label_names = inference.settings_of(arguments.run)
    name = arguments.backend or prediction.backend_for(config)
    classifier = inference.load(arguments.run, name)
    classifier.predict_proba(["a warm-up"])
    count = 0
    start = time.perf_counter()
    with open(arguments.file, "rb", buffering=0) as file, tempfile.TemporaryFile("w") as output:
        reader = Background(lambda give: streaming.read_rows(file.read, "text", give), most_waiting=4)
        for rows, probabilities in answers.probabilities_of(reader, classifier):
            output.writelines(answers.json_lines(rows, probabilities, label_names))
            count += len(rows)
    seconds = time.perf_counter() - start
    return {"per_second": count / seconds, "lines": count, "backend": name, "environment": environment(name)}


def measure_transformers(arguments):
    """The pipeline from file to file."""
    import torch

    dtype = getattr(torch, PRECISIONS[arguments.precision])
    classify = text_classification(arguments.run, dtype)
    classify(["a warm-up"] * 4, batch_size=arguments.batch_size)
    start = time.perf_counter()
    with open(arguments.file, encoding="utf-8") as file, tempfile.TemporaryFile("w") as output:
        lines = [line.rstrip("\n") for line in file]
        order = range(len(lines))
        if arguments.order == "sorted":
            order = sorted(order, key=lambda number: -len(lines[number]))
        found = [None] * len(lines)
        # An iterator: the pipeline then loads and collates through its own data set, as its documentation advises.
        results = classify((lines[number] for number in order), batch_size=arguments.batch_size)
        for number, result in zip(order, results):
            found[number] = json.dumps({"label": result["label"], "probability": result["score"]}) + "\n"
        output.writelines(found)
    return {"per_second": len(lines) / (time.perf_counter() - start)}


def text_classification(run, dtype):
    """The pipeline over a run's weights, on a GPU if there is one."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    folder = Path(run) / "transformers"
    model = transformers.BertForSequenceClassification.from_pretrained(folder, dtype=dtype)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    device = 0 if torch.cuda.is_available() else "cpu"
    max_length = records.read_json(Path(run) / records.CONFIG)["max_length"]
    return transformers.pipeline(
        "text-classification", model, tokenizer=tokenizer, device=device, truncation=True, max_length=max_length
    )


def write_same_weights(arguments):
    """Saves a run's weights as BertForSequenceClassification. Returns the largest difference of probabilities."""
    from kmodels import inference

    classifier = inference.load(arguments.run, "torch")
    import torch
    import transformers

    checkpoint = classifier.config.preset
    hub_model = transformers.BertForSequenceClassification.from_pretrained(
        checkpoint, id2label=dict(enumerate(classifier.label_names))
    )
    pairs = [(hub_model.bert.pooler.dense, classifier.model.get_layer("pooled_dense"))]
    pairs += [(hub_model.classifier, classifier.model.get_layer("logits"))]
    for theirs, ours in pairs:
        kernel, bias = (torch.tensor(weight) for weight in ours.get_weights())
        theirs.load_state_dict({"weight": kernel.T, "bias": bias})
    folder = Path(arguments.run) / "transformers"
    hub_model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)
    texts = Path(arguments.file).read_text(encoding="utf-8").splitlines()
    theirs = text_classification(arguments.run, torch.float32)(texts, top_k=None)
    ours = classifier.predict_proba(texts)
    return max(
        abs(each["score"] - row[classifier.label_names.index(each["label"])])
        for row, answer in zip(ours.tolist(), theirs)
        for each in answer
    )


def measure_engine(arguments):
    """Probabilities of token ids that are there already: of many sentences, and of one alone."""
    start = time.perf_counter()
    from kmodels import inference

    classifier = inference.load(arguments.run, arguments.backend)
    load_seconds = time.perf_counter() - start
    texts = Path(arguments.file).read_text(encoding="utf-8").splitlines()
    tokenized = classifier.tokenizer.encode(texts, classifier.config.max_length)
    alone = classifier.tokenizer.encode(texts[:1], classifier.config.max_length)
    seconds = [timed(lambda: classifier.predictor.probabilities(tokenized)) for _ in range(3)]
    alone_seconds = [timed(lambda: classifier.predictor.probabilities(alone)) for _ in range(21)]
    return {
        "load_seconds": load_seconds,
        "first_per_second": len(texts) / seconds[0],
        "per_second": len(texts) / min(seconds[1:]),
        "milliseconds_alone": 1000 * statistics.median(alone_seconds[1:]),
        "environment": environment(arguments.backend),
    }


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def environment(backend_name):
    from kmodels import backends as frameworks
    from kmodels import run_folder

    return run_folder.environment(backend_name, frameworks.current())


CHILDREN = {
    "kmodels": measure_kmodels,
    "transformers": measure_transformers,
    "same": write_same_weights,
    "engine": measure_engine,
}


if __name__ == "__main__":
    main()
