"""What a client may ask: a request's headers and body, checked, as values. One line and a status for what is wrong."""

import json
from dataclasses import dataclass

from kmodels.settings import did_you_mean

FIELDS = ("texts", "top_k", "explain")


class Refusal(Exception):
    """A request that is not answered as asked.

    Args:
        status: HTTP's status code.
        message: one line: what was expected, what came.
        headers: {name: value} that go with it.
    """

    def __init__(self, status, message, headers=None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


@dataclass(frozen=True)
class Question:
    """A body of POST /v1/predict.

    Attributes:
        texts: the sentences.
        top_k: how many labels of each are wanted.
        explain: whether words are to be scored.
    """

    texts: list[str]
    top_k: int
    explain: bool


def check_headers(headers, max_body_bytes):
    """Refuses a body that needs not be read.

    Args:
        headers: mapping of lower-case names to text.
    """
    kind, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8", "charset=utf8"):
        raise Refusal(415, f"Content-Type must be application/json in UTF-8; got {headers.get('content-type')!r:.80}")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, f"the body must not be compressed; got Content-Encoding {headers['content-encoding']!r:.80}")
    if int(headers.get("content-length", 0)) > max_body_bytes:
        raise too_large(max_body_bytes)


def too_large(max_body_bytes):
    """The Refusal of a body with more bytes than this."""
    return Refusal(413, f"the body must have at most {max_body_bytes} bytes")


def parse(body, num_classes, limits):
    """The Question in a body.

    Args:
        body: bytes.
        num_classes: labels that the model has.
        limits: kmodels.serving.limits.Limits.

    Raises:
        Refusal: it is no JSON (400), or not what was expected (422).
    """
    value = _json(body)
    if not isinstance(value, dict):
        raise Refusal(422, f'the body must be an object, {{"texts": ["…"]}}; got {_kind(value)}')
    for name in value:
        if name not in FIELDS:
            raise Refusal(422, f"unknown field {name!r:.80}{did_you_mean(name[:80], FIELDS)}")
    top_k = value.get("top_k")
    if top_k is None:
        top_k = num_classes
    if type(top_k) is not int or not 1 <= top_k <= num_classes:
        raise Refusal(422, f"top_k must be a whole number from 1 to {num_classes}; got {_shown(top_k)}")
    explain = value.get("explain", False)
    if type(explain) is not bool:
        raise Refusal(422, f"explain must be true or false; got {_shown(explain)}")
    return Question(_texts(value, limits), top_k, explain)


def _texts(value, limits):
    if "texts" not in value:
        raise Refusal(422, "texts must be a list of sentences; the field is missing")
    texts = value["texts"]
    if not isinstance(texts, list):
        raise Refusal(422, f"texts must be a list of sentences; got {_kind(texts)}")
    if not 1 <= len(texts) <= limits.max_sentences:
        raise Refusal(422, f"texts must hold 1 to {limits.max_sentences} sentences; got {len(texts)}")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise Refusal(422, f"texts[{number}] must be text; got {_kind(text)}")
        if len(text) > limits.max_characters:
            raise Refusal(422, f"texts[{number}] must have at most {limits.max_characters} characters; got {len(text)}")
    return [_valid(text) for text in texts]


def _json(body):
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # ValueError: UnicodeDecodeError, JSONDecodeError, an endless integer
        raise Refusal(400, f"the body must be JSON in UTF-8: {' '.join(str(error).split()):.200}") from error


def _refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


def _valid(text):
    """A text that UTF-8 can hold: a lone surrogate counts as U+FFFD, as it does to the tokenizer."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _kind(value):
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value):
    return f"{value!r:.80}" if isinstance(value, (int, float)) else _kind(value)
