"""A server under load beside its own model without one, and under ten thousand strange requests.

    python benchmarks/serve.py RUN --backend=torch --seconds=30 --rounds=3

RUN is a trained run's folder; its validation sentences are asked. Rounds alternate between `Classifier.predict_proba`
on all sentences in a process of its own and the load generator wrk (Debian: apt-get install wrk) on loopback, which
compares every answer with what predict_proba gave. Then bodies of all kinds are sent, and each must get the status it
deserves. Figures go into results/serve.json.
"""

import argparse
import collections
import contextlib
import dataclasses
import http.client
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import invocation  # noqa: E402
from kmodels import records  # noqa: E402

LOADS = ((32, 1), (16, 32))  # connections, sentences of a request


def main():
    """Measures, writes, and ends with 1 if an answer was wrong or missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--data_dir", help="where the run's data lies now, if elsewhere")
    parser.add_argument("--seconds", type=float, default=30, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fuzz", type=int, default=10_000, help="strange requests")
    parser.add_argument("--serve_flags", default="", help="for kmodels serve, as in --serve_flags='--max_batch=128'")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "serve.json")
    parser.add_argument("--reference", type=Path, help="measure predict_proba in this process, and write into a folder")
    arguments = parser.parse_args()
    if arguments.reference:
        reference(arguments)
        return
    if shutil.which("wrk") is None:
        raise SystemExit("the load generator wrk is missing: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, Path(folder))
    records.write_json(arguments.output, result)
    print(json.dumps(result, indent=2))
    sys.exit(0 if is_faultless(result) else 1)


def is_faultless(result):
    """True if every answer came and was right."""
    faults = [row[name] for row in result["loads"] for name in ("unanswered", "wrong", "socket_errors")]
    return not any(faults) and not result["fuzz"]["wrong_status"] and result["fuzz"]["serves_afterwards"]


def measure(arguments, folder):
    """The whole table: dict as in results/serve.json."""
    rounds = collections.defaultdict(list)
    base = reference_process(arguments, folder)
    with serving(arguments) as port:
        for number in range(arguments.rounds):
            for connections, size in LOADS:
                write_bodies(folder, base, size)
                rounds[connections, size].append(load(port, folder, connections, arguments.seconds, base["tolerance"]))
                print(connections, size, rounds[connections, size][-1], flush=True)
            if number < arguments.rounds - 1:
                base["speeds"] += reference_process(arguments, folder)["speeds"]
        resident = process_bytes(port)
        fuzzed = fuzz(port, arguments.fuzz)
        fuzzed["resident_mebibytes"] = [resident / 2**20, process_bytes(port) / 2**20]
        write_bodies(folder, base, 1)
        after = load(port, folder, 4, 1.0, base["tolerance"])
        fuzzed["serves_afterwards"] = after["received_all"] and after["wrong"] == 0
    alone = statistics.median(base["speeds"])
    rows = [row(key, several, alone) for key, several in rounds.items()]
    return {
        "command": invocation.command(),
        "generator": wrk_version(),
        "environment": base["environment"],
        "model": base["model"],
        "precision": base["precision"],
        "num_sentences": len(base["texts"]),
        "predict_proba_sentences_per_second": alone,
        "predict_proba_range": [min(base["speeds"]), max(base["speeds"])],
        "loads": rows,
        "fuzz": fuzzed,
    }


def row(key, several, alone):
    """What the rounds of one kind of load amount to."""
    connections, size = key
    speeds = [each["sentences"] / each["seconds"] for each in several]
    return {
        "connections": connections,
        "sentences_per_request": size,
        "requests": sum(each["requests"] for each in several),
        "unanswered": sum(each["unanswered"] for each in several),
        "wrong": sum(each["wrong"] for each in several),
        "socket_errors": sum(each["socket_errors"] for each in several),
        "sentences_per_second": statistics.median(speeds),
        "sentences_per_second_range": [min(speeds), max(speeds)],
        "part_of_predict_proba": statistics.median(speeds) / alone,
        "p50_ms": statistics.median(each["p50_ms"] for each in several),
        "p99_ms": statistics.median(each["p99_ms"] for each in several),
        "max_ms": max(each["max_ms"] for each in several),
    }


def reference(arguments):
    """Measures predict_proba on all sentences at once, after two calls that are not counted."""
    from kmodels import backends, corpus, inference, run_folder

    classifier = inference.load(arguments.run, arguments.backend)
    config = classifier.config
    if arguments.data_dir:
        config = dataclasses.replace(config, data_dir=arguments.data_dir)
    texts = list(corpus.load_dataset(config).validation.texts)
    classifier.predict_proba(texts)
    probabilities = classifier.predict_proba(texts)
    start, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - start < arguments.seconds:
        classifier.predict_proba(texts)
        calls += 1
    speed = calls * len(texts) / (time.perf_counter() - start)
    names = classifier.label_names
    value = {
        "texts": texts,
        "labels": [names[number] for number in probabilities.argmax(axis=1)],
        "probabilities": probabilities.max(axis=1).tolist(),
        "speeds": [speed],
        "model": config.model,
        "precision": config.precision,
        "tolerance": 1e-4 if config.precision == "float32" else 2e-2,
        "environment": run_folder.environment(arguments.backend, backends.current()),
    }
    records.write_json(arguments.reference / "reference.json", value)


def reference_process(arguments, folder):
    """The dict of `reference`, from a process of its own."""
    command = [sys.executable, __file__, str(arguments.run), f"--backend={arguments.backend}"]
    command += [f"--seconds={arguments.seconds}", f"--reference={folder}"]
    if arguments.data_dir:
        command.append(f"--data_dir={arguments.data_dir}")
    subprocess.run(command, check=True)
    value = records.read_json(folder / "reference.json")
    print("predict_proba", value["speeds"], flush=True)
    return value


@contextlib.contextmanager
def serving(arguments):
    """`kmodels serve` in a process of its own; gives its port."""
    command = [
        sys.executable,
        "-m",
        "kmodels",
        "serve",
        str(arguments.run),
        "--port=0",
        f"--backend={arguments.backend}",
    ]
    process = subprocess.Popen([*command, *arguments.serve_flags.split()], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        port = int(re.search(r":(\d+)/", line)[1])
        while status_of(port, "/readyz") != 200:
            time.sleep(0.1)
        yield port
        process.terminate()
        if process.wait(60) != 0:
            raise SystemExit(f"the server ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()


def write_bodies(folder, base, size):
    """bodies.txt and answers.txt for serve.lua: all sentences, `size` a request."""
    bodies, answers = [], []
    for first in range(0, len(base["texts"]) - size + 1, size):
        part = slice(first, first + size)
        bodies.append(json.dumps({"texts": base["texts"][part]}))
        pairs = zip(base["labels"][part], base["probabilities"][part])
        answers.append("\t".join(f"{json.dumps(label)}\t{probability}" for label, probability in pairs))
    (folder / "bodies.txt").write_text("\n".join(bodies) + "\n")
    (folder / "answers.txt").write_text("\n".join(answers) + "\n")


def load(port, folder, connections, seconds, tolerance):
    """One run of wrk: its threads have a connection each, so that each answer is known to be to its last request."""
    command = ["wrk", f"-t{connections}", f"-c{connections}", f"-d{int(seconds) + 5}s", "--timeout=60s"]
    command += [f"--script={ROOT / 'benchmarks' / 'serve.lua'}", f"http://127.0.0.1:{port}/"]
    done = subprocess.run(
        [*command, "--", str(folder), str(seconds), str(tolerance)], check=True, capture_output=True, text=True
    )
    value = json.loads(done.stdout.splitlines()[-1])
    return value | {"received_all": value["unanswered"] == 0 and value["requests"] > 0}


def fuzz(port, count):
    """Sends bodies of all kinds; counts statuses, and those that are not what the body deserves."""
    import hypothesis

    from kmodels.serving.limits import Limits
    from tests.serving.bodies import bodies, expected_status

    model = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/model", timeout=60).read())
    statuses, wrong, answered = collections.Counter(), [], 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(body):
        nonlocal answered
        connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        value = json.loads(answer.read())
        answered += 1
        statuses[str(answer.status)] += 1
        good = set(value) == ({"model", "predictions"} if answer.status == 200 else {"error"})
        if not good or answer.status != expected_status(body, len(model["labels"]), Limits()):
            wrong.append((answer.status, body[:200]))

    settings = hypothesis.settings(
        max_examples=1000,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    seed = 0
    while answered < count:  # Hypothesis stops early where it finds nothing new
        hypothesis.seed(seed)(settings(hypothesis.given(bodies(Limits()))(send)))()
        seed += 1
    for each in wrong[:5]:
        print("wrong:", *each, flush=True)
    return {"requests": answered, "statuses": dict(sorted(statuses.items())), "wrong_status": len(wrong)}


def status_of(port, path):
    """The status of GET."""
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60).status
    except urllib.error.HTTPError as error:
        return error.code


def process_bytes(port):
    """The server's resident memory, as it says itself."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60).read().decode()
    return float(re.search(r"^process_resident_memory_bytes (\S+)$", text, flags=re.MULTILINE)[1])


def wrk_version():
    """As wrk says it: "wrk debian/4.1.0-3+b2"."""
    return subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout.partition(" [")[0]


if __name__ == "__main__":
    main()
