"""Which groups are drawn alike, and in which order."""

from kmodels.comparison import wording


def series(comparison):
    """Which groups are drawn alike: ({group: series}, {series: name}). One series is one backend, wherever it can be.

    Where a comparison holds several precisions, each of them is a series; groups that share model, backend and
    precision are told apart by their own names.
    """
    groups = comparison["groups"]
    several = len({group["precision"] for group in groups}) > 1
    kinds = [(group["model"], _variant(group, several)) for group in groups]
    names = [group["name"] if kinds.count(kind) > 1 else kind[1] for group, kind in zip(groups, kinds)]
    order = sorted(set(names))
    return {group["name"]: order.index(name) for group, name in zip(groups, names)}, dict(enumerate(order))


def _variant(group, several):
    return f"{group['backend']} {group['precision'] or ''}".strip() if several else group["backend"]


def models(comparison):
    """{model: [group, …]}, the model of the most accurate group first."""
    found: dict[str, list] = {}
    for group in wording.ranked(comparison["groups"]):
        found.setdefault(group["model"], []).append(group)
    return {model: sorted(groups, key=lambda group: group["name"]) for model, groups in found.items()}


def shown(groups, numbers, names):
    """The names of the series that these groups are drawn in."""
    return {number: names[number] for number in sorted({numbers[group["name"]] for group in groups})}
