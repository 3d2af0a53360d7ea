"""The server as a process: where it listens, how it stops, and what it says when it can't start."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from kmodels import backends, cli
from kmodels.data.tokenizers import TokenizedTexts
from kmodels.errors import InputError, RunError
from kmodels.prediction.shapes import FixedShapes, plan
from kmodels.serving import server
from kmodels.serving.limits import Limits
from tests.reviews import tiny_settings
from tests.serving.running import Counting, figure, get, running, unread
from tests.serving.test_application import head_of, posting, until

ROOT = Path(__file__).parent.parent.parent
TOY = """
from kmodels.serving import server
from kmodels.serving.limits import Limits
from tests.serving.running import Counting
limits = Limits(stop_seconds={stop_seconds})
server.run(lambda: Counting(seconds={seconds}), lambda _: None, "toy", "127.0.0.1", 0, limits)
"""


@contextlib.contextmanager
def process(*command):
    """A server's process and its port, once it said where it listens and is ready."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, *command], cwd=ROOT, **pipes) as started:
        try:
            line = started.stdout.readline()
            assert "http://127.0.0.1:" in line, started.stderr.read()
            port = int(line.rpartition(":")[2].strip(" /\n"))
            until(lambda: get(port, "/readyz")[0] == 200)
            yield started, port
        finally:
            started.kill()


def toy(seconds=0.0, stop_seconds=30):
    return process("-c", TOY.format(seconds=seconds, stop_seconds=stop_seconds))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_it_answer_what_is_in_flight_and_end_with_0(number):
    with toy(seconds=1.0) as (started, port):
        with posting(port, {"texts": ["good"]}) as (answer,):
            until(lambda: in_flight(port))
            started.send_signal(number)
        assert answer.result()[0] == 200
        assert started.wait(20) == 0
        assert started.stderr.read() == f"{number.name}: answering what is in flight; once more to stop at once\n"
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


def in_flight(port):
    """True while another request than this one is not answered."""
    return figure(port, "kmodels_requests_in_flight") == 2


def test_a_second_signal_ends_it_at_once():
    with toy(seconds=30) as (started, port), posting(port, {"texts": ["good"]}) as (answer,):
        until(lambda: in_flight(port))
        started.send_signal(signal.SIGTERM)
        assert "once more" in started.stderr.readline()
        started.send_signal(signal.SIGTERM)
        assert started.wait(20) == -signal.SIGTERM
        assert answer.exception() is not None


def test_what_can_not_be_answered_in_time_is_told_by_the_exit_status(caplog):
    with (
        running(classifier := Counting(), stop_seconds=1) as (port, web),
        posting(port, {"texts": ["good"]}) as (answer,),
    ):
        until(lambda: classifier.calls)
        classifier.go.clear()
        with posting(port, {"texts": ["bad"]}) as (late,):
            until(lambda: len(classifier.calls) == 2)
            web.stop()
        assert late.exception() is not None or late.result()[0] == 500
        assert answer.result()[0] == 200
        assert web.num_cut == 1
    assert caplog.text == ""


@pytest.mark.parametrize("headers", [["", "", "", ""], ["connection: close\r\n"]], ids=["more asked", "all answered"])
def test_an_answer_that_is_not_read_in_time_is_told_by_the_exit_status(caplog, headers):
    asked = b"".join(head_of("/page.js", "GET", each) + b"\r\n" for each in headers)
    with running(Counting(), send_buffer=2048, stop_seconds=1) as (port, web), unread(port, asked):
        until(lambda: figure(port, 'kmodels_requests_total{path="/page.js"'))
        web.stop()
        until(lambda: web.num_cut == 1)
    assert web.num_cut == 1
    assert caplog.text == ""


def test_run_says_that_requests_were_cut_off(monkeypatch):
    monkeypatch.setattr(server.Server, "run", lambda self, sockets: setattr(self, "num_cut", 2))
    with pytest.raises(RunError, match="2 requests were not answered within 30 seconds"):
        server.run(Counting, print, "toy", "127.0.0.1", 0, Limits())


def test_a_model_that_can_not_be_warmed_up_ends_it(capsys):
    def warm_up(classifier):
        raise ValueError("no kernel for this device")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RunError, match=r"the model can't compute: ValueError.*no kernel"):
        server.run(Counting, warm_up, "toy", "127.0.0.1", 0, Limits())
    assert signal.getsignal(signal.SIGINT) is before


def test_the_model_is_loaded_in_the_thread_that_computes():
    threads = []

    def load():
        threads.append(threading.current_thread())
        raise InputError("holds no trained model")

    with pytest.raises(InputError, match="holds no trained model"):
        server.run(load, print, "toy", "127.0.0.1", 0, Limits())
    assert threads[0].name == "model_0" and not threads[0].is_alive()


def test_addresses_are_printed_as_browsers_take_them():
    with server.listening_socket("127.0.0.1", 0) as listener:
        assert server.address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}/"
    if socket.has_ipv6:
        try:
            listener = server.listening_socket("::1", 0)
        except InputError:
            pytest.skip("no IPv6 on this machine")
        with listener:
            assert server.address_of(listener) == f"http://[::1]:{listener.getsockname()[1]}/"


def test_by_default_only_this_machine_reaches_it():
    with server.listening_socket("127.0.0.1", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
    from kmodels.commands import serve

    assert "(default: 127.0.0.1, this machine only)" in serve.HELP


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "serve needs one run's folder"),
        (["a", "b"], "serve needs one run's folder"),
        (["a", "--prot=1"], "unknown flag --prot; did you mean --port?"),
        (["nowhere"], "nowhere holds no trained model"),
        (["nowhere", "--port=x"], "port"),
        (["nowhere", "--port=70000"], "port must be from 0 to 65535; got 70000"),
        (["nowhere", "--host=no.such.host.invalid"], "can't listen on no.such.host.invalid port 8080"),
        (["nowhere", "--max_batch=0"], "max_batch must be at least 1; got 0"),
        (["nowhere", "--max_sentences=9", "--max_queue=8"], "max_sentences must be at most max_queue, 8"),
    ],
)
def test_a_wrong_call_gets_one_line_and_status_2(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["kmodels", "serve", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert message in said.err


def test_a_port_that_is_taken_gets_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert cli.main(["kmodels", "serve", "nowhere", f"--port={port}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: can't listen on 127.0.0.1 port {port}: ") and said.count("\n") == 1
    assert "--port=0 takes a free one" in said


def test_missing_packages_are_named_with_what_installs_them(capsys, monkeypatch):
    from kmodels.commands import serve

    monkeypatch.setattr(serve.importlib.util, "find_spec", lambda name: None if name == "uvicorn" else object())
    assert cli.main(["kmodels", "serve", "nowhere"]) == 2
    assert capsys.readouterr().err == (
        "error: serve needs uvicorn; install what it needs: pip install 'kmodels[serve]'\n"
    )


def test_help_names_every_limit(capsys):
    assert cli.main(["kmodels", "serve", "--help"]) == 0
    said = capsys.readouterr().out
    for name in vars(Limits()):
        assert f"  --{name}=" in said
    assert "(default: 1048576)" in said and max(map(len, said.splitlines())) <= 120


@pytest.mark.backend
def test_a_run_is_served_as_it_predicts(tmp_path, review_files, chosen_backend):
    import kmodels

    kmodels.train(**tiny_settings("textcnn", review_files, tmp_path / "run", backend=chosen_backend))
    texts = ["the film is superb", "the plot is awful and the cast is dull", "", "the score is fine"] * 5
    expected = kmodels.load(tmp_path / "run").predict_proba(texts)
    command = ("-m", "kmodels", "serve", str(tmp_path / "run"), "--port=0", f"--backend={chosen_backend}")
    with process(*command, "--max_batch=8") as (started, port):
        with posting(port, *({"texts": texts, "explain": number % 2 == 0} for number in range(6))) as answers:
            pass
        for answer in answers:
            status, value = answer.result()
            assert (status, value["model"]) == (200, "run")
            found = [[each["probabilities"][label] for label in ("0", "1")] for each in value["predictions"]]
            np.testing.assert_allclose(found, expected, atol=1e-5)
        scores = {word["text"]: word["score"] for word in answers[0].result()[1]["predictions"][0]["words"]}
        assert list(scores) == ["the", "film", "is", "superb"] and max(scores, key=scores.get) == "superb"
        started.send_signal(signal.SIGTERM)
        assert started.wait(60) == 0, started.stderr.read()


@pytest.mark.parametrize(
    ("cores", "max_batch", "some"),
    [
        (2, 128, {(512, 2), (256, 4)}),
        (4, 128, {(256, 6), (256, 8), (512, 4), (1024, 2)}),
        (8, 128, {(256, 10)}),
        (2, 32, {(64, 10)}),
    ],
)
def test_the_warm_up_computes_every_shape_that_a_batch_can_have_and_no_other(cores, max_batch, some):
    from kmodels.commands import serve

    class Noting:
        _shapes = FixedShapes(512 * cores, 64)
        met: ClassVar = set()

        def probabilities(self, tokenized):
            self.met.update((len(rows), length) for rows, length in plan(tokenized.lengths, self._shapes))

    serve.warm_up(Noting(), max_batch)
    assert some <= Noting.met  # those with more rows than there are sentences
    numbers = range(1, max_batch + 1)
    assert Noting.met == {Noting._shapes.of(number, length) for number in numbers for length in range(65)}


@pytest.mark.backend
def test_nothing_is_compiled_any_more_after_the_warm_up(tmp_path, review_files, chosen_backend):
    import kmodels
    from kmodels.commands import serve

    kmodels.train(**tiny_settings("textcnn", review_files, tmp_path / "run", backend=chosen_backend, max_length=40))
    predictor = serve.load(tmp_path / "run", chosen_backend).predictor
    serve.warm_up(predictor, 128)
    start = predictor._start
    met = []
    predictor._start = lambda token_ids, mask: met.append(token_ids.shape) or start(token_ids, mask)
    serve.warm_up(predictor, 128)
    warm = set(met)
    numbers = np.random.default_rng(0)
    for _ in range(200):
        lengths = numbers.integers(0, 41, numbers.integers(1, 129))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        predictor.probabilities(TokenizedTexts(np.zeros(offsets[-1], np.int32), offsets))
    if backends.current().COMPILES_EACH_SHAPE:
        assert set(met) == warm
    else:
        assert warm == {(1, 1)}
