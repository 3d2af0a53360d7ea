"""Labelled sentences for a run whose classes are known already: a file of them, or the run's own validation data."""

import re
from pathlib import Path

import numpy as np

from kmodels.data import datasets, sst2
from kmodels.data.columns import listed
from kmodels.data.datasets import Examples
from kmodels.data.files import read_rows
from kmodels.errors import InputError

_INTEGER = re.compile(r"-?[0-9]+")
_ASK = "give labelled sentences with --file"


def find(config, label_names, file=None, text_column=None, label_column=None):
    """(Examples, where they are from): those in a file, or without one those that the run was validated on.

    Args and errors as of `read` and `validation_of`.
    """
    if file is not None:
        return read(file, config, label_names, text_column, label_column), str(file)
    if text_column is not None or label_column is not None:
        raise InputError("--text_column and --label_column are columns of --file; got no file")
    return validation_of(config, label_names)


def read(path, config, label_names, text_column=None, label_column=None):
    """The labelled sentences in a file, for a run's classifier.

    Labels are names of classes. Where no class has a whole number as its name, a file may have the classes' numbers
    instead, from 0, as SST-2's own files do.

    Args:
        path: a TSV, CSV or JSON Lines file.
        config: the run's kmodels.config.RunConfig.
        label_names: the name of class i.
        text_column, label_column: as of `kmodels.data.files.read_rows`; None for the run's own.

    Returns:
        kmodels.data.datasets.Examples.

    Raises:
        InputError: a file that doesn't fit, or a label that the run does not know.
    """
    rows = list(read_rows(path, text_column or config.text_column, label_column or config.label_column))
    line_numbers, texts, labels = zip(*rows)
    numbers = _numbers_by_label(set(labels), label_names)
    if unknown := [place for place in zip(line_numbers, labels) if place[1] not in numbers]:
        others = list(dict.fromkeys(label for _, label in unknown))
        raise InputError(
            f"{path}:{unknown[0][0]}: expected only labels that the run knows ({_known(label_names)}), "
            f"got {listed(others)}; correct them, or name the right column with --label_column"
        )
    return Examples(as_trained(texts, config), np.array([numbers[label] for label in labels], np.int32))


def as_trained(texts, config):
    """Sentences as a run's training read them, wherever they are from; what is no str stays.

    To byte-level BPE a space at the end is a token. SST-2's sentences are trained on without it (`sst2`), those of
    other data as they stand in it.

    Args:
        texts: iterable of str.
        config: the run's kmodels.config.RunConfig.

    Returns:
        [str, …].
    """
    if config.train_file is not None or config.dataset != "sst2":
        return list(texts)
    return [text.rstrip() if isinstance(text, str) else text for text in texts]


def validation_of(config, label_names):
    """(Examples, where they are from): the sentences that a run was validated on. Downloads nothing.

    Args:
        config: the run's kmodels.config.RunConfig.
        label_names: the name of class i.

    Raises:
        InputError: they can't be found here, or don't fit the run any more.
    """
    if config.train_file is None and config.dataset != "sst2":
        loaded = datasets.load(config.dataset, config.data_dir)
        if loaded.label_names != tuple(label_names):
            raise InputError(
                f"the run's classes are {listed(label_names)}, those of the dataset {config.dataset} "
                f"{listed(loaded.label_names)}; {_ASK}"
            )
        return loaded.validation, f"the dataset {config.dataset}"
    path = Path(config.validation_file or Path(config.data_dir or sst2.cache_folder()) / "dev.tsv").expanduser()
    if not path.is_file():
        raise InputError(f"the run's validation data is not here ({path}); {_ASK}")
    return read(path, config, label_names), str(path)


def class_numbers(labels, label_names):
    """The numbers of the classes that labels name.

    Args:
        labels: iterable of str, names of classes, or of int, their numbers.
        label_names: the name of class i.

    Returns:
        int32, (num_labels,).

    Raises:
        InputError: a label is no class's; or a number could be meant as a name.
    """
    if isinstance(labels, str):
        raise InputError(f"labels must be several, as in a list; got the single str {labels!r:.60}")
    labels = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    by_name = {name: number for number, name in enumerate(label_names)}
    numbers = by_name
    if not all(isinstance(label, str) for label in labels):
        if strange := [
            label for label in labels if isinstance(label, bool) or not isinstance(label, (int, np.integer))
        ]:
            raise InputError(f"labels must be all names (str) or all numbers (int) of classes; got {strange[0]!r:.60}")
        if _named_by_numbers(label_names) and any(by_name.get(str(number)) != number for number in by_name.values()):
            raise InputError(f"the classes are named {listed(label_names)}; give labels as str: an int could be either")
        numbers = {number: number for number in by_name.values()}
    if unknown := [label for label in dict.fromkeys(labels) if label not in numbers]:
        raise InputError(f"expected only labels that the run knows ({_known(label_names)}), got {listed(unknown)}")
    return np.array([numbers[label] for label in labels], np.int32)


def _numbers_by_label(labels, label_names):
    """{label as a file has it: number of its class}."""
    by_name = {name: number for number, name in enumerate(label_names)}
    by_number = {str(number): number for number in by_name.values()}
    are_numbers = labels & by_number.keys() and not labels & by_name.keys() and not _named_by_numbers(label_names)
    return by_number if are_numbers else by_name


def _named_by_numbers(label_names):
    return any(_INTEGER.fullmatch(name) for name in label_names)


def _known(label_names):
    numbers = "" if _named_by_numbers(label_names) else f", or their numbers, 0 to {len(label_names) - 1}"
    return listed(label_names) + numbers
