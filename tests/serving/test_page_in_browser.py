"""The page as its users have it: by keyboard, in the dark, on a phone, with hostile sentences and labels."""

import time

import pytest

from tests.serving import browser
from tests.serving.running import Counting, running

pytestmark = pytest.mark.skipif(
    browser.CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH to open the page in"
)
HOSTILE = "<img src=x onerror=\"document.title='broken in'\">"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser.tab(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def classify(tab, port, text):
    """Opens the page, types, and sends with Ctrl + Enter."""
    tab.log.clear()
    tab.open(f"http://127.0.0.1:{port}/")
    tab.wait("document.activeElement.id === 'texts'")
    tab.type(text)
    tab.press("Enter", browser.CTRL)
    tab.wait("document.querySelector('article') || document.querySelector('#error').textContent")


def texts(tab, selector):
    return tab.evaluate(f"[...document.querySelectorAll({selector!r})].map((each) => each.textContent)")


def test_a_sentence_is_classified_and_its_words_marked(tab):
    with running(Counting()) as (port, _):
        classify(tab, port, "😀 a superb film , not dull .\n\n  \nbad and awful")
        assert tab.log == []
        assert texts(tab, "h3") == ["negative 50.0%", "negative 88.1%"]
        assert texts(tab, "blockquote") == ["😀 a superb film , not dull .", "bad and awful"]
        assert texts(tab, ".word.for[data-strength='3']") == ["dull", "bad", "awful"]
        assert texts(tab, ".word.against[data-strength='3']") == ["superb"]
        assert texts(tab, "#status") == ["2 sentences classified."]
        assert texts(tab, ".bars:first-of-type .name")[:2] == ["negative", "positive"]
        widths = tab.evaluate("[...document.querySelectorAll('.bar')].map((bar) => bar.style.width)")
        assert [round(float(width.strip("%"))) for width in widths] == [50, 50, 88, 12]
        assert texts(tab, "tbody tr:first-child")[1] == "bad+15.0"
        assert "negative, positive" in texts(tab, "#model")[0]


def test_everything_is_reached_by_keyboard_and_has_a_name(tab):
    with running(Counting()) as (port, _):
        tab.open(f"http://127.0.0.1:{port}/")
        tab.type("good")
        tab.press("Tab")
        tab.press(" ")  # unchecks «show which words»
        tab.press("Tab")
        assert tab.evaluate("document.activeElement.id") == "submit"
        tab.press("Enter")
        tab.wait("document.querySelector('article')")
        assert texts(tab, "blockquote .word") == [] and tab.evaluate("document.getElementById('legend').hidden")
        tab.call("Accessibility.enable")
        nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
        named = {(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]}
        assert named >= {
            ("textbox", "Sentences, one a line"),
            ("checkbox", "Show which words carried the decision"),
            ("button", "Classify"),
            ("region", "Results"),
            ("heading", "Try sentences"),
        }
        roles = tab.evaluate("['status', 'error'].map((id) => document.getElementById(id).getAttribute('role'))")
        assert roles == ["status", "alert"]  # what a screen reader says by itself
        assert texts(tab, "#status") == ["positive, 73.1%."]


def test_sentences_and_labels_are_shown_as_text_and_nothing_of_them_runs(tab):
    with running(Counting(label_names=(f"negative {HOSTILE}", f"positive {HOSTILE}"))) as (port, _):
        classify(tab, port, f"good {HOSTILE} <script>document.title = 'broken in'</script>")
        time.sleep(0.3)
        assert tab.log == []
        assert tab.evaluate("document.title") == "Try sentences"
        assert tab.evaluate("document.querySelectorAll('img, main script').length") == 0
        assert texts(tab, "blockquote") == [f"good {HOSTILE} <script>document.title = 'broken in'</script>"]
        assert HOSTILE in texts(tab, "h3")[0] and HOSTILE in texts(tab, "#model")[0]


def test_the_policy_stops_scripts_that_are_not_the_pages_own(tab):
    with running(Counting()) as (port, _):
        tab.open(f"http://127.0.0.1:{port}/")
        tab.log.clear()
        tab.evaluate(f"document.getElementById('results').innerHTML = {HOSTILE!r}")
        tab.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))"
        )
        time.sleep(0.3)
        assert tab.evaluate("document.title") == "Try sentences"
        assert any("Content Security Policy" in str(entry) for entry in tab.log)


def test_what_goes_wrong_is_said(tab):
    with running(Counting(), max_sentences=2) as (port, _):
        classify(tab, port, "a\nb\nc")
        assert texts(tab, "#error") == ["texts must hold 1 to 2 sentences; got 3 (422)"]
        assert texts(tab, "article") == []
    tab.press("Enter", browser.CTRL)
    tab.wait("document.querySelector('#error').textContent.includes('reached')")
    assert tab.evaluate("document.getElementById('submit').disabled") is False


@pytest.mark.parametrize(("scheme", "width"), [("light", 1000), ("dark", 1000), ("light", 320), ("dark", 320)])
def test_it_can_be_read_by_day_by_night_and_on_a_phone(tab, tmp_path, scheme, width):
    with running(Counting(label_names=("negative" * 6, "positive"))) as (port, _):
        tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        classify(tab, port, "a superb film , not dull at all\n" + "x" * 200)
        assert tab.log == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        for selector in ("body", "#hint", "#model", "h3", "small", ".word.for", ".word.against", "button", "td"):
            assert contrast(tab, selector) >= 4.5, selector
        tab.picture(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 10_000


def contrast(tab, selector):
    """How many times brighter one of text and ground is than the other, as WCAG 2 counts it."""
    script = """(() => {
      const painter = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const paint = (colour) => { painter.fillStyle = colour; painter.fillRect(0, 0, 1, 1); };
      const element = document.querySelector(SELECTOR);
      const above = [];
      for (let each = element; each; each = each.parentElement) above.unshift(getComputedStyle(each).backgroundColor);
      above.forEach(paint);
      const ground = [...painter.getImageData(0, 0, 1, 1).data];
      paint(getComputedStyle(element).color);
      return [ground, [...painter.getImageData(0, 0, 1, 1).data]];
    })()""".replace("SELECTOR", repr(selector))
    darker, brighter = sorted(map(luminance, tab.evaluate(script)))
    return (brighter + 0.05) / (darker + 0.05)


def luminance(colour):
    parts = [part / 255 for part in colour[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
