"""Figures in words: numbers with as many digits as they are worth, and the answer in a few sentences."""

import re

from kmodels.statistics.pairs import BETTER, NOT_SHOWN, NOT_TESTED, WORSE

MISSING = "–"
MINUS = "−"


def accuracy(value):
    """0.8393: four digits, as a few hundred sentences resolve."""
    return MISSING if value is None else f"{value:.4f}"


def difference(value, digits=4):
    """+0.0040 or −0.0040."""
    return MISSING if value is None else f"{value:+.{digits}f}".replace("-", MINUS)


def interval(low, high):
    """0.8107 to 0.8393; a dash where there is none."""
    return MISSING if low is None or high is None else f"{accuracy(low)} to {accuracy(high)}".replace("-", MINUS)


def interval_of_difference(low, high):
    """−0.0103 to +0.0046; a dash where there is none."""
    return MISSING if low is None or high is None else f"{difference(low)} to {difference(high)}"


def p_value(value):
    """Two digits, and none below 0.001."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def mcnemar(found):
    """31 to 18, p 0.085: the sentences that one of two runs alone has right; a dash where there is no such test."""
    if found is None:
        return MISSING
    p = p_value(found["p_value"])
    return f"{count(found['only_a'])} to {count(found['only_b'])}, p {p}"


def count(value):
    """2,891; two digits of what is below 10."""
    if value is None:
        return MISSING
    if abs(value) >= 1e9:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"


def percent(fraction):
    """31 %; 3.1 % below ten."""
    if fraction is None:
        return MISSING
    return f"{100 * fraction:.0f} %" if fraction >= 0.1 else f"{100 * fraction:.2g} %"


def duration(seconds):
    """45 s, 3 min 57 s, 4 h 3 min: the two largest units."""
    if seconds is None:
        return MISSING
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    if round(seconds) < 3600:
        return _two(round(seconds), 60, "min", "s")
    if round(seconds / 60) < 48 * 60:
        return _two(round(seconds / 60), 60, "h", "min")
    days = seconds / 86400
    return f"{days:,.1f} d" if days < 1e6 else f"{days:.1e} d"


def _two(value, size, large, small):
    """192, 60, "min", "s" as "3 min 12 s"."""
    whole, rest = divmod(value, size)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def spread(figure, say):
    """A figure over runs: its mean, ± its standard deviation where there is one."""
    if figure is None:
        return MISSING
    deviation = figure["standard_deviation"]
    return (
        say(figure["mean"]) if deviation is None else f"{say(figure['mean'])}\u00a0±\u00a0{deviation_of(figure, say)}"
    )


def deviation_of(figure, say):
    """The standard deviation of a figure over runs, with two digits at most."""
    return say(float(f"{figure['standard_deviation']:.2g}"))


def several(number, noun):
    """1 run, 3 runs."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names, at_most=4):
    """a, b and c; a number where there are more than `at_most`."""
    names = list(names)
    if len(names) > at_most:
        return f"{len(names)} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def commands(comparison):
    """The command lines that made the runs: [text, …], one for each line of the comparison's `command`."""
    return [line for line in re.split("[\r\n]", comparison["command"] or "") if line.strip()]


def ranked(groups):
    """Groups by their mean accuracy, the best first; those without one last, then by name."""
    return sorted(groups, key=lambda group: (-mean(group, "accuracy", -1.0), group["name"]))


def devices(runs):
    """The devices that runs were made on; times of different ones can't be compared."""
    return {run["environment"].get("device") for run in runs if run["environment"]}


def has_comparable_times(comparison):
    """False if runs were made on different devices, or groups at different hours."""
    return len(devices(comparison["runs"])) < 2 and comparison["in_turns"] is not False


def corrected(comparison):
    """For how many pairs p is corrected: a sentence; "" where no pair was tested."""
    number = comparison["num_tested_pairs"]
    if not number:
        return ""
    pairs = "the one pair" if number == 1 else f"all {number:,} pairs"
    shown = sum(pair["p_value"] is not None for pair in comparison["pairs"])
    rest = ", also those not shown" if number > shown else ""
    said = f"p and the verdict are corrected for {pairs} that could be tested{rest} (Holm 1979)"
    return f"{said}; an interval is of its pair alone."


def mean(group, figure, otherwise=None):
    """The mean of a group's figure, or `otherwise` where it was not measured."""
    return otherwise if group[figure] is None else group[figure]["mean"]


def standings(comparison):
    """How each group with an accuracy stands against the best: {name: "best" | a verdict of schema.VERDICTS}."""
    best = ranked(comparison["groups"])[0]["name"] if comparison["groups"] else None
    turned = {BETTER: WORSE, WORSE: BETTER}
    found = {group["name"]: NOT_TESTED for group in comparison["groups"] if group["accuracy"]}
    for pair in comparison["pairs"]:
        if pair["b"] == best:
            found[pair["a"]] = pair["verdict"]
        elif pair["a"] == best:
            found[pair["b"]] = turned.get(pair["verdict"], pair["verdict"])
    return found | {best: "best"}


def answer(comparison):
    """What was found, from the figures: [sentence, …], two or three of them."""
    groups = [group for group in ranked(comparison["groups"]) if group["accuracy"]]
    if not groups:
        return ["No run has finished, so there is no accuracy to compare yet."]
    best = groups[0]
    if len(groups) == 1:
        return [f"{_opening(best, 'is the only one with a finished run: its validation accuracy is')}."]
    standing = standings(comparison)
    peers = [group for group in groups[1:] if standing[group["name"]] == NOT_SHOWN]
    sentences = [
        f"{_opening(best, 'has the highest mean validation accuracy,')}.",
        _against(standing, [group["name"] for group in groups[1:]]),
        _cost(best, peers, comparison["pairs"]) if has_comparable_times(comparison) else "",
    ]
    return [sentence for sentence in sentences if sentence]


def _opening(group, says):
    figure = group["accuracy"]
    runs = "in one run" if figure["count"] == 1 else f"over {several(figure['count'], 'run')}"
    return f"{group['name']} {says} {spread(figure, accuracy)} {runs}"


def _against(standing, names):
    """How the others stand against the best."""
    equal = [name for name in names if standing[name] == NOT_SHOWN]
    worse = [name for name in names if standing[name] == WORSE]
    better = [name for name in names if standing[name] == BETTER]  # where the best one's lead is of other seeds
    unknown = [name for name in names if standing[name] == NOT_TESTED]
    parts = []
    if equal:
        parts.append(f"no difference from it is shown for {listed(equal)}")
    if worse:
        parts.append(f"{listed(worse)} {_is(worse)} shown to be worse")
    if better:
        parts.append(f"{listed(better)} {_is(better)} shown to be better on the seeds that both have")
    if unknown:
        parts.append(f"{listed(unknown)} {'was' if len(unknown) == 1 else 'were'} not tested against it")
    text = "; ".join(parts)
    # A name keeps its case; a phrase begins the sentence.
    return f"{text[0].upper() if equal else text[:1]}{text[1:]}." if text else ""


def _is(names):
    return "is" if len(names) == 1 else "are"


def _cost(best, peers, pairs):
    """The training times of the best and of the fastest of those that are not shown to be worse, with what it costs."""
    timed = [group for group in [best, *peers] if group["training_seconds"]]
    if best not in timed:
        return ""
    fastest = min(timed, key=lambda group: group["training_seconds"]["mean"])
    seconds, least = best["training_seconds"]["mean"], fastest["training_seconds"]["mean"]
    if seconds < 1.05 * least or fastest is best:
        rest = "" if not peers else ", the fastest of these" if fastest is best else ", about as fast as any of these"
        return f"It trained in {duration(seconds)}{rest}."
    factor = f" ({seconds / least:.1f} times as long)" if least > 0 else ""
    times = f"in {duration(least)} against {duration(seconds)} of {best['name']}{factor}"
    return f"{fastest['name']} trained faster, {times}; {_against_in_accuracy(fastest, best, pairs)}."


def _against_in_accuracy(group, best, pairs):
    """How far a group is behind the best: by their pair, which counts the same seeds only, else by their means."""
    names = {group["name"], best["name"]}
    pair = next((pair for pair in pairs if {pair["a"], pair["b"]} == names and pair["difference"] is not None), None)
    if pair is None:
        return f"its mean accuracy is {_lower(mean(best, 'accuracy') - mean(group, 'accuracy'))}"
    sign = 1 if pair["a"] == best["name"] else -1
    said = f"its mean accuracy over the same seeds is {_lower(sign * pair['difference'])}"
    if None in (pair["low"], pair["high"]):
        return said
    ends = sorted((sign * pair["low"], sign * pair["high"]))
    return f"{said}, 95\u00a0% interval from {' to '.join(map(_lower, ends))}"


def _lower(value):
    """0.0298 lower; 0.0298 higher for a value below 0."""
    size = accuracy(abs(value))
    return "the same" if size == accuracy(0) else f"{size} {'lower' if value > 0 else 'higher'}"
