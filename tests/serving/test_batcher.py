"""The queue before a model: nothing lost, nothing mixed up, nothing starved, little padded."""

import asyncio
import random
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kmodels.serving.batching import Batcher, ModelFailed, QueueFull


class Model:
    """Answers each text with its length and first letter; notes its calls, which wait for `go`."""

    def __init__(self):
        self.calls = []
        self.go = threading.Event()
        self.go.set()
        self.called = threading.Event()

    def __call__(self, texts):
        self.calls.append(texts)
        self.called.set()
        assert self.go.wait(30)
        if "fail" in texts:
            self.go.clear()  # the next call waits, so that a test sees what is left in the queue
            raise ValueError("this text can't be")
        return np.array([[len(text), ord(text[0])] for text in texts], np.float32)


def run(scenario, model, wait_seconds=0.0, max_batch=4, max_queue=100):
    """Runs scenario(batcher) in an event loop, with `work` in a thread of its own."""
    batcher = Batcher(model, wait_seconds, max_batch, max_queue)

    async def main():
        with ThreadPoolExecutor(1) as thread:
            work = asyncio.get_running_loop().run_in_executor(thread, batcher.work)
            try:
                return await asyncio.wait_for(scenario(batcher), 60)
            finally:
                model.go.set()
                batcher.close()
                await work

    return asyncio.run(main())


async def blocked(batcher, model):
    """Gives the model a sentence that it does not finish until `go`."""
    model.go.clear()
    first = batcher.submit(["first"])
    await asyncio.to_thread(model.called.wait)
    return first


def expected(texts):
    return np.array([[len(text), ord(text[0])] for text in texts], np.float32)


def test_every_request_gets_its_own_answers_in_its_order():
    model, numbers = Model(), random.Random(0)
    requests = [
        ["abcdefgh"[numbers.randrange(8)] * numbers.randint(1, 60) for _ in range(numbers.randint(1, 9))]
        for _ in range(300)
    ]

    async def scenario(batcher):
        async def ask(texts):
            await asyncio.sleep(numbers.random() / 50)
            return await batcher.submit(texts)

        return await asyncio.gather(*map(ask, requests))

    for texts, answer in zip(requests, run(scenario, model, 0.001, max_queue=10_000)):
        np.testing.assert_array_equal(answer, expected(texts))
    assert sum(map(len, model.calls)) == sum(map(len, requests))
    assert max(map(len, model.calls)) == 4


def test_what_waits_is_batched_by_length_with_the_oldest_in_the_first():
    model = Model()

    async def scenario(batcher):
        first = await blocked(batcher, model)
        # The oldest is long; of the others, three are near to it.
        waiting = [
            batcher.submit([letter * length]) for letter, length in zip("abcdefgh", (50, 1, 2, 51, 49, 3, 52, 4))
        ]
        model.go.set()
        await asyncio.gather(first, *waiting)

    run(scenario, model)
    assert [sorted(map(len, call)) for call in model.calls] == [[5], [49, 50, 51, 52], [1, 2, 3, 4]]


def test_nothing_starves_where_others_fit_better():
    model = Model()

    async def scenario(batcher):
        first = await blocked(batcher, model)
        waiting = [batcher.submit([letter * length]) for letter, length in zip("abz", (1, 2, 99))]
        waiting += [batcher.submit(["a" * (1 + number % 3)]) for number in range(40)]
        model.go.set()
        await asyncio.gather(first, *waiting)

    run(scenario, model)
    # First, a batch around each of the two that came before it.
    assert "z" * 99 in model.calls[3]


def test_a_lone_sentence_waits_a_moment_and_a_full_batch_does_not():
    model = Model()

    async def scenario(batcher):
        loop = asyncio.get_running_loop()
        start = loop.time()
        await batcher.submit(["a"])
        lone = loop.time() - start
        start = loop.time()
        await batcher.submit(["a", "b", "c", "d"])
        return lone, loop.time() - start

    lone, full = run(scenario, model, wait_seconds=0.5)
    assert 0.5 <= lone < 5
    assert full < 0.4


def test_sentences_that_come_within_the_wait_share_a_batch():
    model = Model()

    async def scenario(batcher):
        async def ask(number):
            await asyncio.sleep(number / 100)
            return await batcher.submit(["a" * (1 + number)])

        await asyncio.gather(*map(ask, range(3)))

    run(scenario, model, wait_seconds=1.0)
    assert model.calls == [["a", "aa", "aaa"]]


def test_a_full_queue_refuses_whole_requests_and_takes_them_again_later():
    model = Model()

    async def scenario(batcher):
        first = await blocked(batcher, model)
        waiting = batcher.submit(["a"] * 9)
        with pytest.raises(QueueFull):
            batcher.submit(["b", "c"])
        assert batcher.num_waiting == 9
        last = batcher.submit(["d"])
        model.go.set()
        await asyncio.gather(first, waiting, last)
        return await batcher.submit(["e"] * 10)

    assert len(run(scenario, model, max_queue=10)) == 10
    assert not any("b" in call for call in model.calls)


def test_what_is_cancelled_leaves_the_queue_and_is_not_computed():
    model = Model()

    async def scenario(batcher):
        first = await blocked(batcher, model)
        gone, kept = batcher.submit(["a", "b"]), batcher.submit(["c"])
        gone.cancel()
        await asyncio.sleep(0)
        assert batcher.num_waiting == 1
        model.go.set()
        return await asyncio.gather(first, kept)

    run(scenario, model)
    assert model.calls == [["first"], ["c"]]


class Text(str):
    """A text that can be seen to be held by nothing any more."""


def test_what_is_cancelled_is_held_no_longer_whatever_the_model_does():
    model = Model()

    async def scenario(batcher):
        first = await blocked(batcher, model)
        texts = [Text("a" * (1 + number % 3)) for number in range(9)]
        seen = [weakref.ref(text) for text in texts]
        gone, kept = batcher.submit(texts), batcher.submit(["c"])
        del texts
        gone.cancel()
        del gone
        await asyncio.sleep(0)
        held = [text() for text in seen if text() is not None]
        model.go.set()
        await asyncio.gather(first, kept)
        return held

    assert run(scenario, model) == []


def test_a_text_that_is_to_be_made_is_made_by_the_thread_that_computes():
    made = []

    class Later:
        def __len__(self):
            return 3

        def __str__(self):
            made.append(threading.current_thread())
            return "abc"

    async def scenario(batcher):
        answer = await batcher.submit([Later(), "de"])
        return answer, threading.current_thread()

    answer, of_loop = run(scenario, Model())
    np.testing.assert_array_equal(answer, expected(["abc", "de"]))
    assert len(made) == 1 and made[0] is not of_loop


def test_a_failing_call_is_told_to_its_requests_and_others_go_on():
    model = Model()

    async def scenario(batcher):
        first = await blocked(batcher, model)
        long = batcher.submit(["fail", *("x" * 50 for _ in range(20))])
        model.go.set()
        await first
        with pytest.raises(ModelFailed):
            await long
        assert batcher.num_waiting == 0
        model.go.set()
        return await batcher.submit(["good"])

    np.testing.assert_array_equal(run(scenario, model), expected(["good"]))


def test_nothing_is_taken_in_after_the_end():
    async def scenario(batcher):
        batcher.close()
        with pytest.raises(QueueFull):
            batcher.submit(["a"])

    run(scenario, Model())
