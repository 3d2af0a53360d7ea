"""kmodels serve: a trained model behind HTTP, with a page to try sentences on."""

import dataclasses
import importlib.util

import numpy as np

from kmodels import commandline, inference, prediction
from kmodels.data.tokenizers import TokenizedTexts
from kmodels.errors import InputError
from kmodels.prediction.shapes import FixedShapes
from kmodels.serving.limits import Limits, help_lines

PACKAGES = ("starlette", "uvicorn", "prometheus_client")
HELP = f"""\
Serves a trained model: a page to try sentences on at /, and POST /v1/predict (docs/serving.md).

    kmodels serve RUN --port=8080

SIGTERM and SIGINT end it after what is in flight is answered, with exit status 0; a second one ends it at once.

  --port=N                the TCP port, 0 for a free one, which is printed (default: 8080)
  --host=ADDRESS          the address to listen on; 0.0.0.0 for all (default: 127.0.0.1, this machine only)
  --backend=NAME          the backend to run on, whatever it was trained on (default: KERAS_BACKEND, else the fastest
                          for this run on this device)
{help_lines()}
"""
USAGE = "serve needs one run's folder: kmodels serve RUN [--port=N]"


def run(arguments):
    of_limits = {field.name: field.default for field in dataclasses.fields(Limits)}
    flags = {"host": "127.0.0.1", "port": 8080, "backend": "", **of_limits}
    own, rest = commandline.own_flags(arguments, **flags)
    if own.help:
        print(HELP, end="")
        return
    folder = commandline.one_folder(rest, flags, USAGE)
    limits = Limits(**{name: own[name].value for name in of_limits})
    missing = [name.replace("_", "-") for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"serve needs {', '.join(missing)}; install what it needs: pip install 'kmodels[serve]'")
    from kmodels.serving import server  # here, because it is there only with the extra

    server.run(
        lambda: load(folder, own.backend or None),
        lambda classifier: warm_up(classifier.predictor, limits.max_batch),
        folder.resolve().name,
        own.host,
        own.port,
        limits,
    )


def load(folder, backend_name):
    """The classifier of a run, on the backend that is asked for or the fastest one. InputError as of inference.load."""
    config, _ = inference.settings_of(folder)
    return inference.load(folder, prediction.backend_for(config, backend_name))


def warm_up(predictor, max_batch):
    """Computes what else the first requests would wait for: each shape that is compiled, once.

    Args:
        predictor: kmodels.prediction.Predictor.
        max_batch: most sentences that it will be given at once.
    """
    for rows, length in _shapes(predictor, max_batch):
        ids = np.zeros(rows * length, np.int32)
        predictor.probabilities(TokenizedTexts(ids, np.arange(rows + 1) * length))


def _shapes(predictor, max_batch):
    """The (rows, length) of batches that at most so many sentences can need; one of them where none is compiled."""
    shapes = predictor._shapes
    if not isinstance(shapes, FixedShapes):
        return [(1, 1)]
    return shapes.needed(max_batch)
