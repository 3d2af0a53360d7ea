"""RESULTS.md: tables and links to plots, nothing hostile."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from kmodels.comparison import markdown
from tests.comparison import made_up
from tests.comparison.reports import COMMANDS, EMPTY, all_drawings, page_of, results_of


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


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_stay_within_their_fence_a_line_each(command):
    blocks = MarkdownIt("commonmark").parse(results_of(EMPTY | {"command": command}))
    assert [block.content for block in blocks if block.type == "fence"] == [command + "\n"]


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
