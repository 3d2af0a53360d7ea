"""What `kmodels` offers, for type checkers: there each name is loaded only when it is first used."""

from collections.abc import Iterable
from typing import Any

from kmodels import backend as backend
from kmodels import callbacks as callbacks
from kmodels import config as config
from kmodels import extensions as extensions
from kmodels import records as records
from kmodels.architectures import ARCHITECTURES as ARCHITECTURES
from kmodels.config import RunConfig as RunConfig
from kmodels.errors import InputError as InputError
from kmodels.errors import Interrupted as Interrupted
from kmodels.errors import RunError as RunError
from kmodels.evaluation import Evaluation as Evaluation
from kmodels.inference import Classifier as Classifier
from kmodels.inference import build as build
from kmodels.inference import load as load
from kmodels.records import Record as Record
from kmodels.records import read as read

__version__: str

def train(config: RunConfig | None = None, callbacks: Iterable[Any] = (), **settings: Any) -> Record: ...
