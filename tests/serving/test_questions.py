"""What a body may hold: the same verdict as an oracle of a few lines, whatever comes."""

import json

import pytest
from hypothesis import example, given, settings

from kmodels.errors import InputError
from kmodels.serving import questions
from kmodels.serving.limits import Limits
from kmodels.serving.questions import Question, Refusal
from tests.serving.bodies import bodies, expected_status

LIMITS = Limits(max_sentences=3, max_characters=20)


def status(body):
    try:
        questions.parse(body, 2, LIMITS)
    except Refusal as refusal:
        assert "\n" not in refusal.message and 0 < len(refusal.message) < 400
        return refusal.status
    return 200


@settings(max_examples=500)
@given(bodies(LIMITS))
@example(b"")
@example(b"\xff\xfe[\x00]\x00")
@example(b'\xef\xbb\xbf{"texts": ["a"]}')
@example(b"[" * 100_000)
@example(b"1" * 5_000)
@example(b'{"texts": ["a"], "top_k": NaN}')
@example(b'{"texts": ["a"], "top_k": 1e999}')
@example(b'{"texts": ["a"], "top_k": true}')
@example(b'{"texts": ["\\ud800"]}')
@example(b'{"texts": ["a"], "texts": []}')
def test_each_body_gets_the_status_it_deserves(body):
    assert status(body) == expected_status(body, 2, LIMITS)


def test_a_question_as_it_is_asked():
    body = json.dumps({"texts": ["a", "b"], "top_k": 1, "explain": True}).encode()
    assert questions.parse(body, 2, LIMITS) == Question(["a", "b"], 1, True)
    assert questions.parse(b'{"texts": [""], "top_k": null}', 3, LIMITS) == Question([""], 3, False)
    assert questions.parse(b'{"texts": ["\\ud800x\\ud83d\\ude00"]}', 3, LIMITS).texts == ["\ufffdx😀"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], 'the body must be an object, {"texts": ["…"]}; got a list'),
        ({"text": ["a"]}, "unknown field 'text'; did you mean 'texts'?"),
        ({}, "the field is missing"),
        ({"texts": "a"}, "texts must be a list of sentences; got text"),
        ({"texts": []}, "texts must hold 1 to 3 sentences; got 0"),
        ({"texts": ["a", None]}, "texts[1] must be text; got null"),
        ({"texts": ["a" * 21]}, "texts[0] must have at most 20 characters; got 21"),
        ({"texts": ["a"], "top_k": 3}, "top_k must be a whole number from 1 to 2; got 3"),
        ({"texts": ["a"], "explain": 1}, "explain must be true or false; got 1"),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_came(value, message):
    with pytest.raises(Refusal) as refusal:
        questions.parse(json.dumps(value).encode(), 2, LIMITS)
    assert refusal.value.status == 422
    assert message in refusal.value.message


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"content-type": "application/json"}, None),
        ({"content-type": "Application/JSON; Charset=UTF-8", "content-length": "100"}, None),
        ({"content-type": 'application/json; charset="utf-8"', "content-encoding": "identity"}, None),
        ({}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-type": "application/jsonp"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json", "content-length": "101"}, 413),
    ],
)
def test_headers_that_need_no_body_to_be_refused(headers, expected):
    if expected is None:
        questions.check_headers(headers, 100)
    else:
        with pytest.raises(Refusal) as refusal:
            questions.check_headers(headers, 100)
        assert refusal.value.status == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_batch": 0}, "max_batch must be at least 1; got 0"),
        ({"batch_wait_ms": -1.0}, "batch_wait_ms must be at least 0"),
        ({"receive_seconds": float("nan")}, "receive_seconds must be a finite number"),
        ({"max_sentences": 100, "max_queue": 99}, "max_sentences must be at most max_queue, 99"),
    ],
)
def test_limits_that_can_not_be_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Limits(**values)
