"""kmodels runs: the runs of a folder as a table."""

import json

from kmodels import commandline, stdout
from kmodels.comparison import table

HELP = f"""\
Lists the runs in a folder, at any depth, finished or not.

    kmodels runs FOLDER --sort=accuracy

  --sort=COLUMN           one of {", ".join(table.COLUMNS)};
                          figures fall, names and seeds rise (default: name)
  --json                  JSON instead of a table; what is not known yet is null

Without FOLDER: results/runs.
"""
USAGE = "runs needs one folder: kmodels runs FOLDER [--sort=COLUMN] [--json]"
FLAGS = {"sort": "name", "json": False}


def run(arguments):
    own, rest = commandline.own_flags(arguments, **FLAGS)
    if own.help:
        print(HELP, end="")
        return
    stdout.check_open()
    rows = table.rows(commandline.one_folder(rest or ["results/runs"], FLAGS, USAGE), own.sort)
    print(json.dumps(rows, indent=2) if own.json else table.text(rows))
