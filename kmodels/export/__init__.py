"""From a run's folder to a file that another runtime reads, checked against the run before it is there.

A format is a module here, the same few names in every one:

TITLE            its name, for the page
BACKEND          the backend that builds the model to be written
SUFFIX           how the file's name ends; "" for a folder
PACKAGES, EXTRA  what must be importable, and the extra of kmodels that installs it
OUTPUT           what its logits are called
CALL             Python lines for the page, from token_ids and padding_mask to logits; {name} stands for the file's name
write(model, path)   writes a keras.Model on that backend
read(path)       (a function from token_ids and padding_mask to logits, the batch size it is bound to or None)
"""

import importlib
import importlib.machinery
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kmodels import backend, extensions, inference, records
from kmodels.config import RunConfig
from kmodels.data.tokenizers import Tokenizer
from kmodels.errors import InputError, RunError
from kmodels.export import page, processes
from kmodels.settings import did_you_mean

FORMATS = ("onnx", "tf_saved_model", "torch", "litert", "openvino")


@dataclass(frozen=True)
class Exported:
    """A written model.

    Attributes:
        path: the model; a folder for tf_saved_model.
        page: how to call it, Markdown.
        tokenizer: its tokenizer.json.
        format: one of FORMATS.
        backend: what built it.
        config: the run's kmodels.config.RunConfig.
        difference: the largest between its logits and the run's.
        batch: the batch size it is bound to; None for any.
    """

    path: Path
    page: Path
    tokenizer: Path
    format: str
    backend: str
    config: RunConfig
    difference: float
    batch: int | None


def export(
    run: str | os.PathLike[str], format: str, output: str | os.PathLike[str], overwrite: bool = False
) -> Exported:
    """Writes a run's model in another format, with its tokenizer and a page beside it: all of it, or nothing.

    The model is built in a process of its own, and the file is read again by its own runtime in another one. It must
    give the run's logits for 64 sentences of different lengths, and in a batch of another size.

    Args:
        run: a run's folder.
        format: one of FORMATS.
        output: where the model goes, in a folder that exists.
        overwrite: replace what an earlier export left there.

    Returns:
        Exported.

    Raises:
        InputError: the format, its packages, the run or the place do not fit.
        RunError: the model can't be written, or gives other logits than the run.
    """
    writer = module(format)
    output, run = Path(output), Path(run)
    config, label_names = inference.settings_of(run)
    extensions.check_handed_on(config.model, config.dataset)
    names = [output.name + ".md", records.TOKENIZER, output.name]
    _check_place(output, writer.SUFFIX, run / records.TOKENIZER, overwrite)
    with _folder_beside(output) as name:
        work = Path(name)
        made = work / "made"
        made.mkdir()
        source = _in_float32(run, work / "run") if config.precision != "float32" else run
        job = {"run": str(source), "format": format, "target": str(made / names[-1]), "probes": str(work / "probes")}
        found = _build_and_check(job, work / "job.json", config.backend, writer.BACKEND)
        shutil.copyfile(run / records.TOKENIZER, made / records.TOKENIZER)
        tokenizer = Tokenizer.load(run / records.TOKENIZER)
        records.write_text(made / names[0], page.text(names[-1], writer, config, label_names, tokenizer, found))
        _put(made, output.parent, work / "before", last=output.name)
    paths = [output.with_name(name) for name in names]
    return Exported(paths[2], paths[0], paths[1], format, writer.BACKEND, config, found["difference"], found["batch"])


def module(format):
    """The module of a format. InputError if there is none, or if a package that it needs is missing."""
    if format not in FORMATS:
        raise InputError(f"format must be one of {', '.join(FORMATS)}; got {format!r}{did_you_mean(format, FORMATS)}")
    found = importlib.import_module(f"kmodels.export.{format}")
    # Not find_spec of importlib.util: it denies what this process's backend refuses to import.
    missing = [name for name in found.PACKAGES if importlib.machinery.PathFinder.find_spec(name) is None]
    if missing:
        names = ", ".join(missing).replace("_", "-")
        raise InputError(f"{format} needs {names}; install what it needs: pip install 'kmodels[{found.EXTRA}]'")
    return found


def _build_and_check(job, path, own_backend, builder):
    """Writes the job's model, and compares it with the run on the backend that trained it, if that is here."""
    records.write_json(path, job)
    if own_backend != builder and backend.is_installed(own_backend):
        processes.run(path, ["logits"], own_backend)
        processes.run(path, ["write"], builder)
    else:
        processes.run(path, ["logits", "write"], builder)
    return json.loads(processes.run(path, ["check"]).splitlines()[-1])


def _check_place(output, suffix, tokenizer, overwrite):
    """Raises InputError, before any work, if a model must not be written there."""
    if not output.name or not output.parent.is_dir():
        raise InputError(f"output must be in a folder that exists; got {output}")
    if output.suffix != suffix:
        what = f"a file that ends in {suffix}" if suffix else "a folder without a suffix"
        raise InputError(f"output must be {what} for this format; got {output.name!r}")
    if output.exists() and not (output.is_file() if suffix else (output / "saved_model.pb").is_file()):
        raise InputError(f"output must not be something else than an exported model; {output} is")
    own_page, weights = output.with_name(output.name + ".md"), output.with_suffix(".bin")
    parts = [output, own_page] + ([weights] if suffix == ".xml" else [])
    there = next((path for path in parts if path.exists()), None)
    if there and not overwrite:
        raise InputError(f"{there} exists; give another --output, or --overwrite to replace it")
    if own_page.exists() and not page.is_one(own_page):
        raise InputError(f"{own_page} is no page of an exported model; give another --output")
    if there == weights:  # alone
        raise InputError(f"{weights} is of no exported model; give another --output")
    beside = output.with_name(records.TOKENIZER)
    if beside.exists() and beside.read_bytes() != tokenizer.read_bytes() and _has_others(own_page):
        raise InputError(f"{beside} belongs to another model; give another folder")


def _has_others(own_page):
    """True if a tokenizer.json beside a page is, or may be, of something else than the model of this page."""
    folder = own_page.parent
    is_a_runs = (folder / records.CONFIG).exists()  # or that of a Hugging Face folder
    others = (path for path in folder.glob("*.md") if path != own_page and page.is_one(path))
    return is_a_runs or not own_page.exists() or any(others)


def _folder_beside(output):
    """A temporary folder on the output's disk, for a `with` statement."""
    try:
        return tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent)
    except OSError as error:
        raise InputError(f"{output} can't be written: {error.strerror}") from error


def _in_float32(run, folder):
    """A copy of what a run's model needs, to be computed in float32 instead of the run's precision."""
    folder.mkdir()
    for name in (records.MODEL, records.TOKENIZER, records.WEIGHTS):
        shutil.copyfile(run / name, folder / name)
    records.write_json(folder / records.CONFIG, records.read_object(run / records.CONFIG) | {"precision": "float32"})
    return folder


def _put(made, folder, before, last):
    """Moves all in a folder to another one on the same disk.

    Args:
        made: the folder that holds it, synced here.
        folder: where it goes.
        before: a folder to be made for what was there.
        last: the name that comes last, so that what it needs is there before it.
    """
    before.mkdir()
    try:
        for path in made.rglob("*"):
            records.sync(path)
        for path in sorted(made.iterdir(), key=lambda path: path.name == last):
            target = folder / path.name
            if target.is_dir():
                os.replace(target, before / path.name)
            os.replace(path, target)
    except OSError as error:
        raise RunError(f"{folder / last} can't be written: {error.strerror}") from error
