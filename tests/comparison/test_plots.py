"""The plots: well formed, within their bounds, told apart, whatever the figures."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmodels.comparison import axes, curves, drawing, plots, schema, series, small_plots
from tests.comparison import made_up
from tests.comparison.reports import SVG_TAGS, all_drawings, group, page_of


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
