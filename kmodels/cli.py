"""kmodels COMMAND: everything from a terminal."""

import importlib
import sys

import kmodels
from kmodels import commandline, extensions
from kmodels.errors import InputError
from kmodels.settings import did_you_mean

_HELP = """\
Sentence classifiers in Keras 3 on JAX, TensorFlow or PyTorch, measured.

    kmodels train --model=textcnn --dataset=sample        train one; kmodels train --help lists every setting
    kmodels compare --models=textcnn,bilstm --backends=jax,torch --seeds=1,2,3 --output_dir=FOLDER
                                                          train a grid, each run a process, and report
    kmodels report FOLDER                                 the report again, from the records alone
    kmodels runs FOLDER                                   the runs in a folder as a table (--sort=COLUMN, --json)
    kmodels predict RUN < reviews.txt                     the labels of sentences, as they come
    kmodels evaluate RUN --file=dev.tsv                   how good a trained model is on labelled sentences
    kmodels serve RUN --port=8080                         a page to try sentences on, and POST /v1/predict
    kmodels export RUN --format=onnx --output=model.onnx  the model for another runtime, checked against the run
"""
COMMANDS = ("compare", "report", "runs", "predict", "evaluate", "serve", "export")


def main(argv=None):
    """The program. Returns its exit status."""
    argv = sys.argv if argv is None else argv
    name, rest = (argv[1], argv[2:]) if len(argv) > 1 else ("help", [])
    if name == "train":
        return commandline.run(commandline.train, ["kmodels train", *rest])
    return commandline.exit_status(lambda: _command(name, rest))


def _command(name, arguments):
    if name in ("help", "--help", "-h"):
        print(_HELP, end="")
    elif name in ("version", "--version"):
        print(f"kmodels {kmodels.__version__}")
    elif name in COMMANDS:
        importlib.import_module(f"kmodels.commands.{name}").run(extensions.load_named(arguments))
    else:
        raise InputError(f"unknown command {name!r}{did_you_mean(name, ['train', *COMMANDS])}; see kmodels help")


if __name__ == "__main__":
    sys.exit(main())
