"""kmodels predict: the labels of sentences, as they come."""

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from kmodels import commandline, inference, prediction, stdout
from kmodels.errors import InputError
from kmodels.prediction import answers, streaming
from kmodels.prediction.background import Background
from kmodels.settings import did_you_mean

HELP = """\
Classifies sentences as they come: a JSON line for each, in the order of the input.

    cat reviews.txt | kmodels predict RUN > labels.jsonl
    kmodels predict RUN --file=reviews.csv --top_k=3 --output=labels.jsonl
    kmodels predict RUN --file=test.tsv --glue_file=SST-2.tsv

RUN is the folder that training left, wherever it was moved. Memory stays the same however much comes, and input that
pauses is answered at once. Keys of a line:

  label                   name of the likeliest class; null if its probability is below --threshold
  probability             of the likeliest class
  probabilities           with --top_k=N only: {name: probability} of the N likeliest classes, the likeliest first
  error, line             instead of all these, where a line holds no sentence: what is wrong with it, and its number;
                          both are told on stderr as well

  --file=FILE             the sentences; default: stdin
  --format=NAME           text (a sentence a line), tsv, csv or jsonl; default: by the file's ending, else text
  --text_column=NAME      column or key of the sentence; default: sentence, text, review or content
  --top_k=N               give the probabilities of the N likeliest classes (default: 0)
  --threshold=P           give no label below this probability (default: 0)
  --output=FILE           write there, whole or not at all; default: stdout
  --glue_file=FILE        write what GLUE's server takes, whole or not at all: a header, then index<TAB>prediction, the
                          likeliest class by its number; JSON lines then only with --output; a bad line is an error
  --strict                stop at the first bad line with exit status 2; what came before it is answered
  --backend=NAME          the backend to run on, whatever it was trained on; default: KERAS_BACKEND, else the fastest
                          for this run on this device
"""
USAGE = "predict needs one run's folder: kmodels predict RUN [--file=FILE]"
FLAGS = {
    "file": "",
    "format": "",
    "text_column": "",
    "top_k": 0,
    "threshold": 0.0,
    "output": "",
    "glue_file": "",
    "strict": False,
    "backend": "",
}
BLOCKS_AHEAD = 4  # that are read before they are needed


@dataclass(frozen=True)
class _Request:
    """What the command line asks for; None where it says nothing."""

    folder: Path
    file: Path | None
    format: str
    text_column: str | None
    top_k: int
    threshold: float
    output: Path | None
    glue_file: Path | None
    strict: bool
    backend: str | None

    @property
    def name(self):
        """Of the input, for messages."""
        return str(self.file or "stdin")


def run(arguments):
    own, rest = commandline.own_flags(arguments, **FLAGS)
    if own.help:
        print(HELP, end="")
        return
    request = _request(own, rest)
    try:
        _run(request)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(commandline.INTERRUPTED) from None


def _request(own, rest):
    """The _Request of a command line. InputError where it makes no sense."""
    folder = commandline.one_folder(rest, FLAGS, USAGE)
    file, output, glue_file = (
        Path(own[name].value).expanduser() if own[name].value else None for name in ("file", "output", "glue_file")
    )
    file_format = own["format"].value or (streaming.format_of(file) if file else "text")
    if file_format not in streaming.FORMATS:
        hint = did_you_mean(file_format, streaming.FORMATS)
        raise InputError(f"format must be one of {', '.join(streaming.FORMATS)}; got {file_format!r}{hint}")
    if own.text_column and file_format == "text":
        raise InputError("text_column is for tsv, csv and jsonl; text has no columns: give --format as well")
    if own.top_k < 0:
        raise InputError(f"top_k must be at least 0; got {own.top_k}")
    if not 0 <= own.threshold <= 1:
        raise InputError(f"threshold must be from 0 to 1; got {own.threshold}")
    paths = [path.resolve() for path in (file, output, glue_file) if path]
    if len(set(paths)) < len(paths):
        raise InputError("file, output and glue_file must be different files; two are the same")
    if not output and not glue_file:
        stdout.check_open()
    return _Request(
        folder=folder,
        file=file,
        format=file_format,
        text_column=own.text_column or None,
        top_k=own.top_k,
        threshold=own.threshold,
        output=output,
        glue_file=glue_file,
        strict=own.strict or glue_file is not None,
        backend=own.backend or None,
    )


def _run(request):
    config, label_names = inference.settings_of(request.folder)
    backend_name = prediction.backend_for(config, request.backend)
    with contextlib.ExitStack() as opened:
        read = _reading(request, opened)
        writers = _writers(request, label_names, opened)
        reader = opened.enter_context(contextlib.closing(_reader(request, read)))
        if request.file:
            reader.peek()  # a file without a column to read is refused before a framework is loaded
        classifier = inference.load(request.folder, backend_name)
        num_rows = num_bad = 0
        for rows, probabilities in answers.probabilities_of(reader, classifier):
            bad = _tell_bad(rows, request)
            if bad and request.strict:
                rows = rows[: rows.index(bad[0])]
            for write in writers:
                write(rows, probabilities[: len(rows)])
            if bad and request.strict:
                raise InputError(f"{request.name}:{bad[0].line}: {bad[0].error}")
            num_rows, num_bad = num_rows + len(rows), num_bad + len(bad)
    if num_bad:
        print(f"{num_bad} of {num_rows} lines hold no sentence", file=sys.stderr)


def _tell_bad(rows, request):
    """The rows that hold no sentence, told on stderr unless the first is an error."""
    bad = [row for row in rows if row.text is None]
    if not request.strict:
        for row in bad:
            print(f"{request.name}:{row.line}: {row.error}", file=sys.stderr)
    return bad


def _reading(request, opened):
    """A function that reads some of the input's bytes, as soon as there are any."""
    if request.file is None:
        if sys.stdin is None:
            raise InputError("stdin is closed; give sentences on it, or --file=FILE")
        if sys.stdin.isatty():
            print("sentences, please, one a line; Ctrl-D ends them", file=sys.stderr)
        # The descriptor, not sys.stdin: a thread may still wait in a read when the process ends.
        descriptor = sys.stdin.fileno()
        return lambda num_bytes: os.read(descriptor, num_bytes)
    try:
        return opened.enter_context(open(request.file, "rb", buffering=0)).read
    except OSError as error:
        raise InputError(f"{request.file} can't be read: {error.strerror}") from error


def _reader(request, read):
    def produce(give):
        streaming.read_rows(read, request.format, give, request.text_column, request.name)

    return Background(produce, BLOCKS_AHEAD)


def _writers(request, label_names, opened):
    """[function of rows and their probabilities, …], one for each place to write to."""
    writers = []
    if request.output or not request.glue_file:
        file = opened.enter_context(answers.WholeFile(request.output)) if request.output else None

        def write_json(rows, probabilities):
            lines = "".join(answers.json_lines(rows, probabilities, label_names, request.top_k, request.threshold))
            _write(lines, file)

        writers.append(write_json)
    if request.glue_file:
        glue_file = opened.enter_context(answers.WholeFile(request.glue_file))
        glue_file.write(answers.GLUE_HEADER)
        num_written = 0

        def write_glue(rows, probabilities):
            nonlocal num_written
            glue_file.write("".join(answers.glue_lines(num_written, probabilities, label_names)))
            num_written += len(rows)

        writers.append(write_glue)
    return writers


def _write(lines, file):
    """Writes lines into a file, or to stdout at once."""
    if file:
        file.write(lines)
    else:
        with stdout.failures_reported():
            sys.stdout.buffer.write(lines.encode("utf-8"))
            sys.stdout.buffer.flush()
