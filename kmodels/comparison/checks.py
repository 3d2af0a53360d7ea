"""Checks of values from JSON files: each takes a value and where it stands, and gives it back as the report reads it.

A value that does not fit raises InputError, one line that says where.
"""

import json
import math
import re
from datetime import datetime

from kmodels.errors import InputError

# No measured figure is near these; beyond the one, sums and spans would overflow, and what is below the other is 0.
LARGEST, SMALLEST = 1e100, 1e-100
# What XML can't hold (control characters), and what UTF-8 can't (half a surrogate pair).
UNWRITABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def shown(value):
    """A value in an error of one line."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    return repr(text if len(text) <= 40 else text[:39] + "…")


def refuse(where, expected, value):
    got = "nothing" if value is None else shown(value)
    raise InputError(f"{where.removeprefix('.')} must be {expected}; got {got}")


def in_file(path, check, value):
    """What a check makes of the value in a file. InputError with the path; also for a number that is not finite."""
    try:
        json.dumps(value, allow_nan=False)
        return check(value, "")
    except (ValueError, RecursionError) as error:  # InputError is a ValueError
        raise InputError(f"{path}: {error}") from error


def text(value, where):
    """Text; control characters replaced."""
    if not isinstance(value, str):
        refuse(where, "text", value)
    return UNWRITABLE.sub("\ufffd", value)


def number(value, where):
    """A finite number; no bool."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= LARGEST:
        refuse(where, "a finite number", value)
    return value if abs(value) >= SMALLEST else 0


def moment(form):
    """A time in this form of strftime."""

    def check(value, where):
        try:
            datetime.strptime(text(value, where), form)
        except ValueError:
            refuse(where, f"a time, {form}", value)
        return value

    return check


def amount(value, where):
    """A number of at least 0."""
    if number(value, where) < 0:
        refuse(where, "at least 0", value)
    return value


def whole(value, where):
    """An integer of at least 0."""
    if isinstance(value, float) or amount(value, where) >= 2**53:
        refuse(where, "a whole number", value)
    return value


def fraction(value, where):
    """A number from 0 to 1."""
    if not 0 <= number(value, where) <= 1:
        refuse(where, "from 0 to 1", value)
    return value


def boolean(value, where):
    """True or False."""
    if not isinstance(value, bool):
        refuse(where, "true or false", value)
    return value


def scalar(value, where):
    """Anything a JSON file holds, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        refuse(where, "a JSON value", value)
    return text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), where)


def optional(check):
    """None, or what the check accepts."""
    return lambda value, where: None if value is None else check(value, where)


def one_of(*names):
    """One of these texts."""

    def check(value, where):
        if value not in names:
            refuse(where, f"one of {', '.join(names)}", value)
        return value

    return check


def listing(check, length=None):
    """A list of what the check accepts; None is an empty one."""

    def check_all(value, where):
        if value is None and length is None:
            return []
        if not isinstance(value, list | tuple) or length not in (None, len(value)):
            refuse(where, "a list" if length is None else f"a list of {length}", value)
        return [check(entry, f"{where}[{place}]") for place, entry in enumerate(value)]

    return check_all


def mapping(check):
    """A dict from text to what the check accepts, without its nulls; None is an empty one."""

    def check_all(value, where):
        if not isinstance(value, dict | None):
            refuse(where, "an object", value)
        entries = {text(name, where): entry for name, entry in (value or {}).items() if entry is not None}
        return {name: check(entry, f"{where}[{shown(name)}]") for name, entry in entries.items()}

    return check_all


def record(**fields):
    """A dict with these keys, each with its check; keys beside them are left out."""

    def check(value, where):
        if not isinstance(value, dict):
            refuse(where, "an object", value)
        return {name: field(value.get(name), f"{where}.{name}") for name, field in fields.items()}

    return check
