"""What a server answers: over real connections, before a model whose arithmetic is known."""

import concurrent.futures
import contextlib
import http.client
import json
import socket
import threading
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from starlette.testclient import TestClient

from kmodels.config import RunConfig
from kmodels.prediction import attribution
from kmodels.serving.limits import Limits
from tests.serving.bodies import bodies, expected_status
from tests.serving.running import SENTENCES, Counting, application, figure, get, post, raw, running

JSON = "content-type: application/json\r\n"


def until(condition):
    """Waits for something that another thread brings about."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")


@contextlib.contextmanager
def posting(port, *bodies):
    """Posts bodies, each in a thread of its own; gives the futures of (status, value)."""
    with concurrent.futures.ThreadPoolExecutor(len(bodies)) as threads:
        yield [threads.submit(post, port, body) for body in bodies]


def head_of(path="/v1/predict", method="POST", headers=JSON):
    return f"{method} {path} HTTP/1.1\r\nhost: here\r\n{headers}".encode()


@pytest.fixture(scope="module")
def port():
    with running(Counting()) as (port, _):
        yield port


def test_answers_are_those_of_predict_proba(port):
    status, answer = post(port, {"texts": SENTENCES})
    assert (status, answer["model"]) == (200, "toy")
    for row, prediction in zip(Counting().predict_proba(SENTENCES), answer["predictions"], strict=True):
        assert prediction["probabilities"] == {"negative": row[0], "positive": row[1]}
        assert prediction["label"] == ("negative", "positive")[row.argmax()]
        assert prediction["probability"] == row.max()
        assert list(prediction["probabilities"].values()) == sorted(row, reverse=True)
        assert "words" not in prediction


def test_top_k_gives_the_likeliest(port):
    _, answer = post(port, {"texts": ["good", "bad"], "top_k": 1})
    assert [list(each["probabilities"]) for each in answer["predictions"]] == [["positive"], ["negative"]]


def test_explained_words_carry_their_scores(port):
    texts = ["😀 good and superb , dull don't", "", "dull dull"]
    _, answer = post(port, {"texts": texts, "explain": True})
    found = [[(word["text"], word["score"]) for word in each["words"]] for each in answer["predictions"]]
    one, two = (1 / (1 + np.exp(-count)) for count in (1, 2))
    moved = {"good": one - 0.5, "superb": one - 0.5, "dull": one - two}
    for (word, score), expected in zip(found[0], ["😀", "good", "and", "superb", ",", "dull", "don't"], strict=True):
        assert word == expected
        assert score == pytest.approx(moved.get(word, 0), abs=1e-6)
    assert found[1] == []
    assert found[2] == [("dull", pytest.approx(two - one, abs=1e-6))] * 2
    place = answer["predictions"][0]["words"][1]
    assert (place["start"], place["end"]) == (2, 6)  # code points


def test_the_model_describes_itself(port):
    status, text = get(port, "/v1/model")
    assert status == 200
    assert json.loads(text) == {
        "model": "toy",
        "architecture": "textcnn",
        "labels": ["negative", "positive"],
        "max_length": 64,
        "limits": {"max_sentences": 256, "max_characters": 10_000, "max_body_bytes": 2**20, "max_queue": 4096},
    }


@pytest.mark.parametrize(
    ("request_head", "body", "status"),
    [
        (head_of(), b'{"texts": ["a"]', 400),
        (head_of(), b"", 400),
        (head_of(), b'{"text": ["a"]}', 422),
        (head_of(headers="content-type: text/plain\r\n"), b'{"texts": ["a"]}', 415),
        (head_of(headers=""), b'{"texts": ["a"]}', 415),
        (head_of(headers=JSON + "content-encoding: gzip\r\n"), b'{"texts": ["a"]}', 415),
        (head_of("/v1/predictions"), b"{}", 404),
        (head_of("/../page.py"), b"", 404),
        (head_of("/page/index.html", "GET"), b"", 404),
        (head_of("/v1/predict/"), b"{}", 404),
        (head_of(method="GET"), b"", 405),
        (head_of(method="OPTIONS"), b"", 405),
        (head_of("/healthz"), b"{}", 405),
    ],
)
def test_errors_have_their_status_and_one_line(port, request_head, body, status):
    before = figure(port, f'kmodels_requests_total{{path="/v1/predict",status="{status}"}}')
    said = raw(port, request_head + f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
    head, _, content = said.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    error = json.loads(content)
    assert list(error) == ["error"] and "\n" not in error["error"]
    assert (b"\r\nallow:" in head.lower()) == (status == 405)
    if b" /v1/predict " in request_head:
        assert figure(port, f'kmodels_requests_total{{path="/v1/predict",status="{status}"}}') == before + 1


@pytest.mark.parametrize(
    "said",
    [b"nonsense\r\n\r\n", b"GET / FTP\r\n\r\n", head_of() + b"transfer-encoding: chunked\r\n\r\nno number\r\n"],
)
def test_what_is_no_http_is_refused(port, said):
    answer = raw(port, said)
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.endswith(b'{"error":"this is no HTTP/1.1 request"}')
    assert post(port, {"texts": ["good"]})[0] == 200


@pytest.mark.parametrize("kind", ["length", "chunked", "expect"])
def test_a_huge_body_is_refused_and_not_kept(kind):
    with running(Counting(), max_body_bytes=1000) as (port, _):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"content-type": "application/json"}
        if kind == "chunked":
            pieces = (b"x" * 65536 for _ in range(200))
            connection.request("POST", "/v1/predict", pieces, headers, encode_chunked=True)
        elif kind == "length":
            connection.request("POST", "/v1/predict", b"x" * 65536 * 200, headers)
        else:
            said = raw(port, head_of() + b"content-length: 1001\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n")
            assert said.startswith(b"HTTP/1.1 413 ")  # without asking for the body first
            return
        answer = connection.getresponse()
        assert answer.status == 413
        assert json.loads(answer.read()) == {"error": "the body must have at most 1000 bytes"}
        # The rest of the body is read away, so that the connection can be used again.
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200


def test_a_body_of_just_the_limit_is_read():
    body = json.dumps({"texts": ["good"]}).encode()
    with running(Counting(), max_body_bytes=len(body)) as (port, _):
        assert post(port, {"texts": ["good"]})[0] == 200
        assert post(port, {"texts": ["good!"]})[0] == 413


def test_concurrent_requests_share_batches():
    classifier = Counting()
    with running(classifier) as (port, _):
        before = figure(port, "kmodels_batch_sentences_count"), figure(port, "kmodels_sentences_total")
        classifier.go.clear()
        with posting(port, {"texts": ["first"]}) as first:
            until(lambda: classifier.calls)
            texts = [["good"] * (1 + number) for number in range(20)]
            with posting(port, *({"texts": [" ".join(words)]} for words in texts)) as rest:
                until(lambda: figure(port, "kmodels_queue_sentences") == 20)
                assert get(port, "/healthz")[0] == 200  # the event loop waits for nobody
                classifier.go.set()
            assert [done.result()[0] for done in (*first, *rest)] == [200] * 21
        for words, done in zip(texts, rest):
            expected = classifier.predict_proba([" ".join(words)])[0, 1]
            assert done.result()[1]["predictions"][0]["probabilities"]["positive"] == expected
        assert [len(call) for call in classifier.calls[:2]] == [1, 20]
        assert figure(port, "kmodels_batch_sentences_count") - before[0] == 2
        assert figure(port, "kmodels_sentences_total") - before[1] == 21
        assert figure(port, "kmodels_queue_sentences") == 0
    assert classifier.threads == {"model_0", threading.current_thread().name}


def test_a_full_queue_gets_503_and_a_time_to_come_back():
    classifier = Counting()
    with running(classifier, max_queue=4, max_sentences=4) as (port, _):
        classifier.go.clear()
        with posting(port, {"texts": ["first"]}) as first:
            until(lambda: classifier.calls)
            with posting(port, {"texts": ["second"] * 3}) as second:
                until(lambda: figure(port, "kmodels_queue_sentences") == 3)
                body = b'{"texts": ["a", "b"]}'
                said = raw(
                    port, head_of() + f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
                )
                assert said.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: 1\r\n" in said
                classifier.go.set()
        assert [done.result()[0] for done in (*first, *second)] == [200, 200]
        assert post(port, {"texts": ["a", "b"]})[0] == 200
        assert ["a", "b"] not in classifier.calls[:2]
        status, answer = post(port, {"texts": ["one two three four"], "explain": True})
        assert status == 422 and "too many words to explain at once: 5 calls" in answer["error"]


@pytest.mark.parametrize(("num_texts", "status"), [(8, 200), (40, 422)])
def test_explaining_long_texts_takes_memory_for_a_batch_of_copies_and_not_for_all(num_texts, status):
    class Even(Counting):  # keeps no texts
        def predict_proba(self, texts):
            return np.full((len(texts), 2), 0.5, np.float32)

    classifier = Even()
    classifier.config = RunConfig(model="textcnn", max_length=512).resolved("jax")
    text = ("x" * 19 + " ") * 500
    with running(classifier) as (port, _):
        tracemalloc.start()
        try:
            found, answer = post(port, {"texts": [text] * num_texts, "explain": True})
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert found == status
    if status == 200:
        assert [len(each["words"]) for each in answer["predictions"]] == [500] * num_texts
    assert peak < 12e6  # all copies have 500 * num_texts * 10 kB: 40 MB, 200 MB


def test_what_nobody_waits_for_is_not_computed():
    classifier = Counting()
    with running(classifier, answer_seconds=1.0) as (port, _):
        classifier.go.clear()
        with posting(port, {"texts": ["first"]}) as first:
            until(lambda: classifier.calls)
            body = b'{"texts": ["left"]}'
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(head_of() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
                until(lambda: figure(port, "kmodels_queue_sentences") == 1)
            until(lambda: figure(port, "kmodels_queue_sentences") == 0)
            assert figure(port, 'kmodels_requests_total{path="/v1/predict",status="499"}') == 1
            with posting(port, {"texts": ["late"]}) as late:
                pass
            assert late[0].result() == (503, {"error": "no answer within 1 seconds; try again later"})
            until(lambda: figure(port, "kmodels_queue_sentences") == 0)
            classifier.go.set()
        assert first[0].result()[0] == 503
        assert post(port, {"texts": ["now"]})[0] == 200
        assert classifier.calls == [["first"], ["now"]]


def test_looking_for_words_is_part_of_the_time_for_an_answer(monkeypatch):
    found = threading.Event()
    monkeypatch.setattr(attribution, "words", lambda *given: [(0, 4)][: found.wait(5)])
    with running(Counting(), answer_seconds=0.3) as (port, _):
        status, answer = post(port, {"texts": ["good"], "explain": True})
        found.set()
    assert (status, answer["error"]) == (503, "no answer within 0.3 seconds; try again later")


def test_a_model_that_fails_or_gives_no_number_is_500_and_the_server_goes_on(caplog):
    class Failing(Counting):
        def predict_proba(self, texts):
            if "fail" in texts:
                raise MemoryError("no room")
            return np.where([["nan" in text] for text in texts], np.nan, super().predict_proba(texts))

    with running(Failing()) as (port, _):
        message = "the model failed on these sentences; the server's log says why"
        assert post(port, {"texts": ["fail"]}) == (500, {"error": message})
        assert post(port, {"texts": ["nan"]})[0] == 500
        assert post(port, {"texts": ["good"]})[0] == 200
        assert figure(port, 'kmodels_requests_total{path="/v1/predict",status="500"}') == 2
    assert "MemoryError: no room" in caplog.text and len(caplog.records) == 1


def test_it_is_ready_after_the_warm_up_and_alive_before():
    warm, threads = threading.Event(), []

    def warm_up():
        threads.append(threading.current_thread().name)
        assert warm.wait(60)

    with application(Counting(), warm_up) as app, TestClient(app) as client:
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (503, {"error": "warming up"}, "1")
        assert client.get("/healthz").json() == {"status": "alive"}
        warm.set()
        until(lambda: client.get("/readyz").status_code == 200)
    assert threads == ["model_0"]


def test_every_answer_has_its_security_headers_and_none_invites_other_sites(port):
    for method, path in [
        ("GET", "/"),
        ("GET", "/page.js"),
        ("GET", "/nothing"),
        ("POST", "/v1/predict"),
        ("GET", "/metrics"),
    ]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request(method, path, headers={"origin": "http://elsewhere.example"})
        answer = connection.getresponse()
        answer.read()
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert "server" not in answer.headers


def test_figures_are_in_the_format_of_prometheus(port):
    from prometheus_client.parser import text_string_to_metric_families

    post(port, {"texts": ["good"]})
    get(port, "/secret/" + "x" * 50)
    text = get(port, "/metrics")[1]
    names = {family.name for family in text_string_to_metric_families(text)}
    assert names >= {
        "kmodels_requests",
        "kmodels_request_seconds",
        "kmodels_queue_sentences",
        "kmodels_batch_sentences",
        "kmodels_batch_seconds",
        "kmodels_sentences",
        "process_resident_memory_bytes",
    }
    assert "secret" not in text  # a client can't make series


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies(Limits()))
def test_whatever_a_body_holds_the_answer_fits(port, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/v1/predict", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    value = json.loads(answer.read())
    connection.close()
    assert answer.status == expected_status(body, 2, Limits())
    if answer.status == 200:
        texts = json.loads(body)["texts"]
        expected = Counting().predict_proba(texts).max(axis=1)
        np.testing.assert_array_equal([each["probability"] for each in value["predictions"]], expected)
    else:
        assert list(value) == ["error"] and "\n" not in value["error"]


def test_noise_on_connections_does_not_disturb_others(port):
    numbers = np.random.default_rng(0)
    good = head_of() + b'content-length: 19\r\n\r\n{"texts": ["good"]}'
    for _ in range(100):
        noise = bytearray(good * 2)
        for place in numbers.integers(0, len(noise), 3):
            noise[place] = numbers.integers(0, 256)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(bytes(noise[: numbers.integers(1, len(noise))]))
            connection.shutdown(socket.SHUT_WR)
            first = connection.recv(12)
            assert first == b"" or first.startswith(b"HTTP/1.1 ")
            assert not first.endswith(b"500")
    assert post(port, {"texts": ["good"]})[0] == 200
