"""The command that made a result, as it is written beside it."""

import re
import sys
from pathlib import Path


def command():
    """This process's command line; paths that are given stand as PATH, for they are this machine's own."""
    flags = (re.sub(r"=[^,=]*/[^,=]*$", "=PATH", flag) if flag.startswith("--") else "RUN" for flag in sys.argv[1:])
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *flags])
