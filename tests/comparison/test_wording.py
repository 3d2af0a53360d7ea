"""What a report says in sentences: of the best, of what was tested, of what it cost."""

import pytest

from kmodels.comparison import page_tables, schema, wording
from tests.comparison.reports import EMPTY, group, page_of, results_of


def answer(groups, pairs=(), runs=()):
    pairs = [dict(zip(("a", "b", "verdict"), pair)) for pair in pairs]
    return wording.answer(schema.checked({"format": 1, "groups": groups, "pairs": pairs, "runs": list(runs)}))


def test_the_answer_names_the_best_its_equals_and_the_fastest_of_them():
    groups = [group("a", 0.80, 5.0), group("b", 0.90, 120.0), group("c", 0.89, 60.0), group("d", 0.85, 1.0)]
    pairs = [("a", "b", "worse"), ("b", "c", "no difference shown"), ("b", "d", "better")]
    assert answer(groups, pairs) == [
        "b has the highest mean validation accuracy, 0.9000 over 3 runs.",
        "No difference from it is shown for c; d and a are shown to be worse.",
        "c trained faster, in 1 min against 2 min of b (2.0 times as long); its mean accuracy is 0.0100 lower.",
    ]


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ((0.0298, -0.0194, 0.0789), "0.0298 lower, 95\u00a0% interval from 0.0194 higher to 0.0789 lower"),
        ((0.0256, 0.0084, 0.0427), "0.0256 lower, 95\u00a0% interval from 0.0084 lower to 0.0427 lower"),
        ((-0.001, -0.02, 0.01), "0.0010 higher, 95\u00a0% interval from 0.0200 higher to 0.0100 lower"),
        ((0.0, -0.01, 0.01), "the same, 95\u00a0% interval from 0.0100 higher to 0.0100 lower"),
        ((0.01, None, None), "0.0100 lower"),
    ],
)
@pytest.mark.parametrize("best", ["a", "b"])
def test_the_faster_peers_accuracy_is_said_with_the_interval_of_the_pair(pair, words, best):
    sign = 1 if best == "a" else -1
    ends = [None if end is None else sign * end for end in pair[1:]][::sign]
    accuracies, seconds = ((0.9, 0.8), (958, 570)) if best == "a" else ((0.8, 0.9), (570, 958))
    groups = [group(name, *figures) for name, *figures in zip("ab", accuracies, seconds)]
    found = dict(zip(("a", "b", "verdict", "difference", "low", "high"), ("a", "b", "no difference shown")))
    found |= {"difference": sign * pair[0], "low": ends[0], "high": ends[1]}
    other = "b" if best == "a" else "a"
    said = wording.answer(schema.checked({"format": 1, "groups": groups, "pairs": [found]}))[2]
    assert said == (
        f"{other} trained faster, in 9 min 30 s against 15 min 58 s of {best} (1.7 times as long); "
        f"its mean accuracy over the same seeds is {words}."
    )


def test_the_answer_claims_nothing_that_was_not_tested():
    assert answer([group("a", 0.9, count=1), group("b", 0.8, count=1)]) == [
        "a has the highest mean validation accuracy, 0.9000 in one run.",
        "b was not tested against it.",
        "It trained in 1 min.",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(60.0, "the fastest of these"), (59.0, "about as fast as any of these"), (61.0, "the fastest of these")],
)
def test_a_best_group_that_is_not_slower_is_said_to_be_fast(seconds, words):
    groups = [group("a", 0.9, 60.0), group("b", 0.89, seconds)]
    assert answer(groups, [("a", "b", "no difference shown")])[2] == f"It trained in 1 min, {words}."


def test_a_pair_of_one_seed_is_no_test():
    groups = [group("a", 0.9, 60.0), group("b", 0.6, 1.0)]
    assert answer(groups, [("a", "b", "not tested")]) == [
        "a has the highest mean validation accuracy, 0.9000 over 3 runs.",
        "b was not tested against it.",
        "It trained in 1 min.",
    ]


def test_a_group_that_is_better_than_the_best_on_the_seeds_they_share_is_named():
    groups = [group("a", 0.9, 60.0), group("b", 0.89, 1.0)]
    assert answer(groups, [("a", "b", "worse")])[1] == "b is shown to be better on the seeds that both have."


def test_a_group_that_was_not_tested_against_the_best_is_shown_so():
    groups = [group(name, accuracy) for name, accuracy in (("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", None))]
    pairs = [{"a": "b", "b": "a", "verdict": "not tested"}]
    comparison = schema.checked({"format": 1, "groups": groups, "pairs": pairs})
    notes = {row[0].text: row[1].note for row in page_tables.ranking(comparison)["rows"]}
    assert notes == {"a": "the best", "b": "not tested", "c": "not tested", "d": ""}
    ranking, _, _ = results_of(comparison).partition("## Paired differences")
    rows = [line.split(" | ") for line in ranking.splitlines() if line.startswith("| `")]
    assert [row[5] for row in rows] == ["best", "not tested", "not tested", "–"]


def test_the_answer_of_one_group_and_of_none():
    assert answer([group("a", 0.9), group("b", None)]) == [
        "a is the only one with a finished run: its validation accuracy is 0.9000 over 3 runs."
    ]
    assert answer([group("a", None)]) == ["No run has finished, so there is no accuracy to compare yet."]
    assert "no difference" not in page_of(EMPTY)


def test_the_answer_says_nothing_of_cost_where_times_are_of_different_devices():
    groups, pairs = [group("a", 0.9), group("b", 0.8)], [("a", "b", "better")]
    run = {"model": "textcnn", "backend": "jax", "status": "finished"}
    runs = [run | {"name": name, "environment": {"device": name}} for name in ("one", "other")]
    assert len(answer(groups, pairs, runs[:1])) == 3
    assert len(answer(groups, pairs, runs)) == 2


@pytest.mark.parametrize(("in_turns", "sentences"), [(True, 3), (None, 3), (False, 2)])
def test_the_answer_says_nothing_of_cost_where_times_are_of_different_hours(in_turns, sentences):
    groups = [group("a", 0.9, 60.0), group("b", 0.89, 30.0)]
    pairs = [{"a": "a", "b": "b", "verdict": "no difference shown"}]
    comparison = {"format": 1, "groups": groups, "pairs": pairs, "in_turns": in_turns}
    assert len(wording.answer(schema.checked(comparison))) == sentences


def test_the_answer_without_times_says_nothing_of_cost():
    assert len(answer([group("a", 0.9, None), group("b", 0.8, None)], [("a", "b", "better")])) == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.01234, "0.0123 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (62, "1 min 2 s"),
        (3599.7, "1 h"),
        (14055, "3 h 54 min"),
        (200000, "2.3 d"),
        (1e40, "1.2e+35 d"),
    ],
)
def test_a_duration_is_said_in_two_units(seconds, words):
    assert wording.duration(seconds) == words
