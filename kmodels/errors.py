"""The ways a run can end before its end, told apart because they end with different exit statuses."""

import signal


class InputError(ValueError):
    """What the user gave can't be used: a flag, a file, a preset, a folder. Exit status 2.

    The message is one line: what was expected, what came (with file and line), and what to do.
    """


class RunError(RuntimeError):
    """A run that had started could not go on: a loss that is not finite, a full disk. Exit status 1."""


class Interrupted(KeyboardInterrupt):
    """A signal stopped a run, and its state was saved. Exit status 128 + the signal's number.

    Args:
        signal_number: signal.SIGTERM or signal.SIGINT.
        where: where the run goes on: "epoch 1, step 20".
        command: the command with which it does.
    """

    def __init__(self, signal_number, where, command="the same command again"):
        name = signal.Signals(signal_number).name
        super().__init__(f"stopped by {name}; {command} goes on from {where}")
        self.signal_number = signal_number
        self.where = where

    def without_overwrite(self):
        """The same of a run that was begun with --overwrite, which would begin it once more."""
        return Interrupted(self.signal_number, self.where, "the same command without --overwrite")


def first_line(error):
    """The first line of what an exception says."""
    return str(error).strip().partition("\n")[0]
