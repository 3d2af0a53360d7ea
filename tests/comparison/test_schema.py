"""The format of comparison.json: what does not fit is refused in one line."""

import json
import re

import pytest

from kmodels.comparison import schema
from kmodels.errors import InputError
from tests.comparison import made_up
from tests.comparison.reports import Page, page_of


def small():
    """One of everything."""
    found = made_up.one_run()
    found["runs"] = found["runs"][:1]
    found["runs"][0]["history"] = found["runs"][0]["history"][:1]
    found["groups"].append(found["groups"][0] | {"name": "other", "runs": []})
    found["pairs"] = [
        {"a": "textcnn-jax", "b": "other", "verdict": "worse", "difference": -0.1, "low": -0.2, "high": 0}
    ]
    found["disagreements"] = [{"row": 1, "text": "a", "label": "b", "probabilities": {"other": 0.5}}]
    return found


def places(value, place=()):
    """Where each value of a comparison stands: the keys that lead to it."""
    if place:
        yield place
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(entry, (*place, key))


WRONG = (
    None,
    "x",
    "two\nlines",
    -1,
    0,
    1,
    0.5,
    1e300,
    10**400,
    float("nan"),
    float("inf"),
    True,
    [],
    {},
    [None],
    {"a": 1},
)


@pytest.mark.parametrize("place", list(places(small())), ids=lambda place: ".".join(map(str, place)))
def test_a_value_that_does_not_fit_is_refused_in_one_line_or_reported(place):
    for wrong in WRONG:
        comparison = small()
        *within, last = place
        value = comparison
        for key in within:
            value = value[key]
        value[last] = wrong
        try:
            html = page_of(comparison)
        except InputError as error:
            assert str(error) and len(str(error).splitlines()) == 1 and len(str(error)) < 200
        else:
            assert html.endswith("</html>")
            assert not re.search(r"\b(nan|inf|None|undefined)\b", Page(html).text.replace(str(wrong), ""))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format must be 1; got '2'"),
        ({"runs": [{"name": "a"}]}, "runs[0].model must be text; got nothing"),
        ({"warnings": "all"}, "warnings must be a list; got 'all'"),
        (
            {"groups": [{"name": "a", "model": "b", "backend": "c", "runs": ["d"]}]},
            "the runs of the group 'a': there is no 'd'",
        ),
        ({"pairs": [{"a": "x", "b": "y", "verdict": "even"}]}, "pairs[0].verdict must be one of better, worse,"),
    ],
)
def test_an_error_says_where_and_what_was_expected(change, message):
    with pytest.raises(InputError) as caught:
        schema.checked({"format": 1} | change)
    assert message in str(caught.value)


def test_two_runs_of_one_name_are_refused():
    run = {"name": "a", "model": "b", "backend": "c", "status": "failed"}
    with pytest.raises(InputError, match="'a' stands there twice"):
        schema.checked({"format": 1, "runs": [run, run]})


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 1', b"\xff", b'{"format": 1, "groups": [NaN]}'])
def test_a_file_that_is_no_comparison_is_refused_with_its_name(tmp_path, content):
    path = tmp_path / "comparison.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        schema.read(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_is_read_back(tmp_path):
    path = tmp_path / "comparison.json"
    path.write_text(json.dumps(made_up.comparison()))
    assert schema.read(path) == schema.checked(made_up.comparison())
    assert schema.checked(schema.read(path)) == schema.read(path)


def test_deep_nesting_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    comparison = made_up.one_run()
    comparison["runs"][0]["environment"]["deep"] = deep
    with pytest.raises(InputError):
        schema.checked(comparison)
