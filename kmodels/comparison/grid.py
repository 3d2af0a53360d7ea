"""A grid of runs: every model on every backend with every seed."""

import random
import re
from dataclasses import dataclass
from pathlib import Path

from kmodels.config import RunConfig
from kmodels.errors import InputError

_SEED = re.compile(r"-seed-\d+$")


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes:
        config: kmodels.config.RunConfig, its output_dir the run's own folder.
        order: its place in the order in which runs are made, from 0.
    """

    config: RunConfig
    order: int

    @property
    def folder(self):
        return Path(str(self.config.output_dir))

    @property
    def name(self):
        return self.folder.name


def cells(models, backends, seeds, output_dir, settings, order_seed=0):
    """The runs of a grid, in an order that is drawn, so that a machine that drifts favours nobody.

    Every seed is a round: all models and backends have their first run before one has its second.

    Args:
        models, backends: [name, …].
        seeds: [int, …].
        output_dir: where the runs' folders go: MODEL-BACKEND-seed-N.
        settings: {name: value} of kmodels.config.RunConfig that all runs share.
        order_seed: decides the order.

    Raises:
        InputError: a setting is not possible for one of the models, or something is named twice.
    """
    for name, values in (("models", models), ("backends", backends), ("seeds", seeds)):
        if not values or len(set(values)) != len(values):
            raise InputError(f"{name} must be at least one, each once; got {', '.join(map(str, values)) or 'none'}")
    numbers = random.Random(order_seed)
    configs = []
    for seed in seeds:
        names = [(model, backend) for model in models for backend in backends]
        numbers.shuffle(names)
        for model, backend in names:
            folder = Path(output_dir) / f"{model}-{backend}-seed-{seed}"
            values = {"model": model, "backend": backend, "seed": seed, "output_dir": str(folder)}
            configs.append(RunConfig.from_settings(**(settings | values)))
    return [Cell(config, order) for order, config in enumerate(configs)]


def group_of(name):
    """What runs of one name but for their seed have in common: "textcnn-jax-seed-1" → "textcnn-jax"."""
    return _SEED.sub("", name)
