"""Bodies of all kinds, most of them wrong, and the status that each deserves: the oracle of tests and benchmarks."""

import json

from hypothesis import strategies as st


def expected_status(body, num_classes, limits):
    """What POST /v1/predict owes a body: 200, 400, 413 or 422."""
    if len(body) > limits.max_body_bytes:
        return 413
    try:
        text = body.decode("utf-8")
        value = json.loads(text, parse_constant=lambda name: [][0])
    except (ValueError, RecursionError, IndexError):
        return 400
    if type(value) is not dict or not {"texts"} <= value.keys() <= {"texts", "top_k", "explain"}:
        return 422
    texts, top_k, explain = value["texts"], value.get("top_k"), value.get("explain", False)
    if type(texts) is not list or not 0 < len(texts) <= limits.max_sentences:
        return 422
    if any(type(text) is not str or len(text) > limits.max_characters for text in texts):
        return 422
    if top_k is not None and (type(top_k) is not int or top_k not in range(1, num_classes + 1)):
        return 422
    return 200 if type(explain) is bool else 422


def bodies(limits):
    """Hypothesis strategy of bytes: noise, any JSON, JSON of nearly the right shape, and such JSON damaged."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
    anything = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    )
    surrogates = st.text(st.characters(), max_size=8)  # lone ones, too
    text = st.text(max_size=12) | surrogates | st.just("a " * limits.max_characters)
    texts = st.lists(text, max_size=4) | st.just(["a"] * (limits.max_sentences + 1)) | anything
    fields = {"top_k": st.sampled_from([0, 1, 2, 3, -1, 1.0, "1", None, True]) | anything}
    fields |= {"explain": st.booleans() | anything, "texs": anything}
    nearly = st.fixed_dictionaries({}, optional={"texts": texts} | fields)
    right = st.fixed_dictionaries(
        {"texts": st.lists(st.text(max_size=12), min_size=1, max_size=min(3, limits.max_sentences))},
        optional={"top_k": st.integers(1, 2), "explain": st.booleans()},
    )
    spelled = (anything | nearly | right).map(lambda value: json.dumps(value).encode())
    damaged = st.builds(
        lambda body, place, byte: body[: place % (len(body) + 1)] + byte + body[place % (len(body) + 1) :],
        spelled,
        st.integers(0, 1000),
        st.binary(max_size=2),
    )
    return st.binary(max_size=60) | spelled | damaged
