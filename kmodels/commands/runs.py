"""kmodels runs: the runs of a folder as a table."""

import json

from kmodels import commandline
from kmodels.comparison import table
from kmodels.errors import InputError


def run(arguments):
    own, rest = commandline.own_flags(arguments, sort="name", json=False)
    if own.help or len(rest) > 1 or any(argument.startswith("-") for argument in rest):
        raise InputError("runs needs a folder: kmodels runs FOLDER [--sort=COLUMN] [--json]")
    rows = table.rows(rest[0] if rest else "results/runs", own.sort)
    print(json.dumps(rows, indent=2) if own.json else table.text(rows))
