"""What a server counts, in the format that Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The figures of one server. Threads may share it."""

    def __init__(self):
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = self._add(
            Counter, "kmodels_requests", "Requests by path and status", labels=["path", "status"]
        )
        self._seconds = self._add(
            Histogram, "kmodels_request_seconds", "From a request's head to its answer's end", SECONDS, labels=["path"]
        )
        self._in_flight = self._add(Gauge, "kmodels_requests_in_flight", "Requests that are not answered yet")
        self._sentences = self._add(Counter, "kmodels_sentences", "Sentences that the model was given")
        self._sizes = self._add(Histogram, "kmodels_batch_sentences", "Sentences of a batch", SIZES)
        self._model_seconds = self._add(Histogram, "kmodels_batch_seconds", "What the model took for a batch", SECONDS)
        self._waiting = self._add(Gauge, "kmodels_queue_sentences", "Sentences that wait")

    def _add(self, kind, name, description, buckets=None, labels=()):
        more = {} if buckets is None else {"buckets": buckets}
        return kind(name, description, labelnames=labels, registry=self._registry, **more)

    def watch_queue(self, num_waiting):
        """Takes the queue's length from a function, () → int, whenever it is asked for."""
        self._waiting.set_function(num_waiting)

    def asked(self):
        """Counts a request that has come."""
        self._in_flight.inc()

    def answered(self, path, status, seconds):
        """Counts the same request when it is done with."""
        self._in_flight.dec()
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def computed(self, size, seconds):
        """Counts a batch."""
        self._sentences.inc(size)
        self._sizes.observe(size)
        self._model_seconds.observe(seconds)

    def text(self):
        """All figures, as GET /metrics gives them: bytes."""
        return generate_latest(self._registry)
