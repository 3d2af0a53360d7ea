"""comparison.json: what it holds, and a check that a file holds it, so that the report may trust what it reads.

A `?` marks what may be missing, null or empty; a figure that was not measured is left out.

    format            1
    title? command?   text; command made the runs: a command line on each line, the oldest first
    created?          when the last run ended, UTC
    dataset?          name?, train_sentences?, validation_sentences?, label_names? [text, …], majority_fraction?
    protocol?         [sentence, …]: what was the same for all runs
    differs_all_the_same?   [sentence, …]: what was not
    seed_results?     {model: the accuracy it set out from}
    runs?             [{name, model, backend, status: finished | failed | unfinished, seed?, precision?, error?, order?,
                        started?, environment?: {name: value}, metrics?: see METRICS, history?: see EPOCH}, …]
    groups?           [{name, model, backend, precision?, runs?: [name, …], accuracy?, dev_interval? [low, high],
                        training_seconds?, samples_per_second?, peak_host_MiB?, peak_device_MiB?,
                        fraction_of_peak?}, …]; a figure over runs is
                        {count, mean, standard_deviation?, low?, high?}, low to high being its 95 % interval
    pairs?            [{a, b, verdict: better | worse | no difference shown | not tested, difference?, low?, high?,
                        p_value?, mcnemar?: {only_a, only_b, p_value}}, …]: the group a against the group b,
                        difference = a - b; where they share one seed they are not tested, and mcnemar is of those two
                        runs alone: the sentences that only one has right
    disagreements?    [{row, text?, label?, probabilities?: {group: probability of the true label}}, …]
    warnings?         [sentence, …]

Keys beside these are ignored.
"""

import json
import math
import re

from kmodels import records
from kmodels.errors import InputError

FORMAT = 1
STATUSES = ("finished", "failed", "unfinished")
VERDICTS = ("better", "worse", "no difference shown", "not tested")
# No measured figure is near these; beyond the one, sums and spans would overflow, and what is below the other is 0.
LARGEST, SMALLEST = 1e100, 1e-100
# What XML can't hold (control characters), and what UTF-8 can't (half a surrogate pair).
UNWRITABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read(path):
    """The comparison in a file, checked: dict.

    Raises:
        InputError: the file is missing, damaged, or no comparison.
    """
    try:
        return checked(records.read_object(path))
    except InputError as error:
        message = str(error)
        raise InputError(message if str(path) in message else f"{path}: {message}") from error


def checked(comparison):
    """A comparison as the report reads it: every key of the format there, None or empty where nothing was given.

    Characters that can't be written in HTML or SVG are replaced by U+FFFD.

    Raises:
        InputError: the value does not fit the format; one line that says where.
    """
    if not isinstance(comparison, dict):
        raise InputError(f"a comparison must be a JSON object; it is {type(comparison).__name__}")
    if comparison.get("format") != FORMAT or comparison.get("format") is True:
        raise InputError(f"format must be {FORMAT}; got {_shown(comparison.get('format'))}")
    try:
        result = COMPARISON(comparison, "")
    except RecursionError as error:
        raise InputError("a comparison must not be nested this deeply") from error
    _check_names(result)
    return result


def _check_names(comparison):
    """Every run and group has a name of its own, and whatever names one means one that is there."""
    runs = _distinct([run["name"] for run in comparison["runs"]], "runs")
    groups = _distinct([group["name"] for group in comparison["groups"]], "groups")
    for group in comparison["groups"]:
        _known(group["runs"], runs, f"the runs of the group {_shown(group['name'])}")
    for pair in comparison["pairs"]:
        _known([pair["a"], pair["b"]], groups, "pairs")
    for sentence in comparison["disagreements"]:
        _known(sentence["probabilities"], groups, "disagreements")


def _distinct(names, where):
    found = set()
    for name in names:
        if name in found:
            raise InputError(f"names in {where} must differ; {_shown(name)} stands there twice")
        found.add(name)
    return found


def _known(names, known, where):
    for name in names:
        if name not in known:
            raise InputError(f"{where}: there is no {_shown(name)}")


def _shown(value):
    """A value in an error of one line."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _refuse(where, expected, value):
    got = "nothing" if value is None else _shown(value)
    raise InputError(f"{where.removeprefix('.')} must be {expected}; got {got}")


# The checks: each takes a value and where it stands, and gives the value back as the report reads it.


def text(value, where):
    """Text; control characters replaced."""
    if not isinstance(value, str):
        _refuse(where, "text", value)
    return UNWRITABLE.sub("\ufffd", value)


def number(value, where):
    """A finite number; no bool."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= LARGEST:
        _refuse(where, "a finite number", value)
    return value if abs(value) >= SMALLEST else 0


def amount(value, where):
    """A number of at least 0."""
    if number(value, where) < 0:
        _refuse(where, "at least 0", value)
    return value


def whole(value, where):
    """An integer of at least 0."""
    if isinstance(value, float) or amount(value, where) >= 2**53:
        _refuse(where, "a whole number", value)
    return value


def fraction(value, where):
    """A number from 0 to 1."""
    if not 0 <= number(value, where) <= 1:
        _refuse(where, "from 0 to 1", value)
    return value


def scalar(value, where):
    """Anything a JSON file holds, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        _refuse(where, "a JSON value", value)
    return text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), where)


def optional(check):
    """None, or what the check accepts."""
    return lambda value, where: None if value is None else check(value, where)


def one_of(*names):
    """One of these texts."""

    def check(value, where):
        if value not in names:
            _refuse(where, f"one of {', '.join(names)}", value)
        return value

    return check


def listing(check, length=None):
    """A list of what the check accepts; None is an empty one."""

    def check_all(value, where):
        if value is None and length is None:
            return []
        if not isinstance(value, list | tuple) or length not in (None, len(value)):
            _refuse(where, "a list" if length is None else f"a list of {length}", value)
        return [check(entry, f"{where}[{place}]") for place, entry in enumerate(value)]

    return check_all


def mapping(check):
    """A dict from text to what the check accepts, without its nulls; None is an empty one."""

    def check_all(value, where):
        if not isinstance(value, dict | None):
            _refuse(where, "an object", value)
        entries = {text(name, where): entry for name, entry in (value or {}).items() if entry is not None}
        return {name: check(entry, f"{where}[{_shown(name)}]") for name, entry in entries.items()}

    return check_all


def record(**fields):
    """A dict with these keys, each with its check; keys beside them are left out."""

    def check(value, where):
        if not isinstance(value, dict):
            _refuse(where, "an object", value)
        return {name: field(value.get(name), f"{where}.{name}") for name, field in fields.items()}

    return check


EPOCH = record(
    epoch=whole,
    training_loss=optional(number),
    training_accuracy=optional(fraction),
    validation_loss=optional(number),
    validation_accuracy=optional(fraction),
    epoch_seconds=optional(amount),
)
METRICS = record(
    best_epoch=optional(whole),
    best_validation_accuracy=optional(fraction),
    best_validation_loss=optional(number),
    training_duration=optional(text),
    peak_worker_0_memory_MB=optional(amount),
    peak_gpu_0_memory_MB=optional(amount),
    samples_per_second=optional(amount),
    tokens_per_second=optional(amount),
    compile_seconds=optional(amount),
    num_parameters=optional(whole),
)
FIGURE = record(
    count=whole, mean=number, standard_deviation=optional(amount), low=optional(number), high=optional(number)
)
COST = record(
    count=whole, mean=amount, standard_deviation=optional(amount), low=optional(number), high=optional(number)
)
RUN = record(
    name=text,
    model=text,
    backend=text,
    status=one_of(*STATUSES),
    seed=optional(whole),
    precision=optional(text),
    error=optional(text),
    order=optional(whole),
    started=optional(text),
    environment=mapping(scalar),
    metrics=optional(METRICS),
    history=listing(EPOCH),
)
GROUP = record(
    name=text,
    model=text,
    backend=text,
    precision=optional(text),
    runs=listing(text),
    accuracy=optional(FIGURE),
    dev_interval=optional(listing(fraction, length=2)),
    training_seconds=optional(COST),
    samples_per_second=optional(COST),
    peak_host_MiB=optional(COST),
    peak_device_MiB=optional(COST),
    fraction_of_peak=optional(amount),
)
PAIR = record(
    a=text,
    b=text,
    verdict=one_of(*VERDICTS),
    difference=optional(number),
    low=optional(number),
    high=optional(number),
    p_value=optional(fraction),
    mcnemar=optional(record(only_a=whole, only_b=whole, p_value=fraction)),
)
DATASET = record(
    name=optional(text),
    train_sentences=optional(whole),
    validation_sentences=optional(whole),
    label_names=listing(text),
    majority_fraction=optional(fraction),
)
COMPARISON = record(
    format=whole,
    title=optional(text),
    created=optional(text),
    command=optional(text),
    dataset=lambda value, where: DATASET(value or {}, where),
    protocol=listing(text),
    differs_all_the_same=listing(text),
    seed_results=mapping(fraction),
    runs=listing(RUN),
    groups=listing(GROUP),
    pairs=listing(PAIR),
    disagreements=listing(
        record(row=whole, text=optional(text), label=optional(text), probabilities=mapping(fraction))
    ),
    warnings=listing(text),
)
