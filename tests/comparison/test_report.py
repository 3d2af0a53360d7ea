"""The report: the right figures in words and tables; texts stay texts; the same bytes for one comparison."""

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
from pathlib import Path

import pytest

from kmodels.comparison import page_tables, plots, report, schema, wording
from tests.comparison import made_up
from tests.comparison.reports import COMMANDS, EMPTY, TAGS, Page, only_stopped, page_of, results_of

ROOT = Path(__file__).parent.parent.parent


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


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_shows_the_commands_a_line_each(command):
    (shown,) = re.findall("<pre[^>]*>(.*?)</pre>", page_of(EMPTY | {"command": command}), re.DOTALL)
    assert unescape(re.sub("<[^>]*>", "", shown)) == command
    assert not re.search(r"<span>[^<]*\n", shown)  # a box of its own for each word, not for two lines
