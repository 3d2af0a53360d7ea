"""The web application: which path answers what, with which status and which headers."""

import asyncio
import contextlib
import json
import time
from pathlib import Path

import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from kmodels.prediction import attribution
from kmodels.serving import answers, questions
from kmodels.serving.batching import Batcher, ModelFailed, QueueFull
from kmodels.serving.metrics import Metrics
from kmodels.serving.questions import Refusal

PAGE = Path(__file__).parent / "page"
PAGE_FILES = {  # path: (file, its type)
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
# Nothing but this server's own files runs or is shown, nobody frames it, and no other site reads its answers.
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
RETRY = {"retry-after": "1"}
CROWDED = "crowded"  # in a request's state where there are too many connections
CLIENT_GONE = 499  # nobody reads it; the metrics count it


class Application:
    """An ASGI application that answers for one model.

    Args:
        classifier: with `predict_proba`, `tokenizer`, `label_names` and `config`, as kmodels.inference.Classifier.
        name: what answers call the model.
        limits: kmodels.serving.limits.Limits.
        thread: concurrent.futures.Executor of one thread; all calls of the model happen in it.
        warm_up: function, () → None, that the thread calls before the first batch.
        on_failure: function of an exception; called if `warm_up` raises one.
    """

    def __init__(self, classifier, name, limits, thread, warm_up=lambda: None, on_failure=lambda error: None):
        self._classifier = classifier
        self._name = name
        self._limits = limits
        self._thread = thread
        self._warm_up = warm_up
        self._on_failure = on_failure
        self._ready = False
        self._metrics = Metrics()
        self._batcher = Batcher(
            classifier.predict_proba,
            limits.batch_wait_ms / 1000,
            limits.max_batch,
            limits.max_queue,
            self._metrics.computed,
        )
        self._metrics.watch_queue(lambda: self._batcher.num_waiting)
        routes = [
            Route("/v1/predict", self._predict, methods=["POST"]),
            Route("/v1/model", self._model),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._figures),
            *(Route(path, _file(name, kind)) for path, (name, kind) in PAGE_FILES.items()),
        ]
        self._paths = {route.path for route in routes}
        self._answer = Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers={Refusal: _refused, HTTPException: _no_such_thing, Exception: _failed},
        )
        self._answer.router.redirect_slashes = False

    async def __call__(self, scope, receive, send):
        """Answers, adds the headers of every answer, and counts it."""
        if scope["type"] != "http":
            await self._answer(scope, receive, send)
            return
        start, status = time.perf_counter(), 500
        answer = _crowded if CROWDED in scope.get("state", ()) else self._answer

        async def send_more(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_SECURITY_HEADERS]
            await send(message)

        self._metrics.asked()
        try:
            await answer(scope, receive, send_more)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.answered(path, status, time.perf_counter() - start)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _):
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._thread, self._work)
        work.add_done_callback(lambda done: done.exception() and self._on_failure(done.exception()))
        yield
        self._batcher.close()
        await asyncio.wait([work])

    def _work(self):
        """What the model's thread does."""
        self._warm_up()
        self._ready = True
        self._batcher.work()

    async def _predict(self, request):
        questions.check_headers(request.headers, self._limits.max_body_bytes)
        try:
            body = await self._body(request)
            question = questions.parse(body, len(self._classifier.label_names), self._limits)
            return _json_response(await self._in_time(request, self._answer_to(question)))
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)

    async def _body(self, request):
        """The bytes of a request's body. Refusal if they are too many or too slow."""
        limits, body = self._limits, bytearray()
        try:
            async with asyncio.timeout(limits.receive_seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > limits.max_body_bytes:
                        raise questions.too_large(limits.max_body_bytes)
        except TimeoutError as error:
            message = f"a request must be sent within {limits.receive_seconds:g} seconds"
            raise Refusal(408, message, {"connection": "close"}) from error
        return bytes(body)

    async def _in_time(self, request, work):
        """What a coroutine gives, unless the client leaves first or it takes too long; then it is cancelled."""
        work, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({work, gone}, timeout=self._limits.answer_seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if gone.done():
                raise ClientDisconnect
            message = f"no answer within {self._limits.answer_seconds:g} seconds; try again later"
            raise Refusal(503, message, RETRY)
        finally:
            work.cancel()
            gone.cancel()

    async def _answer_to(self, question):
        """The value of an answer."""
        texts, words = question.texts, None
        if question.explain:
            words = await asyncio.to_thread(self._words, texts)
            texts = answers.with_words(texts, words)
        probabilities = await self._probabilities(texts)
        if not np.isfinite(probabilities).all():
            raise Refusal(500, "the model gave a probability that is no finite number")
        labels = self._classifier.label_names
        predictions = [answers.prediction(row, labels, question.top_k) for row in probabilities[: len(question.texts)]]
        if words is not None:
            for prediction, scored in zip(predictions, answers.scored_words(question.texts, words, probabilities)):
                prediction["words"] = scored
        return {"model": self._name, "predictions": predictions}

    def _words(self, texts):
        """The words of each text, [[(start, end), …], …]. Refusal once there are more than ever fit into the queue."""
        words, num_calls, most = [], len(texts), self._limits.max_queue
        for text in texts:
            words.append(attribution.words(self._classifier.tokenizer, text, self._classifier.config.max_length))
            num_calls += len(words[-1])
            if num_calls > most:
                message = f"{num_calls} calls of the model or more, at most {most}"
                raise Refusal(422, f"these sentences have too many words to explain at once: {message}")
        return words

    async def _probabilities(self, texts):
        """The model's answers; they are not computed if this is cancelled first."""
        try:
            return await self._batcher.submit(texts)
        except QueueFull as error:
            raise Refusal(503, "too many sentences are waiting; try again later", RETRY) from error
        except ModelFailed as error:
            raise Refusal(500, "the model failed on these sentences; the server's log says why") from error

    async def _model(self, request):
        config, limits = self._classifier.config, self._limits
        value = {
            "model": self._name,
            "architecture": config.model,
            "labels": list(self._classifier.label_names),
            "max_length": config.max_length,
            "limits": {
                name: getattr(limits, name)
                for name in ("max_sentences", "max_characters", "max_body_bytes", "max_queue")
            },
        }
        return _json_response(value)

    async def _healthz(self, request):
        return _json_response({"status": "alive"})

    async def _readyz(self, request):
        return _json_response({"status": "ready"}) if self._ready else _error(503, "warming up", RETRY)

    async def _figures(self, request):
        return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST)


_SECURITY_HEADERS = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


async def _disconnected(request):
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _file(name, kind):
    content = (PAGE / name).read_bytes()

    async def endpoint(request):
        return Response(content, media_type=kind)

    return endpoint


def _json_response(value, status=200, headers=None):
    # Not starlette's own: a label may be text that UTF-8 can't hold.
    content = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Response(content, status, headers, media_type="application/json")


def _error(status, message, headers=None):
    return _json_response({"error": message}, status, headers)


async def _crowded(scope, receive, send):
    answer = _error(503, "too many connections; try again later", RETRY | {"connection": "close"})
    await answer(scope, receive, send)


async def _refused(request, refusal):
    return _error(refusal.status, refusal.message, refusal.headers)


async def _no_such_thing(request, error):
    messages = {404: f"there is no {request.url.path!r:.80} here", 405: f"{request.method} is not possible here"}
    return _error(error.status_code, messages.get(error.status_code, str(error.detail)), error.headers)


async def _failed(request, error):
    return _error(500, "the server failed; its log says why")
