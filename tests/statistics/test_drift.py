"""Drift is found where it was put, and nowhere else."""

from itertools import permutations, product

import numpy as np
import pytest

from kmodels.statistics.drift import drift


def test_the_slope_is_found_though_groups_differ_in_speed():
    groups, orders = np.array(["slow", "fast"] * 10), np.arange(20)
    speeds = np.where(groups == "slow", 10.0, 500.0) * 0.98**orders
    result = drift(groups, orders, speeds)
    assert result.change_per_run_fraction == pytest.approx(-0.02)
    assert result.p_value < 0.001


def test_what_comes_from_the_groups_is_no_drift():
    groups, orders = np.repeat(["slow", "fast"], 10), np.arange(20)
    speeds = np.where(groups == "slow", 10.0, 500.0) * np.exp(np.random.default_rng(0).normal(0, 0.01, 20))
    result = drift(groups, orders, speeds)
    assert abs(result.change_per_run_fraction) < 0.005
    assert result.p_value > 0.05


def test_the_p_value_of_a_drift_is_the_share_of_all_shuffles():
    generator = np.random.default_rng(0)
    groups, orders = np.array(list("ababababb")), generator.permutation(9)
    logs = np.log(generator.uniform(90, 110, 9)) - 0.02 * orders
    parts = [(orders[groups == name] - orders[groups == name].mean(), logs[groups == name]) for name in "ab"]
    slope = sum(places @ values for places, values in parts)
    shuffles = product(*[[places @ np.array(order) for order in permutations(values)] for places, values in parts])
    share = np.mean([abs(sum(shuffle)) >= abs(slope) - 1e-12 for shuffle in shuffles])
    assert 0.05 < share < 0.5
    assert drift(groups, orders, np.exp(logs)).p_value == pytest.approx(share, abs=0.015)


def test_a_machine_that_does_not_drift_is_accused_in_5_percent_of_draws():
    generator = np.random.default_rng(0)
    groups, orders = np.array(["a", "b", "c"] * 4), np.arange(12)
    speeds = [np.exp(generator.normal(0, 0.02, 12)) for _ in range(600)]
    accused = np.mean([drift(groups, orders, drawn, draws=200).p_value <= 0.05 for drawn in speeds])
    assert 0.03 < accused < 0.07


def test_a_drift_is_decided_by_the_seed_alone():
    speeds = np.random.default_rng(0).uniform(90, 110, 12)
    one, again, another = (drift(["a", "b"] * 6, range(12), speeds, seed=seed) for seed in (1, 1, 2))
    assert one == again != another


def test_single_runs_and_equal_speeds_show_no_drift():
    alone = drift(["a", "b", "c"], [0, 1, 2], [1.0, 2.0, 3.0])
    assert (alone.change_per_run_fraction, alone.p_value) == (None, None)
    equal = drift(["a", "b", "a", "b"], [0, 1, 2, 3], [1.0, 2.0, 1.0, 2.0])
    assert (equal.change_per_run_fraction, equal.p_value) == (0, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drift([], [], []), r"at least one run; got \(0,\), \(0,\) and \(0,\)"),
        (lambda: drift(["a", "a"], [0, 1], [1.0]), r"an entry a run.*got \(2,\), \(2,\) and \(1,\)"),
        (lambda: drift(["a", "a"], [0, 1], [1.0, 0.0]), "above 0; got"),
    ],
)
def test_an_error_says_what_was_expected_and_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call()
