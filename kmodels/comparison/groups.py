"""Which runs belong together: those that differ in nothing but their seed, and where they were made and written."""

import dataclasses
import re
from collections import Counter

from kmodels.config import NOT_THE_RUN, RunConfig
from kmodels.errors import InputError

_SEED = re.compile(r"-seed-\d+$")
_SHARED = ("seed", "data_dir", *NOT_THE_RUN)  # runs of one group may differ in these
MOST_NAMED = 3


def grouped(runs):
    """Runs by group.

    A group has the name that its runs' folders have but for "-seed-N"; where they have no such ending, MODEL-BACKEND.
    Where runs of one such name have different settings, each kind is a group, and its name says in what it differs:
    "textcnn-jax (learning_rate=0.01)".

    Args:
        runs: as of `kmodels.comparison.reading.runs`. One without a config, because it failed early, is counted to the
            first group of its name.

    Returns:
        {name: [run, …]}, groups and runs in the order given.
    """
    by_base: dict = {}
    for run in runs:
        by_base.setdefault(_base(run), []).append(run)
    found: dict = {}
    for base, several in by_base.items():
        for name, members in _kinds(base, several):
            found[_unused(name, found)] = members
    return found


def settings(run):
    """{setting: value} of all that makes a run another run, None left out and a list as text.

    What an older kmodels did not write has its default.
    """
    try:
        config = _config(run).to_json()
    except InputError:  # of an extension that is not loaded, or of a newer kmodels
        config = RunConfig().to_json() | run["config"]
    return {name: _plain(value) for name, value in config.items() if name not in _SHARED and value is not None}


def _plain(value):
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, dict) else value


def _config(run):
    """The RunConfig of a run, as `kmodels.run_folder` takes it when it goes on."""
    config = RunConfig.from_json(run["config"])
    return config.resolved(config.backend)


def _base(run):
    base = _SEED.sub("", run["name"])
    return base if base != run["name"] else f"{run['model']}-{run['backend']}"


def _kinds(base, runs):
    """[(name, [run, …]), …] of the runs of one base."""
    kinds: dict = {}
    for run in runs:
        if run["config"]:
            kinds.setdefault(frozenset(settings(run).items()), []).append(run)
    if len(kinds) < 2:
        return [(base, runs)]
    several = list(kinds.values())
    several[0] += [run for run in runs if not run["config"]]
    names = [f"{base} ({text})" for text in _differences([members[0] for members in several])]
    return list(zip(names, several))


def _differences(runs):
    """What tells each run, one of a group, from the others: ["name=value, …", …]."""
    found = [settings(run) for run in runs]
    known = dict.fromkeys(name for each in found for name in each)
    names = [name for name in known if len({each.get(name) for each in found}) > 1]
    given = [name for name in names if not all(_follows(run, name) for run in runs)] or names
    texts = [_listed(each, given) for each in found]
    if max(Counter(texts).values()) == 1:
        return texts
    return [", ".join(f"{name}={_text(each.get(name))}" for name in names) for each in found]


def _follows(run, name):
    """True if a setting has the value that it has by default with the run's other settings."""
    field = RunConfig.__dataclass_fields__.get(name)
    try:
        config = _config(run)
        without = field and dataclasses.replace(config, **{name: field.default}).resolved(config.backend)
    except InputError:
        return False
    return without is not None and getattr(without, name) == getattr(config, name)


def _listed(values, names):
    """Settings in a name: a path by its last part, and of many settings the first ones."""
    texts = [f"{name}={_text(values.get(name)).rstrip('/').rpartition('/')[2]}" for name in names]
    more = len(texts) - MOST_NAMED
    return ", ".join(texts) if more <= 0 else f"{', '.join(texts[:MOST_NAMED])} and {more} more"


def _text(value):
    """A setting's value as a command line has it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _unused(name, used):
    """A name that is not used yet: itself, or with a number."""
    number, found = 1, name
    while found in used:
        number += 1
        found = f"{name} #{number}"
    return found
