"""Reports of the comparisons of made_up.py, as a page and in Markdown, in parts that tests look at."""

from html.parser import HTMLParser

from kmodels.comparison import markdown, plots, report, schema
from tests.comparison import made_up

EMPTY = {"format": 1}
VOID = {"meta", "br", "wbr", "link", "img", "hr", "input"}
SVG_TAGS = {"svg", "title", "desc", "style", "g", "text", "line", "rect", "circle", "polygon", "polyline"}
PAGE_TAGS = {"html", "head", "meta", "script", "body", "header", "nav", "main", "section"}
BLOCK_TAGS = {"div", "h1", "h2", "h3", "p", "ul", "ol", "li", "dl", "dt", "dd", "pre", "blockquote"}
BLOCK_TAGS |= {"figure", "details", "summary", "table", "thead", "tbody", "tr", "th", "td"}
TEXT_TAGS = {"a", "code", "span", "small", "em", "strong", "wbr", "bdi"}
TAGS = PAGE_TAGS | BLOCK_TAGS | TEXT_TAGS | SVG_TAGS


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


def all_drawings(comparison):
    return [plot for part in plots.all_plots(schema.checked(comparison)).values() for plot in part]


def only_stopped():
    """No run of the comparison finished."""
    found = made_up.comparison()
    found["runs"] = [run for run in found["runs"] if run["status"] != "finished"]
    names = [run["name"] for run in found["runs"]]
    figures = ("accuracy", "dev_interval", "training_seconds", "samples_per_second", "peak_host_MiB")
    found["groups"] = [found["groups"][0] | dict.fromkeys(figures) | {"runs": names}]
    return found | {"pairs": [], "disagreements": []}


def group(name, accuracy, seconds=60.0, count=3):
    """A group of runs of which only these figures are known."""
    figure = {"count": count, "standard_deviation": None, "low": None, "high": None}
    return {
        "name": name,
        "model": name,
        "backend": "jax",
        "accuracy": None if accuracy is None else figure | {"mean": accuracy},
        "training_seconds": None if seconds is None else figure | {"mean": seconds},
    }


COMMANDS = ("kmodels compare", "```", "a ```` b", "```\n<b>", "compare --title='two  spaces'\n  ~~~\n    compare")
CASES = {
    "whole": made_up.comparison,
    "hostile": made_up.hostile,
    "one run": made_up.one_run,
    "only stopped": only_stopped,
    "empty": lambda: EMPTY,
}
