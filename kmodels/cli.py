"""kmodels COMMAND: everything from a terminal."""

import json
import sys
from pathlib import Path

from absl import flags

from kmodels import commandline
from kmodels.config import BACKENDS, RunConfig
from kmodels.errors import InputError, Interrupted
from kmodels.settings import did_you_mean

_HELP = """\
Sentence classifiers in Keras 3 on JAX, TensorFlow or PyTorch, measured.

    kmodels train --model=textcnn --dataset=sample        train one; kmodels train --help lists every setting
    kmodels compare --models=textcnn,bilstm --backends=jax,torch --seeds=1,2,3 --output_dir=FOLDER
                                                          train a grid, each run a process, and report
    kmodels report FOLDER                                 the report again, from the records alone
    kmodels runs FOLDER                                   the runs in a folder as a table (--sort=COLUMN, --json)
"""
_COMPARE = """\
Trains every model on every backend with every seed, one fresh process after another, and writes a report.

    kmodels compare --models=textcnn,bilstm --backends=jax,tensorflow,torch --seeds=1,2,3 --output_dir=FOLDER

A finished run is not made again, an unfinished one goes on, a failed one does not stop the others. Every setting of
`kmodels train` may be given for all runs; --precision is float32 unless it is given.

  --models=NAME,NAME,…    which classifiers (default: textcnn,bilstm)
  --backends=NAME,…       which backends (default: all that are installed)
  --seeds=N,N,…           a run for each (default: 1,2,3)
  --jobs=N                runs at a time, each with its share of the cores (default: 1)
  --order_seed=N          decides the order of the runs (default: 0)
  --title=TEXT            of the report
  --texts                 show validation sentences in the report where models disagree
  --output_dir=FOLDER     where everything goes
"""


def main(argv=None):
    """The program. Returns its exit status."""
    argv = sys.argv if argv is None else argv
    name, rest = (argv[1], argv[2:]) if len(argv) > 1 else ("help", [])
    if name == "train":
        return commandline.run(_train, ["kmodels train", *rest])
    return commandline.exit_status(lambda: _command(name, rest))


def _command(name, arguments):
    commands = {"compare": _compare, "report": _report, "runs": _runs}
    if name in ("help", "--help", "-h"):
        print(_HELP, end="")
    elif name in commands:
        commands[name](arguments)
    else:
        raise InputError(f"unknown command {name!r}{did_you_mean(name, ['train', *commands])}; see kmodels help")


def _train(config):
    from kmodels.training import train

    print(train(config))


def _compare(arguments):
    from kmodels import backend
    from kmodels.comparison import grid, runner

    own, rest = _parsed(
        arguments, models="textcnn,bilstm", backends="", seeds="1,2,3", title="", jobs=1, order_seed=0, texts=False
    )
    if own.help:
        print(_COMPARE, end="")
        return
    config = commandline.parse(["kmodels compare", *rest])
    if config.output_dir is None:
        raise InputError("compare needs --output_dir, a folder for the runs and the report; got none")
    if own.jobs < 1:
        raise InputError(f"jobs must be at least 1; got {own.jobs}")
    cells = grid.cells(
        own.models.split(","),
        own.backends.split(",") if own.backends else [name for name in BACKENDS if backend.is_installed(name)],
        [_whole(seed) for seed in own.seeds.split(",")],
        config.output_dir,
        _shared_settings(config),
        own.order_seed,
    )
    outcomes = runner.run(cells, config.output_dir, own.jobs, _Progress(len(cells)).tell)
    command = " ".join(["kmodels compare", *arguments])
    _write_report(config.output_dir, own.title or None, command, _sentences(config) if own.texts else None)
    if len(outcomes) < len(cells) or any(outcome.status == runner.UNFINISHED for outcome in outcomes):
        raise Interrupted(
            2, f"{sum(each.status == runner.FINISHED for each in outcomes)} of {len(cells)} runs finished"
        )


def _report(arguments):
    own, rest = _parsed(arguments, title="", texts=False)
    if own.help or len(rest) != 1 or rest[0].startswith("-"):
        raise InputError("report needs one folder of runs: kmodels report FOLDER [--title=TEXT] [--texts]")
    texts = None
    if own.texts:
        from kmodels import records

        configs = sorted(Path(rest[0]).glob(f"*/{records.CONFIG}"))
        texts = _sentences(RunConfig.from_json(records.read_object(configs[0]))) if configs else None
    _write_report(rest[0], own.title or None, None, texts)


def _runs(arguments):
    from kmodels.comparison import table

    own, rest = _parsed(arguments, sort="name", json=False)
    if own.help or len(rest) > 1 or any(argument.startswith("-") for argument in rest):
        raise InputError("runs needs a folder: kmodels runs FOLDER [--sort=COLUMN] [--json]")
    rows = table.rows(rest[0] if rest else "results/runs", own.sort)
    print(json.dumps(rows, indent=2) if own.json else table.text(rows))


def _write_report(folder, title, command, texts):
    from kmodels import records
    from kmodels.comparison import report, summary

    comparison = summary.summarize(folder, title, command, texts)
    records.write_json(Path(folder) / "comparison.json", comparison)
    report.write(comparison, folder)
    print(f"report: {Path(folder) / 'report.html'}")


def _shared_settings(config):
    """{name: value} of what was given for all runs, and what makes a comparison a fair one."""
    default, given = RunConfig(), {}
    for name, value in vars(config).items():
        if value != getattr(default, name):
            given[name] = value
    for name, flag in (("model", "models"), ("backend", "backends"), ("seed", "seeds")):
        if name in given:
            raise InputError(f"compare takes --{flag}, not --{name}")
    given.pop("output_dir", None)
    return {"precision": "float32", "save_predictions": True, "measure_peak": True} | given


def _sentences(config):
    """The validation sentences of a config's data."""
    from kmodels import corpus

    return corpus.load_dataset(config).validation.texts


def _parsed(arguments, **defaults):
    """(values of a command's own flags, the arguments that are none of them)."""
    values = flags.FlagValues()
    flags.DEFINE_bool("help", False, "", short_name="h", flag_values=values)
    define: dict = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, str: flags.DEFINE_string}
    for name, default in defaults.items():
        define[type(default)](name, default, "", flag_values=values)
    try:
        rest = values(["kmodels", *arguments], known_only=True)[1:]
    except (flags.Error, ValueError) as error:
        raise InputError(str(error)) from error
    return values, rest


def _whole(text):
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"seeds must be whole numbers with commas between them; got {text!r}") from error


class _Progress:
    """A line for each run that ended, with the time that is left if the rest takes as long."""

    def __init__(self, num_runs):
        import time

        self.num_runs = num_runs
        self.start = time.monotonic()
        self.clock = time.monotonic
        self.ended = 0

    def tell(self, outcome):
        from datetime import timedelta

        self.ended += 1
        left = (self.clock() - self.start) / self.ended * (self.num_runs - self.ended)
        what = f": {outcome.error}" if outcome.error else f" in {outcome.seconds:.0f} s"
        print(
            f"{self.ended} of {self.num_runs}, {outcome.name} {outcome.status}{what}; "
            f"about {timedelta(seconds=round(left))} left",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
