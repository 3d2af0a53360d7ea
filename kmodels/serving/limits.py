"""How much one client may ask of a server, and how long anything may take."""

import dataclasses
from dataclasses import dataclass

from kmodels import settings
from kmodels.errors import InputError
from kmodels.settings import setting


@dataclass(frozen=True)
class Limits:
    """The bounds of a server. InputError for a value that can't be one."""

    batch_wait_ms: float = setting(
        2.0, "", "how long a sentence waits for others to share its batch", least=0, most=1000
    )
    max_batch: int = setting(128, "", "most sentences that the model is given at once", least=1)
    max_queue: int = setting(4096, "", "most sentences that wait; beyond it requests get 503", least=1)
    max_sentences: int = setting(256, "", "most sentences of a request", least=1)
    max_characters: int = setting(10_000, "", "most characters of a sentence", least=1)
    max_body_bytes: int = setting(2**20, "", "most bytes of a request's body", least=1)
    max_connections: int = setting(512, "", "most connections at a time; beyond it requests get 503", least=1)
    receive_seconds: float = setting(10.0, "", "how long a client may take to send a request", above=0)
    send_seconds: float = setting(10.0, "", "how long a client may take to read an answer", above=0)
    answer_seconds: float = setting(60.0, "", "how long a request may wait for its answer", above=0)
    stop_seconds: int = setting(30, "", "how long a server that was told to stop goes on answering", least=1)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            settings.check(field, getattr(self, field.name))
        if self.max_sentences > self.max_queue:
            raise InputError(
                f"max_sentences must be at most max_queue, {self.max_queue}, or a whole request never fits; "
                f"got {self.max_sentences}"
            )


def help_lines():
    """A line of `--help` for each limit."""
    lines = []
    for field in dataclasses.fields(Limits):
        flag = f"--{field.name}={'X' if field.type is float else 'N'}"
        lines.append(f"  {flag:<24}{field.metadata['help']} (default: {field.default:g})")
    return "\n".join(lines).replace("1.04858e+06", "1048576")
