"""Which groups are drawn together, which alike, and in which order."""

from collections import Counter

from kmodels.comparison import wording


def families(comparison):
    """Groups that differ in their backend only, the family of the most accurate group first: {family: [group, …]}.

    The family of "bert_base_pool-tiny-jax" is "bert_base_pool-tiny", and that of "textcnn-jax (epochs=4)" is
    "textcnn (epochs=4)"; for a group whose name does not end in its backend, its model stands there.
    """
    found: dict[str, list] = {}
    for group in wording.ranked(comparison["groups"]):
        found.setdefault(family(group), []).append(group)
    return {name: sorted(groups, key=lambda group: group["name"]) for name, groups in found.items()}


def family(group):
    """What a group is, but for its backend."""
    base, bracket, settings = group["name"].partition(" (")
    name = base.removesuffix(f"-{group['backend']}")
    return f"{group['model'] if name in ('', base) else name}{bracket}{settings}"


def series(comparison):
    """Which groups are drawn alike: ({group: series}, {series: name}). A series is a backend.

    Groups of one family and backend are told apart by their precision, or by their own names.
    """
    groups = comparison["groups"]
    names = [group["backend"] for group in groups]
    for finer in (lambda group: f"{group['backend']} {group['precision']}", lambda group: group["name"]):
        alike = Counter(zip(map(family, groups), names))
        names = [finer(group) if alike[family(group), name] > 1 else name for group, name in zip(groups, names)]
    order = sorted(set(names))
    return {group["name"]: order.index(name) for group, name in zip(groups, names)}, dict(enumerate(order))


def shown(groups, numbers, names):
    """The names of the series that these groups are drawn in."""
    return {number: names[number] for number in sorted({numbers[group["name"]] for group in groups})}
