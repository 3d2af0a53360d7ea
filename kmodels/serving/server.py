"""From a listening socket to the end of the process: uvicorn, with deadlines for slow clients and a graceful stop."""

import contextlib
import functools
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from kmodels.errors import InputError, RunError
from kmodels.serving.app import CROWDED, Application

GRACE_SECONDS = 1  # for what ends by itself: a slow body is answered with 408, and only then cut off
BACKLOG = 1024


class Protocol(H11Protocol):
    """HTTP/1.1 with deadlines: a head that does not come, a body that never ends, an unread answer is cut off.

    Args:
        limits: kmodels.serving.limits.Limits.
        on_cut: function, () → None; called if the connection is cut off because the server has to end.
    """

    def __init__(self, *args, limits, on_cut, **kwargs):
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._on_cut = on_cut
        self._deadline = None
        self._send_deadline = None

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # `pause_writing` as soon as the system takes no more of an answer
        self._watch(receiving=True)
        if len(self.connections) > self._limits.max_connections:
            self.app_state = self.app_state | {CROWDED: True}

    def connection_lost(self, error):
        self._watch(receiving=False)
        self._watch_sending(blocked=False)
        super().connection_lost(error)

    def pause_writing(self):
        super().pause_writing()
        self._watch_sending(blocked=True)

    def resume_writing(self):
        self._watch_sending(blocked=False)
        super().resume_writing()

    def shutdown(self):
        """Ends the connection once its answer is sent, or at the latest when the server may go on no longer."""
        super().shutdown()
        self.loop.call_later(self._limits.stop_seconds, self._give_up)

    def _give_up(self):
        if self in self.connections:
            self._on_cut()
            self.transport.abort()

    def handle_events(self):
        super().handle_events()
        state = self.conn.their_state
        self._watch(receiving=state is h11.SEND_BODY or (state is h11.IDLE and bool(self.conn.trailing_data[0])))

    def _watch(self, receiving):
        """Starts the deadline where a request begins to come, and ends it when all of it is there."""
        if receiving and self._deadline is None:
            self._deadline = self.loop.call_later(self._limits.receive_seconds + GRACE_SECONDS, self._cut)
        elif not receiving and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _watch_sending(self, blocked):
        """Starts the deadline where the client must read before more can be sent, and ends it when all is sent."""
        if self._send_deadline is not None:
            self._send_deadline.cancel()
        # Not close: that waits until the client has read.
        self._send_deadline = self.loop.call_later(self._limits.send_seconds, self.transport.abort) if blocked else None

    def _cut(self):
        # Browsers open connections beforehand: those on which nothing came are closed without a word.
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            self._refuse(408, "the request did not come in time")
        self.transport.close()

    def send_400_response(self, msg):
        self._refuse(400, "this is no HTTP/1.1 request")

    def _refuse(self, status, message):
        """Answers what never reached the application, or won't any more, and closes the connection."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # it was answered before it was wrong
            self.transport.close()
            return
        body = f'{{"error":"{message}"}}'.encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        response = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server for an application, without its handling of signals: `stop_signals` is ours.

    Attributes:
        num_cut: requests whose answers were not sent, or not read, in the time that the server had to end.
    """

    def __init__(self, application, limits):
        self.num_cut = 0
        protocol = functools.partial(Protocol, limits=limits, on_cut=self._count_cut)
        config = uvicorn.Config(
            application,
            http=protocol,  # type: ignore[arg-type]  # it is only called
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=limits.stop_seconds + GRACE_SECONDS,
        )
        super().__init__(config)

    def _count_cut(self):
        self.num_cut += 1

    def stop(self):
        """Takes no more connections, answers what is in flight, and ends `run`."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self):
        yield


def run(load, warm_up, name, host, port, limits):
    """Serves a model until SIGTERM or SIGINT.

    Args:
        load: function, () → a classifier (see `kmodels.serving.app.Application`); called in the model's thread.
        warm_up: function of what `load` gives; called in that thread while the server already says that it is alive.
        name: what answers call the model.
        host: the address to listen on.
        port: TCP port; 0 for a free one.
        limits: kmodels.serving.limits.Limits.

    Raises:
        InputError: the address can't be listened on, or as `load`.
        RunError: the model can't compute, or requests in flight were not answered within limits.stop_seconds.
    """
    with listening_socket(host, port) as listener, ThreadPoolExecutor(1, "model") as thread:
        classifier = thread.submit(load).result()
        failures = []

        def fail(error):
            failures.append(error)
            server.stop()

        application = Application(classifier, name, limits, thread, lambda: warm_up(classifier), fail)
        server = Server(application, limits)
        with _address_errors(host, port):
            listener.listen(BACKLOG)
        print(f"{name}: {address_of(listener)}", flush=True)
        with stop_signals(server.stop):
            server.run([listener])
    if failures:
        raise RunError(f"the model can't compute: {failures[0]!r:.300}") from failures[0]
    if server.num_cut:
        raise RunError(f"{server.num_cut} requests were not answered within {limits.stop_seconds} seconds")


@contextlib.contextmanager
def stop_signals(stop):
    """Calls `stop` at the first SIGTERM or SIGINT; a second one ends the process at once."""

    def caught(number, frame):
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        # Not print: the signal may have come in the middle of one.
        os.write(2, f"{signal.Signals(number).name}: answering what is in flight; once more to stop at once\n".encode())
        stop()

    before = {number: signal.signal(number, caught) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listening_socket(host, port):
    """A socket bound to an address, not listening yet. InputError if that can't be."""
    if not 0 <= port <= 65535:
        raise InputError(f"port must be from 0 to 65535; got {port}")
    with _address_errors(host, port):
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":  # there it would let two servers share a port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    return listener


@contextlib.contextmanager
def _address_errors(host, port):
    try:
        yield
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"can't listen on {host} port {port}: {reason}; --port=0 takes a free one, --host another address"
        ) from error


def address_of(listener):
    """The URL under which a socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
