"""Sentences of many requests, a batch at a time, for a model that one thread computes.

The event loop puts sentences in; the model's thread takes batches out by itself, so that between two batches it waits
for nothing else. A batch holds the sentence that has waited longest and those nearest to it in length: nothing starves,
and little is padded.
"""

import asyncio
import bisect
import logging
import operator
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

_log = logging.getLogger(__name__)


class QueueFull(Exception):
    """There is no room for these sentences now."""


class ModelFailed(Exception):
    """The model could not compute these sentences; the log says why."""


@dataclass(eq=False)
class _Request:
    """Sentences that came together, and are answered together."""

    future: Any  # asyncio.Future of float32, (num_texts, num_classes)
    answers: list
    missing: int


@dataclass(eq=False, slots=True)
class _Sentence:
    text: Any  # str, or what makes one
    length: int  # in characters; near enough to tokens, and known without a tokenizer
    arrived: float  # of time.monotonic
    request: _Request
    index: int


_length = operator.attrgetter("length")


class Batcher:
    """A bounded queue of sentences before a model.

    Args:
        predict_proba: function, [str, …] → float32, (num_texts, num_classes); called in the thread of `work` only.
        wait_seconds: how long a sentence waits for others, if the model has nothing to do.
        max_batch: most sentences of a call.
        max_queue: most sentences that wait.
        observe: function of a batch's size and its seconds; called in the thread of `work`.
    """

    def __init__(self, predict_proba, wait_seconds, max_batch, max_queue, observe=lambda size, seconds: None):
        self._predict_proba = predict_proba
        self._wait_seconds = wait_seconds
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._observe = observe
        self._changed = threading.Condition()  # guards everything below
        self._by_length: list[_Sentence] = []  # those of one length by arrival
        self._by_arrival: dict[_Sentence, None] = {}  # the same, as an ordered set
        self._closed = False

    @property
    def num_waiting(self):
        """Sentences that the model has not been given yet."""
        return len(self._by_length)

    def submit(self, texts):
        """Puts sentences in the queue; to be called in the event loop.

        Args:
            texts: [str, …], not empty; or instead of a str what `str` makes it of, in the thread of `work`, and of
                about `len` characters.

        Returns:
            asyncio.Future of float32, (num_texts, num_classes); ModelFailed is its exception where predict_proba
            raises one. Cancelling it takes the sentences out of the queue; nothing here holds them then.

        Raises:
            QueueFull: they don't fit.
        """
        request = _Request(asyncio.get_running_loop().create_future(), [None] * len(texts), len(texts))
        arrived = time.monotonic()
        with self._changed:
            if self._closed or len(self._by_length) + len(texts) > self._max_queue:
                raise QueueFull
            for index, text in enumerate(texts):
                sentence = _Sentence(text, len(text), arrived, request, index)
                bisect.insort(self._by_length, sentence, key=_length)
                self._by_arrival[sentence] = None
            self._changed.notify()
        request.future.add_done_callback(lambda future: future.cancelled() and self._drop(request))
        return request.future

    def _drop(self, request):
        """Takes a request's sentences out of the queue."""
        with self._changed:
            self._by_length = [sentence for sentence in self._by_length if sentence.request is not request]
            self._by_arrival = {each: None for each in self._by_arrival if each.request is not request}

    def work(self):
        """Computes batches until `close`; to be called in the model's thread."""
        while batch := self._next_batch():
            start = time.perf_counter()
            try:
                answers = self._predict_proba([str(sentence.text) for sentence in batch])
                error = None
            except Exception:  # whatever it is, these requests hear of it, and others go on
                _log.exception("the model failed on %d sentences", len(batch))
                answers, error = [None] * len(batch), ModelFailed()
            self._observe(len(batch), time.perf_counter() - start)
            batch[0].request.future.get_loop().call_soon_threadsafe(self._deliver, batch, answers, error)

    def close(self):
        """Lets `work` end after its batch; nothing is taken in any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _next_batch(self):
        """The next sentences to compute; [] after `close`. Waits until there are some, and a moment for more."""
        with self._changed:
            while not self._closed:
                oldest = self._oldest()
                if oldest is None:
                    self._changed.wait()
                    continue
                left = oldest.arrived + self._wait_seconds - time.monotonic()
                if len(self._by_length) >= self._max_batch or left <= 0:
                    return self._take_around(oldest)
                self._changed.wait(left)
            return []

    def _oldest(self):
        return next(iter(self._by_arrival), None)

    def _take_around(self, sentence):
        """Takes a sentence and those nearest to it in length out of the queue."""
        waiting, size = self._by_length, min(self._max_batch, len(self._by_length))
        place = bisect.bisect_left(waiting, sentence.length, key=_length)  # the oldest is the first of its length
        firsts = range(max(0, place - size + 1), min(place, len(waiting) - size) + 1)
        first = min(firsts, key=lambda first: waiting[first + size - 1].length - waiting[first].length)
        batch = waiting[first : first + size]
        del waiting[first : first + size]
        for each in batch:
            del self._by_arrival[each]
        return batch

    def _deliver(self, batch, answers, error):
        """Hands answers to their requests; in the event loop."""
        for sentence, answer in zip(batch, answers):
            request = sentence.request
            request.answers[sentence.index] = answer
            request.missing -= 1
            if request.future.done():
                continue
            if error is not None:
                request.future.set_exception(error)
                self._drop(request)
            elif request.missing == 0:
                request.future.set_result(np.stack(request.answers))
