"""Labelled sentences to train and validate on: SST-2, generated sentences, or the user's own files."""

import hashlib
import json
import re
from dataclasses import dataclass

import numpy as np

from kmodels.config import DATASETS
from kmodels.data import sst2
from kmodels.data.files import listed, read_rows
from kmodels.errors import InputError
from kmodels.settings import did_you_mean

# An integer as a program writes it. Labels such as 01 are names; more digits than these are no class number.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass(frozen=True, eq=False)  # eq=False: comparing arrays gives arrays, so a generated __eq__ would raise
class Examples:
    """Sentences and their classes.

    Attributes:
        texts: list of str; an empty one is a sentence without tokens.
        labels: int32, (num_examples,); class ids from 0.
    """

    texts: list[str]
    labels: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Examples to train on, examples to validate on, and the names of their classes.

    Attributes:
        train: Examples.
        validation: Examples; none of a class that training lacks.
        label_names: the name of class i, as it stands in the file; for SST-2 and the sample, in words.
    """

    train: Examples
    validation: Examples
    label_names: tuple[str, ...]

    @property
    def num_classes(self):
        return len(self.label_names)

    def digest(self):
        """The same for the same sentences, labels and names, whatever files they came from."""
        digest = hashlib.sha256(json.dumps(self.label_names).encode())
        for examples in (self.train, self.validation):
            digest.update(np.asarray(examples.labels, np.int64).tobytes())
            for text in examples.texts:
                digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()


def load(dataset="sst2", data_dir=None, train_file=None, validation_file=None, text_column=None, label_column=None):
    """Loads a dataset: from the user's files if they are given, else by name.

    Args:
        dataset: one of DATASETS.
        data_dir: folder with SST-2's train.tsv and dev.tsv; without it they are downloaded once into the cache.
        train_file: .tsv, .csv or .jsonl file to train on, instead of a dataset by name.
        validation_file: the same for validation; goes with train_file.
        text_column: column with the sentence in the two files; see `kmodels.data.files.read_rows`.
        label_column: column with the class in the two files.

    Returns:
        A Dataset.

    Raises:
        InputError: options that contradict each other, a file that doesn't fit, or a failed download.
    """
    if dataset not in DATASETS:
        raise InputError(_unknown_dataset(dataset))
    if train_file is not None or validation_file is not None:
        _check_files_alone(dataset, data_dir, train_file, validation_file)
        return load_files(train_file, validation_file, text_column, label_column)
    if text_column is not None or label_column is not None:
        raise InputError("--text_column and --label_column need --train_file and --validation_file; got neither file")
    if dataset == "sample":
        return _load_sample(data_dir)
    if (loader := DATASETS[dataset]) is not None:
        return _from_extension(dataset, loader(data_dir=data_dir))
    train, validation = sst2.load_sst2(data_dir)
    return Dataset(Examples(*train), Examples(*validation), sst2.LABEL_NAMES)


def _unknown_dataset(name):
    hint = did_you_mean(str(name).lower(), DATASETS) or "; for your own data give --train_file"
    return f"dataset must be one of {', '.join(DATASETS)}; got {name!r}{hint}"


def _check_files_alone(dataset, data_dir, train_file, validation_file):
    """Checks that the two files come together, and with nothing else that names data."""
    if train_file is None:
        raise InputError(f"expected --train_file beside --validation_file={validation_file}, got none; give both")
    if validation_file is None:
        raise InputError(f"expected --validation_file beside --train_file={train_file}, got none; give both")
    if data_dir is not None:
        raise InputError(f"expected either --train_file or --data_dir, got {train_file} and {data_dir}; leave one out")
    if dataset == "sample":
        raise InputError(f"expected either --train_file or --dataset=sample, got both ({train_file}); leave one out")


def _load_sample(data_dir):
    """Generates the sample dataset, which needs no file and no network."""
    from kmodels.data.sample import sample_examples  # only this dataset needs the generator's word lists

    if data_dir is not None:
        raise InputError(f"--dataset=sample is generated and reads no folder; got --data_dir={data_dir}; leave one out")
    train, validation = (Examples(texts, np.asarray(labels, dtype=np.int32)) for texts, labels in sample_examples())
    return Dataset(train, validation, sst2.LABEL_NAMES)


def _from_extension(name, loaded):
    """What an extension's function gave (`kmodels.extensions.dataset`), checked."""
    try:
        train_texts, train_labels, texts, labels, label_names = loaded
        parts = [(list(train_texts), np.asarray(train_labels)), (list(texts), np.asarray(labels))]
    except (TypeError, ValueError) as error:
        raise InputError(f"the dataset {name} must give texts and labels twice, and label names; {error}") from error
    for texts, labels in parts:
        if not texts or not all(isinstance(text, str) for text in texts):
            raise InputError(f"the dataset {name} must give texts as one str or more for each part")
        if labels.shape != (len(texts),) or labels.dtype.kind not in "iu":
            raise InputError(f"the dataset {name} must give an int label for each of its {len(texts)} texts")
        if labels.min() < 0 or labels.max() >= len(label_names):
            raise InputError(f"the dataset {name} must give labels from 0 to {len(label_names) - 1}")
    train, validation = (Examples(texts, labels.astype(np.int32)) for texts, labels in parts)
    return Dataset(train, validation, tuple(map(str, label_names)))


def load_files(train_file, validation_file, text_column=None, label_column=None):
    """Loads a dataset from two TSV, CSV or JSON Lines files; the training file's labels define the classes.

    Class ids follow the labels' order: by number if all are integers, else by code point.

    Raises:
        InputError: a file that doesn't fit, fewer than 2 classes, or a validation label that training lacks.
    """
    texts, labels, first_lines = _read_labelled(train_file, text_column, label_column)
    if len(first_lines) < 2:
        raise InputError(
            f"{train_file}: expected at least 2 classes, found only {listed(first_lines)} in all of {len(texts)} rows; "
            "add rows of another class, or name the right column with --label_column"
        )
    label_names = ordered_label_names(first_lines)
    train = Examples(texts, _class_ids(labels, label_names))
    validation = read_examples(validation_file, label_names, text_column, label_column)
    return Dataset(train, validation, label_names)


def read_examples(path, label_names, text_column=None, label_column=None):
    """Reads a labelled file whose classes are already known, for validation or evaluation.

    Args:
        path: a TSV, CSV or JSON Lines file.
        label_names: the name of class i.
        text_column, label_column: see `kmodels.data.files.read_rows`.

    Returns:
        Examples.

    Raises:
        InputError: a file that doesn't fit, or a label that isn't in label_names.
    """
    texts, labels, first_lines = _read_labelled(path, text_column, label_column)
    unknown = {label: line_number for label, line_number in first_lines.items() if label not in label_names}
    if unknown:
        first_line = next(iter(unknown.values()))
        others = ", ".join(f"line {line_number}" for line_number in list(unknown.values())[:10])
        raise InputError(
            f"{path}:{first_line}: expected only labels of the training data ({listed(label_names)}), "
            f"got {listed(unknown)} (first at {others}); correct them, or add such rows to the training file"
        )
    return Examples(texts, _class_ids(labels, label_names))


def ordered_label_names(labels):
    """Returns the different labels in the order of their class ids: "2" before "10" if all are integers."""
    labels = set(labels)
    if all(_INTEGER.fullmatch(label) for label in labels):
        return tuple(sorted(labels, key=int))
    return tuple(sorted(labels))


def _read_labelled(path, text_column, label_column):
    """Returns texts, labels (both lists of str), and label → first line it stands on, in the file's order."""
    texts: list[str] = []
    labels: list[str] = []
    first_lines: dict[str, int] = {}
    for line_number, text, label in read_rows(path, text_column, label_column):
        texts.append(text)
        labels.append(label)
        first_lines.setdefault(label, line_number)
    return texts, labels, first_lines


def _class_ids(labels, label_names):
    """Returns int32, (num_examples,): each label's place in label_names."""
    class_ids = {label: class_id for class_id, label in enumerate(label_names)}
    return np.array([class_ids[label] for label in labels], dtype=np.int32)
