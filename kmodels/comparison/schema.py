"""comparison.json: what it holds, and a check that a file holds it, so that the report may trust what it reads.

A `?` marks what may be missing, null or empty; a figure that was not measured is left out.

    format            1
    title? command?   text; command made the runs: a command line on each line, the oldest first
    created?          when the last run ended, UTC
    dataset?          name?, train_sentences?, validation_sentences?, label_names? [text, …], majority_fraction?
    protocol?         [sentence, …]: what was the same for all runs, as far as their records show it
    differs_all_the_same?   [sentence, …]: what was not
    in_turns?         false if some groups had their runs before others had theirs, so that times can't be compared;
                      null if it is not known
    seed_results?     {model: the accuracy it set out from}
    runs?             [{name, model, backend, status: finished | failed | unfinished, seed?, precision?, error?, order?,
                        started?, cores?, environment?: {name: value}, metrics?: see METRICS, history?: see EPOCH}, …];
                        order is the place among all runs of the folder by when they were started
    groups?           [{name, model, backend, precision?, runs?: [name, …], accuracy?, dev_interval? [low, high],
                        training_seconds?, samples_per_second?, peak_host_MiB?, peak_device_MiB?,
                        fraction_of_peak? (the median)}, …]; a figure over runs is
                        {count, mean, standard_deviation?, low?, high?}, low to high being its 95 % interval
    pairs?            [{a, b, verdict: better | worse | no difference shown | not tested, difference?, low?, high?,
                        p_value?, mcnemar?: {only_a, only_b, p_value}}, …]: the group a against the group b,
                        difference = a - b; where they share one seed they are not tested, and mcnemar is of those two
                        runs alone: the sentences that only one has right
    num_tested_pairs? how many pairs of groups could be tested, whether they stand in pairs or not: p_value and verdict
                      are corrected for so many
    disagreements?    [{row, text?, label?, probabilities?: {group: probability of the true label}}, …]
    warnings?         [sentence, …]

Keys beside these are ignored.
"""

from kmodels import records
from kmodels.comparison.checks import (
    amount,
    boolean,
    fraction,
    listing,
    mapping,
    number,
    one_of,
    optional,
    record,
    scalar,
    shown,
    text,
    whole,
)
from kmodels.errors import InputError

FORMAT = 1
STATUSES = ("finished", "failed", "unfinished")
VERDICTS = ("better", "worse", "no difference shown", "not tested")


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
        raise InputError(f"format must be {FORMAT}; got {shown(comparison.get('format'))}")
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
        _known(group["runs"], runs, f"the runs of the group {shown(group['name'])}")
    for pair in comparison["pairs"]:
        _known([pair["a"], pair["b"]], groups, "pairs")
    for sentence in comparison["disagreements"]:
        _known(sentence["probabilities"], groups, "disagreements")


def _distinct(names, where):
    found = set()
    for name in names:
        if name in found:
            raise InputError(f"names in {where} must differ; {shown(name)} stands there twice")
        found.add(name)
    return found


def _known(names, known, where):
    for name in names:
        if name not in known:
            raise InputError(f"{where}: there is no {shown(name)}")


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
    cores=optional(whole),
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
    in_turns=optional(boolean),
    seed_results=mapping(fraction),
    runs=listing(RUN),
    groups=listing(GROUP),
    pairs=listing(PAIR),
    num_tested_pairs=optional(whole),
    disagreements=listing(
        record(row=whole, text=optional(text), label=optional(text), probabilities=mapping(fraction))
    ),
    warnings=listing(text),
)
