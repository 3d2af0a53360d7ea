"""kmodels report: the report of a folder of runs, from their records alone."""

from pathlib import Path

from kmodels import commandline, corpus, records
from kmodels.comparison import report, summary
from kmodels.config import RunConfig
from kmodels.errors import InputError


def run(arguments):
    own, rest = commandline.own_flags(arguments, title="", texts=False)
    if own.help or len(rest) != 1 or rest[0].startswith("-"):
        raise InputError("report needs one folder of runs: kmodels report FOLDER [--title=TEXT] [--texts]")
    texts = None
    if own.texts:
        configs = sorted(Path(rest[0]).glob(f"*/{records.CONFIG}"))
        texts = sentences(RunConfig.from_json(records.read_object(configs[0]))) if configs else None
    write_report(rest[0], own.title or None, None, texts)


def write_report(folder, title, command, texts):
    comparison = summary.summarize(folder, title, command, texts)
    records.write_json(Path(folder) / "comparison.json", comparison)
    report.write(comparison, folder)
    print(f"report: {Path(folder) / 'report.html'}")


def sentences(config):
    """The validation sentences of a config's data."""
    return corpus.load_dataset(config).validation.texts
