"""kmodels report: the report of a folder of runs, from their records alone."""

import contextlib
from pathlib import Path

from kmodels import commandline, corpus, records
from kmodels.comparison import report, schema, summary
from kmodels.config import RunConfig
from kmodels.errors import InputError

HELP = """\
Writes the report of a folder of runs from their records alone: report.html, RESULTS.md, comparison.json and plots/.

    kmodels report FOLDER

  --title=TEXT            of the report
  --texts                 show validation sentences in the report where models disagree
"""
USAGE = "report needs one folder of runs: kmodels report FOLDER [--title=TEXT] [--texts]"
FLAGS = {"title": "", "texts": False}
COMPARISON = "comparison.json"


def run(arguments):
    own, rest = commandline.own_flags(arguments, **FLAGS)
    if own.help:
        print(HELP, end="")
        return
    folder = commandline.one_folder(rest, FLAGS, USAGE)
    texts = None
    if own.texts:
        configs = sorted(folder.glob(f"*/{records.CONFIG}"))
        texts = sentences(RunConfig.from_json(records.read_object(configs[0]))) if configs else None
    write_report(folder, own.title or None, None, texts)


def write_report(folder, title, command, texts):
    """Writes comparison.json and the report.

    Without a title, that of the report that is there stays; so do the commands it names, before this one.
    """
    path = Path(folder) / COMPARISON
    before = {"title": None, "command": None}
    if path.is_file():
        with contextlib.suppress(InputError):  # it is made anew
            before = schema.read(path)
    commands = [*(before["command"] or "").splitlines(), *([command] if command else [])]
    comparison = summary.summarize(folder, title or before["title"], "\n".join(dict.fromkeys(commands)) or None, texts)
    records.write_json(path, comparison)
    report.write(comparison, folder)
    print(f"report: {Path(folder) / report.PAGE}")


def sentences(config):
    """The validation sentences of a config's data: [(sentence, name of its label), …]."""
    dataset = corpus.load_dataset(config)
    labels = [dataset.label_names[label] for label in dataset.validation.labels]
    return list(zip(dataset.validation.texts, labels))
