"""A server in a thread, before a model that counts good and bad words: no framework, no process."""

import contextlib
import json
import socket
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kmodels.config import RunConfig
from kmodels.data import tokenizer_training
from kmodels.serving import server
from kmodels.serving.app import Application
from kmodels.serving.limits import Limits

GOOD, BAD = {"good", "great", "superb"}, {"bad", "dull", "awful"}
SENTENCES = ["the film is good", "a dull plot and an awful cast", "great , but bad", "don't", ""]


class Counting:
    """A classifier whose probability of «positive» is the sigmoid of good words less bad words.

    Attributes:
        calls: the texts of each call.
        go: a threading.Event that calls wait for.
        seconds: how long each call takes.
    """

    def __init__(self, label_names=("negative", "positive"), seconds=0.0):
        self.label_names = label_names
        self.tokenizer = tokenizer_training.train_words(SENTENCES)
        self.config = RunConfig(model="textcnn", max_length=64).resolved("jax")
        self.calls = []
        self.threads = set()
        self.go = threading.Event()
        self.go.set()
        self.seconds = seconds

    def predict_proba(self, texts):
        self.threads.add(threading.current_thread().name)
        self.calls.append(list(texts))
        assert self.go.wait(60)
        time.sleep(self.seconds)
        logits = [sum((word in GOOD) - (word in BAD) for word in text.split()) for text in texts]
        positive = 1 / (1 + np.exp(-np.array(logits, np.float32)))
        return np.stack([1 - positive, positive], axis=1).astype(np.float32)


@contextlib.contextmanager
def application(classifier, warm_up=lambda: None, **limits):
    """An Application before a thread for its model."""
    with ThreadPoolExecutor(1, "model") as thread:
        yield Application(classifier, "toy", Limits(**limits), thread, warm_up)


@contextlib.contextmanager
def running(classifier, send_buffer=None, **limits):
    """A server on a free port of this machine: (its port, its kmodels.serving.server.Server).

    Args:
        send_buffer: bytes that the system takes of an answer before the client reads, or a few more; None for many.
    """
    with application(classifier, **limits) as app, server.listening_socket("127.0.0.1", 0) as listener:
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)  # its connections inherit it
        web = server.Server(app, Limits(**limits))
        listener.listen()
        port = listener.getsockname()[1]
        thread = threading.Thread(target=web.run, args=([listener],))
        thread.start()
        try:
            while get(port, "/readyz")[0] != 200:
                time.sleep(0.005)
            yield port, web
        finally:
            classifier.go.set()
            web.stop()
            thread.join(60)
    assert not thread.is_alive()


def get(port, path):
    """(status, text) of GET."""
    return _answer(urllib.request.Request(f"http://127.0.0.1:{port}{path}"))


def post(port, value, path="/v1/predict"):
    """(status, value) of POST with JSON."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(value).encode(), headers)
    status, text = _answer(request)
    return status, json.loads(text)


def _answer(request):
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def raw(port, *pieces, pause=0.0, timeout=60):
    """What a server says to bytes that are sent piece by piece, until it closes: bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        said = b""
        while block := connection.recv(65536):
            said += block
        return said


@contextlib.contextmanager
def unread(port, said, number=1):
    """Connections on which something was said and nothing is read: [socket, …]."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(socket.socket()) for _ in range(number)]
        for connection in connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.settimeout(20)
            connection.connect(("127.0.0.1", port))
            connection.sendall(said)
        yield connections


def figure(port, name):
    """A figure of GET /metrics, summed over labels that are not in its name."""
    lines = [line for line in get(port, "/metrics")[1].splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
