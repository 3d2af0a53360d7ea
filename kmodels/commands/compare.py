"""kmodels compare: a grid of runs, one process each, and a report."""

import shlex
import signal
import sys
from datetime import timedelta
from pathlib import Path

from kmodels import backend, commandline, extensions, records, run_folder
from kmodels.commands import report
from kmodels.comparison import grid, runner
from kmodels.config import BACKENDS
from kmodels.data.batching import MOST_COMPILED
from kmodels.errors import InputError, Interrupted, RunError

HELP = """\
Trains every model on every backend with every seed, one fresh process after another, and writes a report.

    kmodels compare --models=textcnn,bilstm --backends=jax,tensorflow,torch --seeds=1,2,3 --output_dir=FOLDER

A finished run is not made again, an unfinished one goes on, a failed one does not stop the others: the report is
written, and the exit status is 1. A folder that holds runs of other settings is refused before the first run. Every
setting of `kmodels train` may be given for all runs; --precision is float32 and --num_buckets 12 unless they are given.

  --models=NAME,NAME,…    which classifiers (default: textcnn,bilstm)
  --backends=NAME,…       which backends (default: all that are installed)
  --seeds=N,N,…           a run for each (default: 1,2,3)
  --jobs=N                runs at a time, each with its share of the cores (default: 1); of a cluster, on each node
  --cluster=ADDRESS       of a Ray cluster that makes the runs: auto, HOST:PORT or ray://HOST:10001
  --order_seed=N          decides the order of the runs (default: 0)
  --title=TEXT            of the report
  --texts                 show validation sentences in the report where models disagree
  --output_dir=FOLDER     where everything goes
"""


def run(arguments):
    own, rest = commandline.own_flags(
        arguments, models="textcnn,bilstm", backends="", seeds="1,2,3", title="", jobs=1, order_seed=0, texts=False
    )
    if own.help:
        print(HELP, end="")
        return
    given = commandline.given(["kmodels compare", *rest])
    folder, cluster = given.pop("output_dir", None), given.pop("cluster", None)
    if folder is None:
        raise InputError("compare needs --output_dir, a folder for the runs and the report; got none")
    if own.jobs < 1:
        raise InputError(f"jobs must be at least 1; got {own.jobs}")
    cells = _cells(own, folder, _shared_settings(given))
    for cell in cells:
        run_folder.look_into(cell.config.resolved(cell.config.backend))
    texts = report.sentences(cells[0].config) if own.texts else None
    outcomes = runner.run(cells, folder, own.jobs, _Progress(cells, own.jobs).tell, cluster)
    said = [*extensions.flags(), *arguments]
    command = shlex.join(["kmodels", "compare", *(" ".join(flag.splitlines()) for flag in said)])
    report.write_report(folder, own.title or None, command, texts)
    _check_all_finished(outcomes, cells, Path(folder) / runner.LOGS)


def _cells(own, folder, settings):
    """The grid's runs, in their order: [kmodels.comparison.grid.Cell, …]."""
    backends = own.backends.split(",") if own.backends else [name for name in BACKENDS if backend.is_installed(name)]
    seeds = [_whole(seed) for seed in own.seeds.split(",")]
    return grid.cells(own.models.split(","), backends, seeds, folder, settings, own.order_seed)


def _check_all_finished(outcomes, cells, logs):
    """Raises Interrupted if runs were stopped or not begun, else RunError if some failed."""
    statuses = [outcome.status for outcome in outcomes]
    if len(outcomes) < len(cells) or runner.UNFINISHED in statuses:
        finished = statuses.count(runner.FINISHED)
        stop = Interrupted(signal.SIGINT, f"{finished} of {len(cells)} runs finished")
        raise stop.without_overwrite() if cells[0].config.overwrite else stop
    if runner.FAILED in statuses:
        raise RunError(f"{statuses.count(runner.FAILED)} of {len(cells)} runs failed; see {logs}")


def _shared_settings(given):
    """{name: value} of what was given for all runs, and what makes a comparison a fair one."""
    for name, flag in (("model", "models"), ("backend", "backends"), ("seed", "seeds")):
        if name in given:
            raise InputError(f"compare takes --{flag}, not --{name}")
    fair = {"precision": "float32", "num_buckets": MOST_COMPILED}  # what backends have defaults of their own for
    return fair | {"save_predictions": True, "measure_peak": True} | given


def _whole(text):
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"seeds must be whole numbers with commas between them; got {text!r}") from error


class _Progress:
    """A line for each run that ended, with the time that is left: as long as runs like the rest have taken so far."""

    def __init__(self, cells, jobs):
        self.left = {cell.name: (cell.config.model, cell.config.backend) for cell in cells}
        self.num_runs = len(cells)
        self.jobs = jobs
        self.before = {cell.name for cell in cells if (cell.folder / records.METRICS).is_file()}
        self.made = []

    def tell(self, outcome):
        del self.left[outcome.name]
        made_before = outcome.name in self.before
        if not made_before:
            self.made.append(outcome)
        how = f": {outcome.error}" if outcome.error else " before" if made_before else f" in {outcome.seconds:.0f} s"
        number = self.num_runs - len(self.left)
        line = f"{number} of {self.num_runs}, {outcome.name} {outcome.status}{how}{self._time_left()}"
        print(line, file=sys.stderr, flush=True)

    def _time_left(self):
        seconds = [self._expected(*kind) for name, kind in self.left.items() if name not in self.before]
        if not seconds or None in seconds:
            return ""
        return f"; about {timedelta(seconds=round(sum(seconds) / min(self.jobs, len(seconds))))} left"

    def _expected(self, model, backend):
        """Seconds that a run of these takes: those of its model on its backend, else of its model, else of any."""
        finished = [made for made in self.made if made.status == runner.FINISHED]
        of_model = [made for made in finished if made.model == model]
        alike = [made for made in of_model if made.backend == backend] or of_model or finished
        return sum(made.seconds for made in alike) / len(alike) if alike else None
