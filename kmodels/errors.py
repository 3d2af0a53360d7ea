"""The two ways a run can end badly, told apart because they end with different exit statuses."""


class InputError(ValueError):
    """What the user gave can't be used: a flag, a file, a preset, a folder. Exit status 2.

    The message is one line: what was expected, what came (with file and line), and what to do.
    """


class RunError(RuntimeError):
    """A run that had started could not go on: a loss that is not finite, a full disk. Exit status 1."""
