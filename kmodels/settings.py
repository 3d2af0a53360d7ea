"""A setting as a dataclass field: its help, the values it takes, and one line for a value that it does not take."""

import dataclasses
import difflib
import math
import types
import typing

from kmodels.errors import InputError


def setting(default, group, help, *, choices=None, least=None, most=None, above=None, below=None):
    """A field of RunConfig: its default, the group of `--help` it stands in, its help, and what values it takes.

    Args:
        default: the value where nothing is given.
        group: heading in `--help`.
        help: one or two lines for a person.
        choices: the only values allowed, if few.
        least, most: bounds that are themselves allowed.
        above, below: bounds that are not.
    """
    bounds = {"least": least, "most": most, "above": above, "below": below}
    return dataclasses.field(default=default, metadata={"group": group, "help": help, "choices": choices} | bounds)


def did_you_mean(name, names):
    """ "; did you mean 'x'?" with the nearest of names, or "" where none is near."""
    near = difflib.get_close_matches(str(name), names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def value_type(field):
    """The type of a field's value: str, bool, int, float or tuple; what `X | None` allows besides None."""
    kinds = typing.get_args(field.type) if isinstance(field.type, types.UnionType) else (field.type,)
    kind = next(kind for kind in kinds if kind is not types.NoneType)
    return tuple if typing.get_origin(kind) is tuple else kind


def _is_optional(field):
    return types.NoneType in typing.get_args(field.type)


def coerced(field, value):
    """Ints for floats, lists for tuples: what JSON and people write for the same thing."""
    kind = value_type(field)
    if value == "" and _is_optional(field):  # --data_dir= on a command line takes a flag file's value back
        return None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # `check` refuses it in words
            return math.inf if value > 0 else -math.inf
    if kind is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    return value


def check(field, value):
    """Raises InputError unless value has the field's type and lies within its bounds."""
    if value is None and _is_optional(field):
        return
    kind = value_type(field)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{field.name} must be {_type_name(kind)}; got {value!r}")
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise InputError(
            f"{field.name} must be one of {', '.join(choices)}; got {value!r}{did_you_mean(value, choices)}"
        )
    if kind is tuple and not value:
        raise InputError(f"{field.name} must name at least one number; got none")
    for number in value if kind is tuple else [value]:
        _check_bounds(field, number)


def _type_name(kind):
    return {str: "text", bool: "true or false", int: "a whole number", float: "a number", tuple: "whole numbers"}[kind]


def _check_bounds(field, number):
    bounds = field.metadata
    if isinstance(number, float) and not math.isfinite(number):
        raise InputError(f"{field.name} must be a finite number; got {number!r}")
    if value_type(field) is tuple and (not isinstance(number, int) or isinstance(number, bool)):
        raise InputError(f"{field.name} must be whole numbers; got {number!r}")
    for word, bound, holds in (
        ("at least", bounds["least"], lambda: number >= bounds["least"]),
        ("at most", bounds["most"], lambda: number <= bounds["most"]),
        ("more than", bounds["above"], lambda: number > bounds["above"]),
        ("less than", bounds["below"], lambda: number < bounds["below"]),
    ):
        if bound is not None and not holds():
            raise InputError(f"{field.name} must be {word} {bound}; got {number!r}")
