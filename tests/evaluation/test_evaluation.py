"""The figures of an evaluation, against scikit-learn, SciPy and drawn sentences whose truth is known."""

import doctest
import json
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve

from kmodels import evaluation
from kmodels.errors import InputError
from kmodels.evaluation import metrics as figures
from kmodels.evaluation import resampling


@st.composite
def answers(draw, most_sentences=40):
    """(probabilities, labels, num_classes): float64, int64; some classes without labels or without predictions."""
    num_classes = draw(st.integers(2, 6))
    num_sentences = draw(st.integers(1, most_sentences))
    known = draw(st.lists(st.integers(0, num_classes - 1), min_size=1, unique=True))
    labels = draw(st.lists(st.sampled_from(known), min_size=num_sentences, max_size=num_sentences))
    numbers = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = numbers.normal(size=(num_sentences, num_classes)) * draw(st.sampled_from([0.1, 1, 5]))
    logits += draw(st.sampled_from([0, 3])) * np.eye(num_classes)[labels]
    logits[:, draw(st.integers(0, num_classes - 1))] -= draw(st.sampled_from([0, 10]))
    return softmax(logits), np.array(labels), num_classes


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def evaluate(probabilities, labels, num_classes, resamples=5):
    """An evaluation with few resamples: most tests don't look at intervals."""
    with mock.patch.object(resampling, "RESAMPLES", resamples):
        return evaluation.evaluate(probabilities, labels, [f"class {number}" for number in range(num_classes)])


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(answers())
def test_every_figure_agrees_with_scikit_learn(drawn):
    probabilities, labels, num_classes = drawn
    predicted, classes = probabilities.argmax(axis=1), np.arange(num_classes)
    found = evaluate(*drawn)
    close = {"rel": 0, "abs": 1e-9}
    assert found.num_sentences == len(labels)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted), **close)
    # Without `labels`, scikit-learn's mean is over the classes with a label or a prediction.
    assert found.macro_f1 == pytest.approx(metrics.f1_score(labels, predicted, average="macro"), **close)
    assert found.matthews_correlation == pytest.approx(metrics.matthews_corrcoef(labels, predicted), **close)
    assert found.loss == pytest.approx(metrics.log_loss(labels, y_proba=probabilities, labels=classes), **close)
    expected = metrics.precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=np.nan)
    for name, values in zip(("precision", "recall", "f1", "support"), expected):
        ours = [np.nan if (value := getattr(each, name)) is None else value for each in found.classes]
        assert ours == pytest.approx(list(values), nan_ok=True, **close), name
    assert (found.confusion_matrix == metrics.confusion_matrix(labels, predicted, labels=classes)).all()


@given(st.lists(st.one_of(st.floats(0, 1), st.integers(0, 15).map(lambda k: k / 15)), min_size=1), st.data())
def test_calibration_error_agrees_with_scikit_learns_curve(confidences, data):
    confidences = np.array(confidences)
    is_right = np.array(data.draw(st.lists(st.booleans(), min_size=len(confidences), max_size=len(confidences))))
    accuracy, confidence = calibration_curve(is_right, confidences, n_bins=15, pos_label=True)
    counts = np.unique(np.searchsorted(np.linspace(0, 1, 16)[1:-1], confidences), return_counts=True)[1]
    expected = np.average(np.abs(accuracy - confidence), weights=counts)
    assert figures.calibration_error(confidences, is_right) == pytest.approx(expected, abs=1e-9)


def test_the_calibration_error_of_a_few_sentences_is_what_a_hand_computes():
    # Bins of a fifteenth: 0.94 and 0.95 share the last but one, 1.0 has the last for itself.
    confidences, is_right = np.array([0.90, 0.93, 1.0, 1.0]), np.array([True, False, True, False])
    expected = (abs(1 + 0 - 0.90 - 0.93) + abs(1 + 0 - 1.0 - 1.0)) / 4
    assert figures.calibration_error(confidences, is_right) == pytest.approx(expected, abs=1e-12)


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(answers(), st.integers(1, 9))
@settings(max_examples=30)
def test_intervals_are_quantiles_of_the_figures_of_resampled_sentences(drawn, resamples):
    probabilities, labels, num_classes = drawn
    predicted = probabilities.argmax(axis=1)
    numbers = np.random.Generator(np.random.PCG64(resampling.RESAMPLING_SEED))
    figures = {"macro_f1": [], "matthews_correlation": [], "loss": []}
    for _ in range(resamples):
        rows = numbers.integers(len(labels), size=len(labels))
        numbers.random(len(labels))  # for the calibration error
        figures["macro_f1"].append(metrics.f1_score(labels[rows], predicted[rows], average="macro"))
        figures["matthews_correlation"].append(metrics.matthews_corrcoef(labels[rows], predicted[rows]))
        losses = metrics.log_loss(labels[rows], y_proba=probabilities[rows], labels=np.arange(num_classes))
        figures["loss"].append(losses)
    intervals = evaluate(*drawn, resamples=resamples).intervals
    for name, values in figures.items():
        expected = np.quantile(values, [0.025, 0.975])
        if intervals[name] is None:
            assert np.ptp(expected) < 1e-9
        else:
            assert intervals[name] == pytest.approx(expected, abs=1e-9), name


@given(answers())
def test_the_interval_of_the_accuracy_is_wilsons(drawn):
    probabilities, labels, _ = drawn
    right = int((probabilities.argmax(axis=1) == labels).sum())
    expected = stats.binomtest(right, len(labels)).proportion_ci(0.95, method="wilson")
    assert evaluate(*drawn).intervals["accuracy"] == pytest.approx((expected.low, expected.high), abs=1e-9)


def draw_sentences(numbers, num_sentences, certainty):
    """(probabilities, labels) of a classifier whose logits are `certainty` times what they should be."""
    logits = numbers.normal(size=(num_sentences, 3)) * 2
    labels = (softmax(logits).cumsum(axis=1) > numbers.random((num_sentences, 1))).argmax(axis=1)
    return softmax(logits * certainty), labels


@pytest.mark.parametrize("certainty", [1.0, 1.3, 2.0], ids=["calibrated", "certain", "too certain"])
def test_intervals_hold_the_truth(certainty):
    numbers = np.random.default_rng(0)
    truth = evaluate(*draw_sentences(numbers, 200_000, certainty), 3, resamples=1)
    held = dict.fromkeys(evaluation.FIGURES, 0)
    for _ in range(60):
        intervals = evaluate(*draw_sentences(numbers, 200, certainty), 3, resamples=300).intervals
        for name in held:
            low, high = intervals[name]
            held[name] += low <= max(getattr(truth, name), 0.005 * (name == "expected_calibration_error")) <= high
    assert min(held.values()) >= 51, held  # 57 are expected of 95 %


def test_the_calibration_error_of_a_calibrated_classifier_may_be_0():
    numbers = np.random.default_rng(0)
    found = [evaluate(*draw_sentences(numbers, 200, 1.0), 3, resamples=300) for _ in range(40)]
    # Chance alone makes the measured one 0.05 and more; a plain bootstrap of it would never reach down to 0.
    assert np.mean([each.expected_calibration_error for each in found]) > 0.04
    assert sum(each.intervals["expected_calibration_error"][0] == 0 for each in found) >= 36


@given(answers(most_sentences=4))
def test_the_json_has_no_nan_and_says_how_it_was_made(drawn):
    found = evaluate(*drawn).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["calibration_bins"], found["confidence"], found["resampling_seed"]) == (15, 0.95, 0)
    assert found["resamples"] == 2000
    assert set(evaluation.FIGURES) == set(found["intervals"])
    for name, pair in found["intervals"].items():
        assert pair is None or pair[0] < pair[1], name
    error = found["intervals"]["expected_calibration_error"]
    assert error is None or 0 <= error[0] <= found["expected_calibration_error"] < error[1] <= 1


def test_what_is_not_defined_of_a_class_is_none():
    found = evaluate(softmax(np.array([[9.0, 0, 0, 0], [0, 9.0, 0, 0]])), [0, 2], 4)
    shown = {each.name: (each.precision, each.recall, each.f1, each.support) for each in found.classes}
    assert shown["class 0"] == (1.0, 1.0, 1.0, 1)
    assert shown["class 1"] == (0.0, None, 0.0, 0)  # only predicted
    assert shown["class 2"] == (None, 0.0, 0.0, 1)  # never predicted
    assert shown["class 3"] == (None, None, None, 0)
    assert found.macro_f1 == pytest.approx(1 / 3)


def test_where_resampling_changes_nothing_there_is_no_interval():
    found = evaluate(np.eye(2)[[0, 1, 0, 1]], [0, 1, 0, 1], 2, resamples=50)
    assert (found.macro_f1, found.matthews_correlation, found.loss, found.accuracy) == (1, 1, 0, 1)
    assert found.intervals["loss"] is None and found.intervals["expected_calibration_error"] is None
    assert found.intervals["accuracy"][0] < 0.6
    alone = evaluate([[0.7, 0.3]], [0], 2, resamples=50).intervals
    assert {name for name, pair in alone.items() if pair is None} == {"macro_f1", "matthews_correlation", "loss"} | {
        "expected_calibration_error"
    }


def test_many_sentences_overflow_nothing():
    # 3 of 4 right among 4 million sentences of two classes: the correlation is 3/4 - 1/4.
    right, both = np.array([1_500_000, 1_500_000]), np.array([2_000_000, 2_000_000])
    assert figures.matthews_correlation(right, both, both) == pytest.approx(0.5, abs=1e-12)


def test_a_probability_of_0_costs_much_but_not_everything():
    assert evaluate([[1.0, 0.0], [1.0, 0.0]], [0, 1], 2).loss == pytest.approx(87.3365 / 2, abs=1e-4)


def test_the_same_sentences_have_the_same_intervals():
    drawn = draw_sentences(np.random.default_rng(1), 50, 1.0)
    first, second = (evaluation.evaluate(*drawn, "abc").to_json() for _ in range(2))
    assert first == second
    assert first["resamples"] == 2000


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([[0.5, 0.5]], [0, 1], "a label for each of the 1 sentences"),
        ([[0.2, 0.3, 0.5]], [0], "a column a class"),
        ([0.5, 0.5], [0, 1], "a column a class"),
        (np.zeros((0, 2)), np.zeros(0, int), "at least one sentence"),
        ([[0.5, 0.5]], [2], "from 0 to 1"),
        ([[0.5, 0.5]], [-1], "from 0 to 1"),
        ([[0.5, 0.5]], [0.0], "whole numbers"),
        ([[0.5, 0.5], [0.5, 0.4]], [0, 1], "those of sentence 1 sum to 0.9"),
        ([[float("nan"), 0.5]], [0], "those of sentence 0 sum to nan"),
        ([[1.5, -0.5]], [0], "from 0 to 1"),
    ],
)
def test_what_is_no_probabilities_and_labels_is_refused(probabilities, labels, message):
    with pytest.raises(InputError, match=message):
        evaluate(probabilities, labels, 2)


def test_printed_it_is_a_table():
    numbers = np.random.default_rng(0)
    found = evaluate(*draw_sentences(numbers, 2000, 1.0), 3, resamples=50)
    figures, classes, matrix = str(found).split("\n\n")
    assert figures.splitlines()[0].split() == ["2,000", "sentences", "95%", "interval"]
    assert f"{found.accuracy:.4f}" in figures and "15 bins" in figures
    assert classes.splitlines()[1].split()[-1] == f"{found.classes[0].support:,}"
    assert matrix.splitlines()[2].split()[-3:] == [f"{count:,}" for count in found.confusion_matrix[1]]
    assert len({len(line) for line in matrix.splitlines()}) == 1


def test_a_class_of_any_name_and_number_is_printed_in_a_line():
    hostile = ["\x1b]0;title\x07", "two\nlines", "x" * 500]
    shown = str(evaluation.evaluate(*draw_sentences(np.random.default_rng(0), 20, 1.0), hostile))
    assert all(line.isprintable() and len(line) < 200 for line in shown.splitlines())
    assert "?]0;title?" in shown
    many = [f"c{number}" for number in range(100)]
    shown = str(evaluation.evaluate(np.full((3, 100), 0.01), [0, 1, 2], many))
    assert "100 classes" in shown
    assert "-" in shown.splitlines()[-3]  # a class without sentences and predictions


def test_the_examples_give_what_they_show():
    results = doctest.testmod(evaluation)
    assert results.attempted >= 3
    assert results.failed == 0
