"""Whether a machine changed its speed while runs were made."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Drift:
    """How speed changed from run to run; both are None where no group has runs at two places in the order.

    Attributes:
        change_per_run_fraction: -0.01 if each run was 1 % slower than the run before.
        p_value: two-sided, of "the order does not matter".
    """

    change_per_run_fraction: float | None
    p_value: float | None


def drift(groups, orders, speeds, draws=10_000, seed=0):
    """Did the machine become slower or faster while the runs were made?

    The slope of log speed over the order of the runs, each group's means taken out, and how many shuffles of the speeds
    within their groups give a slope as steep. A drift between groups that were run one after the other is not seen:
    deal the groups' runs out in turns.

    Args:
        groups: (num_runs,); runs of one group should be equally fast: one model on one backend.
        orders: float, (num_runs,); the place of each run in the order in which runs were made.
        speeds: float, (num_runs,); in any unit, above 0.
        draws: how many shuffles.
        seed: decides the shuffles.

    Returns:
        A Drift.

    Raises:
        ValueError: no runs, other shapes, or a speed that is not above 0.
    """
    groups, orders, speeds = np.asarray(groups), np.asarray(orders, np.float64), np.asarray(speeds, np.float64)
    _check_runs(groups, orders, speeds)
    generator = np.random.default_rng(seed)
    slope, shuffled, spread = 0.0, np.zeros(draws), 0.0
    for group in np.unique(groups):
        places, logs = orders[groups == group], np.log(speeds[groups == group])
        if np.ptp(places) == 0:
            continue
        places, logs = places - places.mean(), logs - logs.mean()
        slope += float(places @ logs)
        shuffled += generator.permuted(np.tile(logs, (draws, 1)), axis=1) @ places
        spread += float(places @ places)
    if spread == 0:
        return Drift(None, None)
    # A shuffle that restores the order counts, though it may add in another order.
    as_steep = np.count_nonzero(np.abs(shuffled) >= abs(slope) * (1 - 1e-9))
    return Drift(math.expm1(slope / spread), (1 + as_steep) / (1 + draws))


def _check_runs(groups, orders, speeds):
    shapes = {groups.shape, orders.shape, speeds.shape}
    if len(shapes) > 1 or groups.ndim != 1 or not len(groups):
        raise ValueError(
            "groups, orders and speeds must have an entry a run, (num_runs,), and at least one run; "
            f"got {groups.shape}, {orders.shape} and {speeds.shape}"
        )
    if not (np.isfinite(orders).all() and np.isfinite(speeds).all() and (speeds > 0).all()):
        raise ValueError(f"orders must be finite, speeds finite and above 0; got {orders} and {speeds}")
