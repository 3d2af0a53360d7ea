"""The report: the right figures in words, tables and plots; texts stay texts; the same bytes for one comparison."""

import base64
import copy
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from kmodels.comparison import (
    axes,
    curves,
    drawing,
    markdown,
    page_tables,
    plots,
    report,
    schema,
    series,
    small_plots,
    wording,
)
from kmodels.errors import InputError
from tests.comparison import made_up

ROOT = Path(__file__).parent.parent.parent
EMPTY = {"format": 1}
VOID = {"meta", "br", "wbr", "link", "img", "hr", "input"}
SVG_TAGS = {"svg", "title", "desc", "style", "g", "text", "line", "rect", "circle", "polygon", "polyline"}
TEXT_TAGS = {
    "h1",
    "h2",
    "h3",
    "p",
    "a",
    "ul",
    "ol",
    "li",
    "dl",
    "dt",
    "dd",
    "pre",
    "code",
    "span",
    "small",
    "em",
    "wbr",
}
TABLE_TAGS = {"table", "thead", "tbody", "tr", "th", "td"}
TAGS = {
    "html",
    "head",
    "meta",
    "body",
    "header",
    "nav",
    "main",
    "section",
    "div",
    "figure",
    "details",
    "summary",
    "script",
}
TAGS |= SVG_TAGS | TEXT_TAGS | TABLE_TAGS | {"strong", "blockquote", "bdi"}


class Page(HTMLParser):
    """An HTML page as a list of elements, with its text; it must be well formed."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.text, self.open, self.scripts, self.styles = [], "", [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.open)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("script", "style"):
            (self.scripts if self.open[-1] == "script" else self.styles).append(data)
        else:
            self.text += data

    def all(self, *tags):
        return [attributes for tag, attributes, _ in self.elements if tag in tags]


def page_of(comparison):
    checked = schema.checked(comparison)
    return report.page(checked, plots.all_plots(checked))


def results_of(comparison):
    checked = schema.checked(comparison)
    return markdown.results(checked, plots.all_plots(checked))


def only_stopped():
    """No run of the comparison finished."""
    found = made_up.comparison()
    found["runs"] = [run for run in found["runs"] if run["status"] != "finished"]
    names = [run["name"] for run in found["runs"]]
    figures = ("accuracy", "dev_interval", "training_seconds", "samples_per_second", "peak_host_MiB")
    found["groups"] = [found["groups"][0] | dict.fromkeys(figures) | {"runs": names}]
    return found | {"pairs": [], "disagreements": []}


CASES = {
    "whole": made_up.comparison,
    "hostile": made_up.hostile,
    "one run": made_up.one_run,
    "only stopped": only_stopped,
    "empty": lambda: EMPTY,
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]()


def test_a_report_is_a_page_a_markdown_file_and_its_plots(tmp_path):
    path = report.write(made_up.comparison(), tmp_path / "new")
    assert path == tmp_path / "new" / "report.html"
    found = {str(file.relative_to(tmp_path / "new")) for file in (tmp_path / "new").rglob("*") if file.is_file()}
    drawn = {f"plots/{name}.svg" for name in plots.NAMES if "device" not in name}
    assert found == {"report.html", "RESULTS.md"} | drawn


def test_a_plot_without_figures_does_not_stay_from_an_earlier_report(tmp_path):
    report.write(made_up.comparison(), tmp_path)
    (tmp_path / "plots" / "mine.svg").write_text("<svg/>")
    report.write(EMPTY, tmp_path)
    assert [file.name for file in (tmp_path / "plots").iterdir()] == ["mine.svg"]


def test_the_same_comparison_gives_the_same_bytes_in_any_process(tmp_path):
    (tmp_path / "comparison.json").write_text(json.dumps(made_up.comparison()))
    code = (
        "import sys; from kmodels.comparison import report, schema; report.write(schema.read(sys.argv[1]), sys.argv[2])"
    )
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code, tmp_path / "comparison.json", tmp_path / seed]
        subprocess.run(command, check=True, env=environment)
    files = sorted(file.relative_to(tmp_path / "1") for file in (tmp_path / "1").rglob("*.*"))
    assert len(files) > 8
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


def test_writing_changes_nothing_in_the_comparison(tmp_path, case):
    before = copy.deepcopy(case)
    report.write(case, tmp_path)
    assert case == before


# The page.


def test_the_page_is_well_formed_and_its_names_are_unique(case):
    page = Page(page_of(case))
    names = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    for attributes in page.all("section", "svg"):
        assert set(attributes["aria-labelledby"].split()) <= set(names)
    for attributes in page.all("a"):
        assert attributes["href"].removeprefix("#") in names


def test_headings_descend_by_one_and_landmarks_are_there(case):
    page = Page(page_of(case))
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(following - level <= 1 for level, following in itertools.pairwise(levels))
    assert [len(page.all(tag)) for tag in ("header", "nav", "main")] == [1, 1, 1]


def test_the_page_loads_nothing_and_runs_one_script(case):
    html = page_of(case)
    page = Page(html)
    for _, attributes, _ in page.elements:
        assert not {"src", "srcset", "data", "action", "style"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|@font-face", "".join(page.styles))
    policy = next(attributes["content"] for attributes in page.all("meta") if "http-equiv" in attributes)
    assert "default-src 'none'" in policy
    assert len(page.all("script")) == 1
    digest = base64.b64encode(hashlib.sha256("".join(page.scripts).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy


def test_hostile_texts_stay_texts():
    comparison = made_up.hostile()
    page = Page(page_of(comparison))
    assert {tag for tag, _, _ in page.elements} <= TAGS
    shown = " ".join(page.text.split())
    for text in texts(comparison):
        assert " ".join(schema.text(text, "").split()) in shown


def texts(value, place=""):
    """The texts of a comparison that a report shows."""
    if isinstance(value, str):
        return [] if place in ("status", "verdict", "started", "order") else [value]
    if isinstance(value, dict):
        hidden = ("seed_results", "history", "metrics", "environment", "format")
        return [text for key, entry in value.items() if key not in hidden for text in texts(entry, key)]
    return [text for entry in value for text in texts(entry, place)] if isinstance(value, list) else []


def test_every_plot_has_a_title_a_description_and_a_table(case):
    page = Page(page_of(case))
    figures = [attributes for tag, attributes, inside in page.elements if tag == "svg" and inside[-1] == "figure"]
    tables = [inside for tag, _, inside in page.elements if tag == "table" and "figure" in inside]
    assert len(figures) == len(tables) == sum(map(len, plots.all_plots(schema.checked(case)).values()))
    assert all("details" in inside for inside in tables)
    for attributes in page.all("svg"):
        assert attributes["role"] == "img"
        title, description = attributes["aria-labelledby"].split()
        assert title.endswith("-title") and description.endswith("-description")


def test_what_scrolls_can_be_reached_by_keyboard(case):
    page = Page(page_of(case))
    assert all(attributes["tabindex"] == "0" for attributes in page.all("pre"))
    regions = [attributes for attributes in page.all("div") if attributes.get("class") == "wide"]
    assert all((region["tabindex"], region["role"]) == ("0", "region") and region["aria-label"] for region in regions)
    assert all("div" in inside for tag, _, inside in page.elements if tag == "table")


def test_the_page_says_what_was_compared_and_what_failed():
    text = " ".join(Page(page_of(made_up.comparison())).text.split())
    for words in (
        "sst2, 67,349 sentences to train on, 872 to validate on",
        "Always the commonest label accuracy 0.5090",
        "18 of 20 finished",
        "device AMD EPYC",
        "textcnn-jax-seed-4 failed the loss was not finite at epoch 1, step 20",
        "textcnn-jax-seed-5 unfinished –",
    ):
        assert words in text


def test_a_version_that_differs_names_its_backends():
    comparison = made_up.comparison()
    comparison["runs"][0]["environment"]["keras"] = "3.14.0"
    assert ("keras", [("3.14.0", "jax"), ("3.15.1", "jax, tensorflow, torch")]) in report.environment(
        comparison["runs"]
    )


def test_the_ranking_is_by_mean_accuracy_and_holds_the_figures():
    comparison = schema.checked(made_up.comparison())
    table = page_tables.ranking(comparison)
    means = [row[1].value for row in table["rows"]]
    assert means == sorted(means, reverse=True)
    by_name = {row[0].text: dict(zip(table["heading"], row)) for row in table["rows"]}
    for group in comparison["groups"]:
        row, accuracy = by_name[group["name"]], group["accuracy"]
        assert row["Accuracy"].text == f"{accuracy['mean']:.4f}\u00a0±\u00a0{accuracy['standard_deviation']:.4f}"
        assert row["95 % over runs"].text == f"{accuracy['low']:.4f} to {accuracy['high']:.4f}"
        assert row["95 % over sentences"].text == "{:.4f} to {:.4f}".format(*group["dev_interval"])
        assert row["Set out from"].text == f"{comparison['seed_results'][group['model']]:.4f}"
        assert row["Host MiB"].text == f"{group['peak_host_MiB']['mean']:,.0f}"
    assert "Device MiB" not in table["heading"]  # measured nowhere


def test_a_group_without_a_finished_run_comes_last_and_has_no_accuracy():
    comparison = made_up.comparison()
    stopped = only_stopped()["groups"][0] | {"name": "aaa", "runs": []}
    comparison["groups"].insert(0, stopped)
    row = page_tables.ranking(schema.checked(comparison))["rows"][-1]
    assert (row[0].text, row[0].note, row[1].text) == ("aaa", "no finished run", "–")


def test_runs_are_sorted_by_their_seconds_not_by_the_text():
    comparison = made_up.comparison()
    durations = ("9:00:00.5", "10:00:00", "1 day, 0:00:01", "0:00:59", None, "a while")
    for run, duration in zip(comparison["runs"], durations):
        run["metrics"]["training_duration"] = duration
    table = page_tables.every_run(schema.checked(comparison))
    cells = [row[table["heading"].index("Time")] for row in table["rows"]][: len(durations)]
    assert [cell.text for cell in cells] == ["9:00:00", "10:00:00", "1 day, 0:00:01", "0:00:59", "–", "a while"]
    assert [cell.value for cell in cells] == [32400.5, 36000, 86401, 59, None, None]


def test_many_pairs_are_folded_but_none_is_lost():
    found = page_tables.pairs(schema.checked(made_up.comparison()))
    assert (len(found["open"]), len(found["folded"])) == (5, 10)
    best = wording.ranked(made_up.comparison()["groups"])[0]["name"]
    assert all(best in (row["pair"]["a"], row["pair"]["b"]) for row in found["open"])


# The answer.


def group(name, accuracy, seconds=60.0, count=3):
    figure = {"count": count, "standard_deviation": None, "low": None, "high": None}
    return {
        "name": name,
        "model": name,
        "backend": "jax",
        "accuracy": None if accuracy is None else figure | {"mean": accuracy},
        "training_seconds": None if seconds is None else figure | {"mean": seconds},
    }


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


@pytest.mark.parametrize(
    ("tested", "words"),
    [
        (20, "p and the verdict are corrected for all 20 pairs that could be tested, also those not shown (Holm 1979)"),
        (15, "p and the verdict are corrected for all 15 pairs that could be tested (Holm 1979); an interval is"),
        (None, ""),
    ],
)
def test_a_report_says_for_how_many_pairs_it_corrects(tested, words):
    comparison = made_up.comparison() | {"num_tested_pairs": tested}
    for shown in (results_of(comparison), " ".join(Page(page_of(comparison)).text.split())):
        assert words in shown
        assert ("Holm 1979" in shown) is bool(words)


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


# The plots.


def all_drawings(comparison):
    return [plot for part in plots.all_plots(schema.checked(comparison)).values() for plot in part]


def test_drawings_are_well_formed_with_and_without_a_page(case):
    for html in re.findall("<svg.*?</svg>", page_of(case), re.DOTALL):
        check_drawing(ElementTree.fromstring(html))
    for plot in all_drawings(case):
        root = ElementTree.fromstring(drawing.standalone(plot.svg))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        check_drawing(root)
        assert plot.rows and all(len(row) == len(plot.heading) for row in plot.rows)


def check_drawing(root):
    """Title and description, harmless elements only, and every coordinate within the drawing."""
    left, top, width, height = map(float, root.get("viewBox").split())
    assert [child.tag.rpartition("}")[2] for child in root][:2] == ["title", "desc"]
    assert root[0].text and root[1].text
    for element in root.iter():
        assert element.tag.rpartition("}")[2] in SVG_TAGS
        assert not [name for name in element.attrib if name.startswith("on") or name.endswith("href")]
        for x in numbers(element, "x", "x1", "x2", "cx"):
            assert left - 6 <= x <= left + width + 6
        for y in numbers(element, "y", "y1", "y2", "cy"):
            assert top - 6 <= y <= top + height + 6


def numbers(element, *names):
    """The values of these attributes, and of the points that a line goes through."""
    points = [pair.split(",") for pair in element.get("points", "").split()]
    pairs = [float(pair[0 if "x" in names else 1]) for pair in points]
    return pairs + [float(element.get(name)) for name in names if element.get(name)]


COSTS = {
    "one": [5.0],
    "identical": [7.0, 7.0, 7.0],
    "zero": [0.0, 0.0],
    "zero and more": [0.0, 3.0],
    "huge range": [1e-30, 1.0, 1e90],
    "tiny": [1e-40, 2e-40],
    "a large one": [3e99, 3.0000001e99],
    "days": [2e5, 3e5, 4e6],
}


@pytest.mark.parametrize("costs", COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("accuracies", [[0.5, 0.5, 0.5], [0.0, 0.0, 0.0], [1.0, 0.0, 0.5], [0.8, 0.8001, 0.80011]])
def test_plots_bear_any_range(costs, accuracies):
    figures = ("training_seconds", "samples_per_second", "peak_host_MiB", "peak_device_MiB")
    groups = []
    for number, (cost, accuracy) in enumerate(zip(costs, accuracies)):
        figure = {"count": 3, "mean": cost, "standard_deviation": cost, "low": -cost, "high": 3 * cost}
        score = {"count": 3, "mean": accuracy, "standard_deviation": 1.0, "low": accuracy - 9, "high": accuracy + 9}
        groups.append(group(f"g{number}", None) | {"accuracy": score} | dict.fromkeys(figures, figure))
        groups[-1]["runs"] = [f"r{number}"]
    runs = [
        {"name": f"r{number}", "model": f"g{number}", "backend": "jax", "status": "finished"}
        | {"history": [{"epoch": 0, "validation_accuracy": accuracy, "validation_loss": cost, "epoch_seconds": cost}]}
        for number, (cost, accuracy) in enumerate(zip(costs, accuracies))
    ]
    found = all_drawings({"format": 1, "groups": groups, "runs": runs})
    assert len(found) == len(plots.NAMES)
    for plot in found:
        check_drawing(ElementTree.fromstring(plot.svg))
        assert not re.search("nan|inf", plot.svg)


@given(st.lists(st.just(0.0) | st.floats(1e-100, 1e100), min_size=1, max_size=5), st.booleans())
def test_an_axis_holds_its_values_and_few_ticks_in_order(values, time):
    axis = axes.cost_axis(values, [], 0.0, 300.0, time)
    assert all(0 <= axis(value) <= 300 for value in values)
    assert all(axis.holds(value) for value in values)
    positions = [axis(value) for value, _ in axis.ticks]
    assert len(positions) <= 7
    assert positions == sorted(positions)


def test_a_cost_that_spans_more_than_tenfold_is_drawn_on_a_logarithmic_axis():
    assert axes.cost_axis([10.0, 101.0], [], 0.0, 1.0).logarithmic
    assert not axes.cost_axis([10.0, 99.0], [], 0.0, 1.0).logarithmic
    axis = axes.cost_axis([1.0, 10.0, 100.0], [], 0.0, 1.0)
    assert axis(10.0) - axis(1.0) == pytest.approx(axis(100.0) - axis(10.0))


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 50.0, ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s"]),
        (0.0, 300.0, ["0 min", "1 min", "2 min", "3 min", "4 min", "5 min"]),
        (0.0, 7200.0, ["0 h", "0.5 h", "1.0 h", "1.5 h", "2.0 h"]),
    ],
)
def test_ticks_of_time_stand_at_round_times(low, high, labels):
    assert [label for _, label in axes._linear_time(low, high, 0.0, 1.0).ticks] == labels


POINT = st.tuples(st.floats(40, 340), st.floats(20, 200))


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.text("abcdefg_", min_size=1, max_size=15), st.lists(POINT, min_size=1, max_size=3)), max_size=12
    )
)
def test_labels_cover_neither_each_other_nor_a_mark(labelled):
    boxes = []
    for (label, _), spot in zip(labelled, drawing.place(labelled, (36, 10, 358, 210))):
        if spot:
            (left, baseline), _, _ = spot
            boxes.append((left, baseline - 11, left + drawing.text_width(label), baseline + 3))
    marks = [(x - 5, y - 5, x + 5, y + 5) for _, points in labelled for x, y in points]
    for number, box in enumerate(boxes):
        assert drawing._inside(box, (36, 10, 358, 210))
        assert not drawing._touches(box, boxes[:number] + marks)


def test_long_names_stay_within_their_drawings_and_apart():
    comparison = schema.checked(made_up.long_names())
    sentences = [small_plots.probabilities(each, comparison, 0) for each in comparison["disagreements"]]
    for root in map(ElementTree.fromstring, [*(plot.svg for plot in all_drawings(comparison)), *sentences]):
        check_drawing(root)
        width = float(root.get("viewBox").split()[2])
        for element in root.iter("text"):
            wide = drawing.text_width(element.text) * (13.5 / 12 if element.get("class") in ("title", "panel") else 1)
            start = float(element.get("x")) - {None: 0, "middle": wide / 2, "end": wide}[element.get("text-anchor")]
            assert start >= -1 and start + wide <= width + 6, element.text
        shortened = [element.text for element in root.iter("text") if "…" in element.text]
        assert len(shortened) == len(set(shortened))


def test_a_name_is_shortened_in_its_middle_for_its_end_tells_it_apart():
    assert drawing.shortened("textcnn", 100) == "textcnn"
    assert drawing.shortened("textcnn (learning_rate=0.01)", 100) == "textcnn…=0.01)"
    assert drawing.shortened("字" * 20, 30) == "字…"
    assert drawing.shortened("textcnn", 3) == "…"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60), st.floats(12, 300))
def test_a_shortened_name_fits(text, width):
    assert drawing.text_width(drawing.shortened(text, width)) <= width


def test_a_lone_label_always_finds_a_place():
    assert drawing.place([("textcnn", [(40.0, 200.0)])], (36, 10, 358, 210))[0] is not None


def test_no_two_series_look_alike():
    assert len({drawing.marker(number, 0.0, 0.0) for number in range(36)}) == 36
    shapes = [re.sub(' class="[^"]*"', "", drawing.marker(number, 0.0, 0.0)) for number in range(6)]
    assert len(set(shapes)) == 6  # so colour is not the only sign


def test_a_backend_is_one_series_and_a_model_with_its_start_one_family():
    groups = [group(name, 0.5) | {"backend": name.rpartition("-")[2]} for name in ("a-tiny-x", "a-y", "a-x", "other")]
    groups[3] |= {"model": "a", "backend": "z"}
    comparison = schema.checked({"format": 1, "groups": groups})
    assert series.series(comparison) == ({"a-tiny-x": 0, "a-y": 1, "a-x": 0, "other": 2}, {0: "x", 1: "y", 2: "z"})
    families = series.families(comparison)
    names = {family: [each["name"] for each in found] for family, found in families.items()}
    assert names == {"a-tiny": ["a-tiny-x"], "a": ["a-x", "a-y", "other"]}


def test_groups_of_other_settings_are_families_of_their_own_with_the_same_backends():
    names = ("a-jax (epochs=3)", "a-jax (epochs=4)", "a-torch (epochs=3)", "mine (epochs=3)")
    groups = [group(name, 0.5) | {"model": "a", "backend": "torch" if "torch" in name else "jax"} for name in names]
    comparison = schema.checked({"format": 1, "groups": groups})
    found = {family: [each["name"] for each in several] for family, several in series.families(comparison).items()}
    assert found == {
        "a (epochs=3)": ["a-jax (epochs=3)", "a-torch (epochs=3)", "mine (epochs=3)"],
        "a (epochs=4)": ["a-jax (epochs=4)"],
    }


def test_groups_of_one_family_and_backend_differ_in_precision_or_else_in_name():
    groups = [group(name, 0.5) | {"model": "a", "precision": "float32"} for name in ("one", "two", "three", "b-jax")]
    groups[1]["precision"] = "bfloat16"
    numbers, names = series.series(schema.checked({"format": 1, "groups": groups}))
    assert {name: names[number] for name, number in numbers.items()} == {
        "one": "one",
        "two": "jax bfloat16",
        "three": "three",
        "b-jax": "jax",
    }


def test_a_mean_curve_is_that_of_the_finished_runs_as_far_as_all_went():
    runs = {
        name: {"status": status, "history": [made_up.epoch(epoch, top, 2.0) for epoch in range(epochs)]}
        for name, status, top, epochs in (("a", "finished", 0.8, 3), ("b", "finished", 0.9, 5), ("c", "failed", 0.1, 2))
    }
    lines = {"g": [curves._curve(run, "validation_accuracy", "time") for run in runs.values()]}
    found, means = curves._means({"name": "g", "runs": list(runs)}, runs, lines)
    assert len(found) == 3
    assert list(means) == [0, 1, 2]
    expected = (
        made_up.epoch(1, 0.8, 2.0)["validation_accuracy"] + made_up.epoch(1, 0.9, 2.0)["validation_accuracy"]
    ) / 2
    assert means[1] == pytest.approx((4.0, expected))


def test_an_epoch_that_was_not_measured_leaves_a_gap():
    history = [made_up.epoch(epoch, 0.8, 2.0) for epoch in range(3)]
    history[1]["validation_accuracy"] = None
    assert list(curves._curve({"history": history}, "validation_accuracy", "time")) == [0, 2]
    history[1]["epoch_seconds"] = None
    assert list(curves._curve({"history": history}, "validation_accuracy", "time")) == [0]


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_series_stand_out_from_the_paper(scheme):
    found = re.findall(r"--([\w-]+): (#[0-9a-f]{6})", drawing.STYLE.read_text(encoding="utf-8"))
    assert len(found) == 2 * len(dict(found))
    colours = dict(found[scheme * len(found) // 2 :][: len(found) // 2])
    for name in colours.keys() - {"paper", "rule"}:
        light, dark = sorted([luminance(colours[name]), luminance(colours["paper"])], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, name


# RESULTS.md.


def test_markdown_holds_tables_and_links_to_plots_and_nothing_hostile(case):
    text = results_of(case)
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = [token for block in parser.parse(text) for token in [block, *(block.children or [])]]
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "link_open", "s_open", "hr", "blockquote_open"}
    images = [token.attrs["src"] for token in tokens if token.type == "image"]
    assert images == [f"plots/{plot.name}.svg" for plot in all_drawings(case)]
    assert not re.search(r"(?<!\\)[@$]|https?:|www\.", re.sub("```+.*?```+|`[^`]*`", "", text, flags=re.DOTALL))


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_heading(case):
    for block in re.findall(r"(?:^\|.*\n?)+", results_of(case), re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_escaped_text_is_shown_by_markdown_as_it_is(text):
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    blocks = parser.parse(markdown.escaped(text))
    shown = "".join(token.content for block in blocks for token in block.children or [])
    assert {token.type for block in blocks for token in block.children or []} <= {"text", "text_special"}
    assert shown == " ".join(text.split())


COMMANDS = ("kmodels compare", "```", "a ```` b", "```\n<b>", "compare --title='two  spaces'\n  ~~~\n    compare")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_stay_within_their_fence_a_line_each(command):
    blocks = MarkdownIt("commonmark").parse(results_of(EMPTY | {"command": command}))
    assert [block.content for block in blocks if block.type == "fence"] == [command + "\n"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_shows_the_commands_a_line_each(command):
    (shown,) = re.findall("<pre[^>]*>(.*?)</pre>", page_of(EMPTY | {"command": command}), re.DOTALL)
    assert unescape(re.sub("<[^>]*>", "", shown)) == command
    assert not re.search(r"<span>[^<]*\n", shown)  # a box of its own for each word, not for two lines


def test_the_answer_and_pairs_are_in_markdown():
    text = results_of(made_up.comparison())
    assert "## Paired differences" in text
    assert "bilstm-tensorflow has the highest mean validation accuracy" in text
    assert text.count("no difference shown") >= 3
    assert "right in one run alone" not in text


def test_pairs_of_one_seed_tell_of_the_two_runs():
    comparison = made_up.comparison()
    comparison["pairs"][0] |= {"low": None, "high": None, "p_value": None}
    comparison["pairs"][0] |= {"mcnemar": {"only_a": 31, "only_b": 18, "p_value": 0.0854}}
    comparison["pairs"][1] |= {"mcnemar": {"only_a": 0, "only_b": 1800, "p_value": 0.0}}
    text, page = results_of(comparison), page_of(comparison)
    assert re.search(r"\| – \| – \| [a-z ]+ \| 31 to 18, p 0.085 \|", text)
    assert "| 0 to 1,800, p &lt; 0.001 |" in text
    for each in ("31 to 18, p 0.085", "0 to 1,800, p &lt; 0.001", "McNemar"):
        assert each in page


# The format.


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
