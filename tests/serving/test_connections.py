"""Clients that are slow to ask, slow to read, or too many: none of them keeps a connection from others for long."""

import socket
import time

import pytest

from kmodels.serving.app import PAGE
from tests.serving.running import Counting, figure, get, post, raw, running, unread
from tests.serving.test_application import head_of, until


def test_a_slow_body_gets_408():
    with running(Counting(), receive_seconds=0.3) as (port, _):
        start = time.monotonic()
        said = raw(port, head_of() + b"content-length: 100\r\n\r\n", b" ", b" ", pause=0.05)
        assert said.startswith(b"HTTP/1.1 408 ") and b"within 0.3 seconds" in said
        assert time.monotonic() - start < 10
        assert figure(port, 'kmodels_requests_total{path="/v1/predict",status="408"}') == 1


@pytest.mark.parametrize("said", [b"POST /v1/pre", b"GET /healthz HTTP/1.1\r\nhost: here\r\nx: "])
def test_a_head_that_does_not_end_gets_408(said):
    with running(Counting(), receive_seconds=0.2) as (port, _):
        answer = raw(port, said, timeout=20)
        assert answer.startswith(b"HTTP/1.1 408 ") and answer.endswith(b'{"error":"the request did not come in time"}')


def test_a_connection_on_which_nothing_comes_is_closed():
    with running(Counting(), receive_seconds=0.2) as (port, _):
        assert raw(port, timeout=20) == b""
        # So is one that was used before, by the time that HTTP/1.1 keeps it.
        said = raw(port, head_of("/healthz", "GET", "") + b"\r\n", timeout=20)
        assert said.count(b"HTTP/1.1 200 ") == 1 and said.count(b"HTTP/1.1") == 1


def test_an_answered_client_that_never_stops_sending_is_cut_off():
    with (
        running(Counting(), receive_seconds=0.3, max_body_bytes=10) as (port, _),
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
    ):
        connection.sendall(head_of() + b"transfer-encoding: chunked\r\n\r\n")
        with pytest.raises(OSError):
            for _ in range(600):
                connection.sendall(b"5\r\nxxxxx\r\n")
                time.sleep(0.02)


def test_too_many_connections_get_503():
    with running(Counting(), max_connections=3) as (port, _):
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        until(lambda: get(port, "/healthz")[0] == 503)
        status, answer = post(port, {"texts": ["good"]})
        assert (status, answer["error"]) == (503, "too many connections; try again later")
        for each in held:
            each.close()
        until(lambda: get(port, "/healthz")[0] == 200)


@pytest.mark.parametrize("headers", [["", "", "", ""], ["connection: close\r\n"]], ids=["more asked", "all answered"])
def test_clients_that_do_not_read_lose_their_connections(headers):
    asked = b"".join(head_of("/page.js", "GET", each) + b"\r\n" for each in headers)
    with (
        running(Counting(), send_buffer=2048, max_connections=3, send_seconds=0.5) as (port, _),
        unread(port, asked, number=3),
    ):
        until(lambda: get(port, "/healthz")[0] == 503)
        until(lambda: get(port, "/healthz")[0] == 200)


def test_a_client_that_reads_slowly_gets_its_answer():
    asked = head_of("/page.js", "GET", "connection: close\r\n") + b"\r\n"
    with (
        running(Counting(), send_buffer=2048, send_seconds=5.0) as (port, _),
        unread(port, asked) as (connection,),
    ):
        said = b""
        while piece := connection.recv(512):
            said += piece
            time.sleep(0.05)
    assert said.partition(b"\r\n\r\n")[2] == (PAGE / "page.js").read_bytes()
