"""The command line: RunConfig's settings as flags, a grouped --help, one line for what is wrong."""

import contextlib
import dataclasses
import errno
import importlib.metadata
import os
import re
import sys
from pathlib import Path

from absl import flags

from kmodels import backend, extensions, stdout
from kmodels.architectures import ARCHITECTURES
from kmodels.config import RunConfig
from kmodels.errors import InputError, Interrupted, RunError
from kmodels.settings import did_you_mean, value_type
from kmodels.workers import launch

# The exit statuses of a wrong call or input, of a failed run, and of a run that was interrupted (128 + SIGINT).
WRONG_INPUT = 2
FAILED_RUN = 1
INTERRUPTED = 130

_DEFINE: dict = {
    str: flags.DEFINE_string,
    tuple: flags.DEFINE_string,
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
}
_USAGE = """\
Trains a sentence classifier.

    python train.py --model=textcnn --dataset=sample
    python train.py --backend=jax --model=textcnn --data_dir=FOLDER
    KERAS_BACKEND=torch python train.py --model=roberta_pool
    python train.py --flagfile=flags/bert_base_lstm.flags --epochs=1
"""


def parse(argv):
    """RunConfig from a command line.

    Args:
        argv: [program, flag, …].

    Returns:
        The config, or None where --help was asked for.

    Raises:
        InputError: a flag is unknown, or its value is not possible.
    """
    values = _parsed(argv)
    if values.help:
        return None
    fields = dataclasses.fields(RunConfig)
    return RunConfig.from_settings(**{field.name: _typed(field, values[field.name].value) for field in fields})


def given(argv):
    """{name: value} of the settings that a command line gives, be it their defaults; for whichever model they may be.

    Arguments and errors as of `parse`, but for what only a model can tell: whether it has such a setting.
    """
    values = _parsed(argv)
    fields = [field for field in dataclasses.fields(RunConfig) if values[field.name].present]
    return {field.name: _typed(field, values[field.name].value) for field in fields}


def _parsed(argv):
    """absl.flags.FlagValues of a command line. InputError as of `parse`."""
    values = _flag_values()
    argv = [_found_flag_file(argument) for argument in argv]
    try:
        # known_only: absl's own search for the flag nearest to an unknown one is a recursion too deep for a long name
        rest = values(argv, known_only=True)[1:]
    except UnicodeDecodeError as error:
        raise InputError(f"a flag file must be UTF-8 text; {error}") from error
    except (flags.Error, ValueError) as error:  # ValueError: --nooverwrite=x, a NUL in a flag file's name
        raise InputError(_on_one_line(_in_our_words(str(error)))) from error
    if rest:
        raise InputError(_on_one_line(_refusal(rest[0])))
    return values


def help_text():
    """What --help prints: usage, the classifiers, and every setting under its group."""
    lines = [_USAGE, "Models", *(f"  {name:<18}{each.summary}" for name, each in ARCHITECTURES.items())]
    group = None
    for field in dataclasses.fields(RunConfig):
        if field.metadata["group"] != group:
            group = field.metadata["group"]
            lines += ["", group]
        lines += _flag_help(field)
    lines += ["", "  --flagfile=FILE", "      read flags from a file, one a line; flags after it win"]
    lines += ["  --extension=FILE.py", "      load architectures and datasets of your own (docs/extending.md)"]
    return "\n".join(lines) + "\n"


def run(main, argv):
    """Calls main(config) for a command line, and says in one line what went wrong.

    Args:
        main: function of a RunConfig.
        argv: [program, flag, …].

    Returns:
        The process's exit status.
    """

    def call():
        config = parse(extensions.load_named(argv))
        if config is None:
            print(help_text(), end="")
        else:
            main(config)

    return exit_status(call)


def train(config):
    """Trains as a config says, and shows the record; in one of several workers, the process that started it does."""
    from kmodels import training

    record = training.train(config)
    if record and not launch.is_launched():
        print(record)


def own_flags(arguments, **defaults):
    """The flags of a command of its own.

    Args:
        arguments: [flag or other argument, …], without the program.
        defaults: default of each flag by name; its type is the flag's: bool, int, float or str.

    Returns:
        (absl.flags.FlagValues, the arguments that are none of these); `values.help` tells whether help is asked for.

    Raises:
        InputError: a flag's value is not possible.
    """
    values = flags.FlagValues()
    flags.DEFINE_bool("help", False, "", short_name="h", flag_values=values)
    for name, default in defaults.items():
        _DEFINE[type(default)](name, default, "", flag_values=values)
    try:
        rest = values(["kmodels", *arguments], known_only=True)[1:]
    except (flags.Error, ValueError) as error:
        raise InputError(_on_one_line(str(error))) from error
    return values, rest


def one_folder(rest, flag_names, usage):
    """The one argument of a command that is no flag, as `own_flags` gave the rest.

    Args:
        rest: [argument, …].
        flag_names: the command's flags, for a hint at the one that may have been meant.
        usage: what is said if there is not one argument.

    Returns:
        pathlib.Path.

    Raises:
        InputError: an unknown flag, or not one argument.
    """
    for argument in rest:
        if argument.startswith("-"):
            raise InputError(_on_one_line(_unknown_flag(argument, [*flag_names, "help"])))
    if len(rest) != 1:
        raise InputError(f"{usage}; got {len(rest) or 'none'}")
    return Path(rest[0]).expanduser()


def exit_status(call):
    """Calls a function without arguments, and says in one line what went wrong. Returns the process's exit status."""
    backend.run_as_command()
    try:
        with stdout.watched():
            call()
    except BrokenPipeError:
        if not stdout.has_lost_its_reader():
            raise
    except InputError as error:
        return _say(error, WRONG_INPUT)
    except RunError as error:
        return _say(error, FAILED_RUN)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return _say(f"no file or folder can have so long a name: {error.filename!s:.80}…", WRONG_INPUT)
    except Interrupted as stop:
        if not launch.say_reason(str(stop)):
            print(stop, file=sys.stderr)
        return 128 + stop.signal_number
    except KeyboardInterrupt:
        return _say("interrupted; the best weights so far stay in the run's folder", INTERRUPTED)
    return 0


def _say(message, status):
    message = _on_one_line(message)
    if not launch.say_reason(message):  # else the process that started this worker says it
        print(f"error: {message}", file=sys.stderr)
    return status


def _on_one_line(message):
    return " ".join(str(message).split())


def _found_flag_file(argument):
    """--flagfile=flags/NAME.flags, or only NAME, means the installed one of that name where there is no such file."""
    flag, _, value = argument.partition("=")
    if flag not in ("--flagfile", "-flagfile") or not value or os.path.isfile(value):
        return argument
    name = Path(value).name.removesuffix(".flags") + ".flags"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("kmodels") or ():
            if file.name == name and os.path.isfile(path := str(file.locate())):
                return f"{flag}={path}"
    path = str(Path(__file__).parent.parent / "flags" / name)  # of a checkout
    return f"{flag}={path}" if os.path.isfile(path) else argument


def _flag_values():
    """Flags of their own, not absl's global ones, so that importing this changes nothing."""
    values = flags.FlagValues()
    flags.DEFINE_bool("help", False, "show this help", short_name="h", flag_values=values)
    for field in dataclasses.fields(RunConfig):
        define = _DEFINE[value_type(field)]
        define(field.name, _shown(field.default), field.metadata["help"], flag_values=values)
    return values


def _typed(field, value):
    """A flag's value as RunConfig has it; only lists are still text."""
    if value_type(field) is not tuple or value is None:
        return value
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise InputError(f"{field.name} must be whole numbers with commas between them; got {value!r}") from error


def _shown(value):
    """A setting as a command line has it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _flag_help(field):
    """The two or more lines of one flag."""
    kind = {str: "TEXT", bool: "", int: "N", float: "X", tuple: "N,N,…"}[value_type(field)]
    choices = field.metadata["choices"]
    value = "|".join(choices) if choices else kind
    head = f"  --{field.name}" + (f"={value}" if value else "")
    shown = "" if field.default in (None, False) else f" (default: {_shown(field.default)})"
    return [head, f"      {field.metadata['help']}{shown}"]


def _refusal(argument):
    """What is wrong with an argument that is no flag of ours."""
    if argument.startswith("-") and argument.strip("-"):
        return _unknown_flag(argument, [field.name for field in dataclasses.fields(RunConfig)] + ["flagfile", "help"])
    return f"every setting is a flag, --name=value; got {argument!r}"


def _unknown_flag(argument, names):
    name = argument.lstrip("-").partition("=")[0]
    hint = did_you_mean(name, names).replace("'", "").replace("did you mean ", "did you mean --")
    return f"unknown flag --{name}{hint}"


def _in_our_words(message):
    """absl's message about a value of the wrong type, in the words of RunConfig's own checks."""
    match = re.match(r"flag --(\w+)=(.*?): (.*)", message, re.DOTALL)
    if not match:
        return message
    name, value, reason = match.groups()
    kinds = {int: "a whole number", float: "a number", bool: "true or false"}
    fields = {field.name: field for field in dataclasses.fields(RunConfig)}
    kind = kinds.get(value_type(fields[name])) if name in fields else None
    return f"{name} must be {kind}; got {value!r}" if kind else f"--{name}={value}: {reason}"
