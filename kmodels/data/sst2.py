"""The Stanford Sentiment Treebank with two classes, as GLUE publishes it: from a folder, the cache, or the network.

A file of it is tab-separated without quoting, with the header sentence<TAB>label; 0 is negative, 1 is positive.

Source: Socher et al. 2013 (the treebank); Wang et al. 2018 (GLUE).
"""

import http.client
import os
import tempfile
import urllib.request
import zipfile
import zlib
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from kmodels.backend import cache_dir
from kmodels.data.files import listed, read_rows
from kmodels.errors import InputError

URL = "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip"
FILES = ("train.tsv", "dev.tsv")
LABEL_NAMES = ("negative", "positive")
OFFICIAL_COUNTS = {"train.tsv": (67349, 37569), "dev.tsv": (872, 444)}  # file: (rows, positive rows)

# The official archive has 7 MB, its files less than 5 MB: what is far larger is something else.
MAX_ARCHIVE_BYTES = 2**24
MAX_MEMBER_BYTES = 2**24
CHUNK_BYTES = 2**16
TIMEOUT_SECONDS = 30

INSTEAD = (
    "give a folder with train.tsv and dev.tsv as --data_dir, or train on generated sentences with --dataset=sample"
)

# Not to name a column by flag, as for other files: those flags need --train_file.
COLUMN_ADVICE = (
    "use SST-2's own train.tsv and dev.tsv (its test.tsv has no labels); "
    "for other columns use --train_file and --validation_file"
)

# What zipfile raises on a damaged archive, beside BadZipFile: KeyError for a member that is not there, RuntimeError
# for an encrypted one, ValueError and OSError for names and offsets that make no sense.
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError, ValueError, OSError)


def load_sst2(data_dir=None, url=URL, counts=OFFICIAL_COUNTS):
    """Loads the training and validation sentences; without data_dir, downloads them once into the cache.

    Args:
        data_dir: folder with train.tsv and dev.tsv, which may be cut down; None: the cache folder.
        url: archive to download where the cache has no SST-2.
        counts: file name → (rows, positive rows) that a download must have.

    Returns:
        ((train_texts, train_labels), (validation_texts, validation_labels)): lists of str without trailing white
        space; int32 arrays, (num_examples,), 0 negative, 1 positive.

    Raises:
        InputError: data_dir lacks a file, a file doesn't fit, or the download fails.
    """
    if data_dir is None:
        folder = cache_folder()
        if not all(os.path.isfile(folder / name) for name in FILES):
            download(folder, url, counts)
    else:
        folder = Path(os.path.expanduser(data_dir))
        _check_folder(folder)
    train, validation = (read_sst2_file(folder / name) for name in FILES)
    return train, validation


def read_sst2_file(path):
    """Reads one file of SST-2: texts, a list of str, and labels, int32, (num_examples,).

    The official archive's sentences end in a space, copies of it often not: it is stripped, so that both give the same.

    Raises:
        InputError: the file is missing, lacks a column, or has a label other than 0 and 1.
    """
    texts, labels = [], []
    for line_number, text, label in read_rows(path, "sentence", "label", column_advice=COLUMN_ADVICE):
        if label not in ("0", "1"):
            raise InputError(
                f"{path}:{line_number}: expected 0 or 1 as SST-2's label, got {listed([label])}; "
                "for other labels use --train_file and --validation_file"
            )
        texts.append(text.rstrip())
        labels.append(label == "1")
    return texts, np.array(labels, dtype=np.int32)


def cache_folder():
    """Returns where a downloaded SST-2 is kept."""
    return cache_dir() / "sst2"


def _check_folder(folder):
    """Says what was expected where a folder given as data_dir doesn't hold SST-2."""
    if not os.path.isdir(folder):
        found = "found a file" if os.path.exists(folder) else "there is no such folder"
        raise InputError(f"{folder}: expected a folder with train.tsv and dev.tsv, but {found}; check --data_dir")
    missing = [name for name in FILES if not os.path.isfile(folder / name)]
    if missing:
        inner = folder / "SST-2"
        advice = f"use --data_dir={inner}" if os.path.isdir(inner) else "for other names use --train_file"
        raise InputError(
            f"{folder}: expected SST-2's train.tsv and dev.tsv (header sentence<TAB>label), "
            f"missing {listed(missing)}; check --data_dir; {advice}"
        )


def download(folder, url=URL, counts=OFFICIAL_COUNTS):
    """Downloads the archive and puts train.tsv and dev.tsv into the folder, whole and checked or not at all.

    Args:
        folder: Path; made if need be.
        url: a zip archive with the members SST-2/train.tsv and SST-2/dev.tsv; no other member is read.
        counts: file name → (rows, positive rows) that the files must have.

    Raises:
        InputError: no network, an archive that is cut short or not the expected one, or a folder that can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch_name:
            scratch = Path(scratch_name)
            _fetch(url, scratch / "archive.zip")
            for name in FILES:
                (scratch / name).write_bytes(_member(scratch / "archive.zip", f"SST-2/{name}", url))
                _check_counts(scratch / name, counts[name], url)
            for name in FILES:
                os.replace(scratch / name, folder / name)
    except OSError as error:  # those of the network and the archive are dealt with where they arise
        raise InputError(
            f"{folder}: expected a folder to keep SST-2 in, but writing failed: {error.strerror or error}; "
            f"set KMODELS_CACHE to another folder, or {INSTEAD}"
        ) from error


def _fetch(url, path):
    """Writes what the url gives to a file, under a progress bar where someone watches."""
    console = Console(stderr=True)
    columns = (TextColumn("SST-2"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress, open(path, "wb") as file:
        task = progress.add_task("SST-2", total=None)
        for chunk, expected_bytes in _received_chunks(url):
            file.write(chunk)
            progress.update(task, total=expected_bytes, advance=len(chunk))


def _received_chunks(url):
    """Yields (chunk, expected_bytes): bytes of the response, and its whole length or None if the server gives none.

    A generator, so that only the network's errors are caught here, and not those of the disk the chunks go to.
    """
    received_bytes = 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            expected_bytes = response.length
            while chunk := response.read(CHUNK_BYTES):
                received_bytes += len(chunk)
                if received_bytes > MAX_ARCHIVE_BYTES:
                    raise InputError(f"{url}: expected at most {MAX_ARCHIVE_BYTES} bytes, got more; {INSTEAD}")
                yield chunk, expected_bytes
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"{url}: expected to download SST-2, but got: {error}; {INSTEAD}") from error
    # http.client doesn't complain when the other side hangs up early, except in the newest versions of Python.
    if expected_bytes is not None and received_bytes != expected_bytes:
        raise InputError(
            f"{url}: expected {expected_bytes} bytes, but the transfer ended after {received_bytes}; "
            f"try again, or {INSTEAD}"
        )


def _member(archive, name, url):
    """Returns the bytes of one member. Nothing is unpacked by the archive's own names."""
    try:
        with zipfile.ZipFile(archive) as zip_file:
            info = zip_file.getinfo(name)
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile("unusual compression")
            with zip_file.open(info) as file:
                content = file.read(MAX_MEMBER_BYTES + 1)
    except ARCHIVE_ERRORS as error:
        raise InputError(
            f"{url}: expected a whole zip archive with {name}, but it can't be read ({type(error).__name__}: "
            f"{listed(error.args)}); try again, or {INSTEAD}"
        ) from error
    # Read first and then measured: the size that an archive states for its member need not be true.
    if len(content) > MAX_MEMBER_BYTES:
        raise InputError(f"{url}: expected at most {MAX_MEMBER_BYTES} bytes in {name}, got more; {INSTEAD}")
    return content


def _check_counts(path, expected, url):
    """Checks a downloaded file's rows and positive rows against those of the official release."""
    try:
        _, labels = read_sst2_file(path)
    except InputError as error:
        raise InputError(f"{url}: expected SST-2's files, but {error}; try again later, or {INSTEAD}") from error
    found = (len(labels), int(labels.sum()))
    if found != expected:
        raise InputError(
            f"{url}: expected {expected[0]} rows, {expected[1]} of them positive, in {path.name}, "
            f"got {found[0]} and {found[1]}; try again, or {INSTEAD}"
        )
