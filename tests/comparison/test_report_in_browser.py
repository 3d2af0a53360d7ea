"""The report in a browser, as its readers see it: Chromium without a window, no network."""

import html
import re
import shutil
import subprocess

import pytest

from kmodels.comparison import plots, report, schema
from tests.comparison import made_up

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH to open the report in"
)
LOGGED = re.compile(r"CONSOLE|Uncaught|Refused to")
CLICK = """<script>
for (const column of [5, 5, 0]) document.querySelectorAll("#ranking thead th button")[column].click();
const names = [...document.querySelectorAll("#ranking tbody th")].map((cell) => cell.innerText.split("\\n")[0]);
document.title = names.join();
</script>"""


def browse(tmp_path, page, *flags):
    """(the page's elements after its script ran, what the browser logged)."""
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'browser'}",
        *flags,
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, timeout=120, cwd=tmp_path)
    return done.stdout.decode(), done.stderr.decode()


def test_a_hostile_report_shows_its_plots_and_runs_nothing_of_its_texts(tmp_path):
    comparison = made_up.hostile()
    page = report.write(comparison, tmp_path)
    elements, log = browse(tmp_path, page, "--dump-dom")
    assert not LOGGED.search(log)
    drawn = sum(map(len, plots.all_plots(schema.checked(comparison)).values()))
    assert elements.count('<svg class="plot" ') == drawn + len(comparison["disagreements"])
    title = re.search("<title>(.*?)</title>", elements)[1]
    assert html.unescape(title) == comparison["title"]
    assert "<img" not in elements and elements.count("<script") == 1


def test_headings_sort_the_ranking(tmp_path):
    page = report.write(made_up.comparison(), tmp_path)
    text = page.read_text(encoding="utf-8")
    elements, log = browse(tmp_path, page, "--dump-dom")
    assert not LOGGED.search(log)
    assert elements.count('<button type="button">') > 10  # the policy let the page's own script run
    # A script that the policy does not name: it runs only in a copy without one.
    page.write_text(text.replace("</body>", f"{CLICK}</body>"), encoding="utf-8")
    elements, log = browse(tmp_path, page, "--dump-dom")
    assert LOGGED.search(log) and f"<title>{made_up.comparison()['title']}</title>" in elements
    page.write_text(re.sub("<meta http-equiv.*?>", "", text).replace("</body>", f"{CLICK}</body>"), encoding="utf-8")
    elements, _ = browse(tmp_path, page, "--dump-dom")
    names = sorted(group["name"] for group in made_up.comparison()["groups"])
    assert f"<title>{','.join(names)}</title>" in elements


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("light", ["--window-size=1200,4000"]),
        ("dark", ["--window-size=1200,4000", "--blink-settings=preferredColorScheme=0"]),
        ("phone", ["--window-size=500,8000"]),
    ],
)
def test_the_report_can_be_looked_at(tmp_path, name, flags):
    page = report.write(made_up.comparison(), tmp_path)
    if name == "phone":  # a window has at least 500 pixels
        frame = tmp_path / "phone.html"
        frame.write_text('<body style="margin:0"><iframe src="report.html" style="width:320px;height:8000px;border:0">')
        page = frame
    picture = tmp_path / f"{name}.png"
    _, log = browse(tmp_path, page, f"--screenshot={picture}", *flags)
    assert not LOGGED.search(log)
    assert picture.stat().st_size > 50_000


@pytest.mark.parametrize("comparison", [made_up.comparison, made_up.long_names])
def test_the_report_does_not_overflow_a_phone(tmp_path, comparison):
    page = report.write(comparison(), tmp_path)
    measure = """<script>
    const boxes = [...document.querySelectorAll("main > section, header, figure, h1, h2")];
    const right = Math.max(...boxes.map((each) => each.getBoundingClientRect().right));
    parent.document.title = right <= innerWidth && document.body.scrollWidth <= innerWidth ? "fits" : "overflows";
    </script>"""
    text = re.sub("<meta http-equiv.*?>", "", page.read_text(encoding="utf-8"))
    inner = html.escape(text.replace("</body>", f"{measure}</body>"))
    frame = tmp_path / "phone.html"
    frame.write_text(f'<title>?</title><iframe srcdoc="{inner}" style="width:320px;height:900px;border:0"></iframe>')
    elements, _ = browse(tmp_path, frame, "--dump-dom", "--virtual-time-budget=2000")
    assert elements.count("<title>fits</title>") >= 1
