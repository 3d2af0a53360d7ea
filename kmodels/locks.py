"""One process at a time in a run's folder."""

import hashlib
import json
import os
import socket
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psutil

from kmodels.errors import InputError

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"
MISSING = (b"", None)
# How long a process may take from its first step in a folder to a whole lock file.
GRACE_SECONDS = 0.5


@dataclass(frozen=True)
class Owner:
    """What a lock file says; process_start is in seconds since 1970, since is in UTC."""

    host: str
    pid: int
    process_start: float
    since: str

    def __str__(self):
        return f"process {self.pid} on host {self.host} since {self.since}"


@contextmanager
def hold(folder, beat_seconds=10.0, dead_after_seconds=30.0):
    """Keeps every other process, of this host and of others, out of a folder.

    On one host the kernel decides: it locks the folder itself, and frees it however the process ends. Where it can't
    (Windows, most network file systems), the process that the file .lock names lives or does not. Between hosts the
    heartbeat decides: the holder touches .lock, and who finds it watches whether it is touched.

    Args:
        folder: a folder that exists; while it is held, it has the file .lock.
        beat_seconds: how often the holder touches .lock.
        dead_after_seconds: another host's holder is dead if it has not touched .lock for so long.

    Raises:
        InputError: the folder is held, by another process or by this one, or .lock can't be written.
    """
    path = Path(folder) / LOCK
    with ExitStack() as stack:
        try:
            descriptor = _lock_by_kernel(folder)
            if descriptor is not None:
                stack.callback(os.close, descriptor)
            is_alive = partial(_is_alive, descriptor is not None, beat_seconds, dead_after_seconds)
            text = _own_text()
            stack.enter_context(_lock_file(path, text, is_alive))
        except BlockingIOError:
            raise _refusal(path, _living_owner(path)) from None
        except OSError as error:
            raise InputError(f"{folder} can't be locked: {error.strerror}") from error
        stack.enter_context(_heartbeat(path, text, beat_seconds))
        yield


def _lock_by_kernel(folder):
    """The descriptor of a folder, locked until it is closed, or None where folders have no locks.

    Raises:
        BlockingIOError: it is locked already.
    """
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY)  # no child process inherits it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _own_text():
    since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return json.dumps(asdict(Owner(_host(), os.getpid(), psutil.Process().create_time(), since))).encode()


@contextmanager
def _lock_file(path, text, is_alive):
    """Has a lock file that only one process can have.

    Raises:
        InputError: one that lives has it.
    """
    while not (_create(path, text) or _take_over(path, text, is_alive)):
        pass
    try:
        yield
    finally:
        with suppress(OSError):  # what stays behind is a dead process's
            if _read(path)[0] == text:
                path.unlink()


def _take_over(path, text, is_alive):
    """Puts text in the place of a dead process's; False if the file has changed or gone meanwhile."""
    found = _read_until(path, lambda found: found == MISSING or _parse(found) is not None, GRACE_SECONDS)
    if found == MISSING:
        return False
    if is_alive(path, found):
        raise _refusal(path, _parse(_read(path)) or _parse(found))
    # Only who has the lock file named after the dead one puts it in that one's place. Else a second process that saw
    # the dead one would put its own, a moment later, in the place of the first one's.
    successor = path.with_name(f"{path.name}.{hashlib.sha256(repr(found).encode()).hexdigest()[:12]}")
    with _lock_file(successor, text, is_alive):
        if _read(path) != found:
            return False
        os.replace(successor, path)
    return True


def _create(path, text):
    """Writes a new file; False if there is one already."""
    try:
        # Not whole at once, by a link to a file beside it: many mounted drives have no links.
        with open(path, "xb", buffering=0) as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _read(path):
    """A lock file's bytes and when it was last touched, or MISSING."""
    try:
        # Opened each time: a network file system asks its server then, and may answer a bare stat from memory.
        with open(path, "rb") as file:
            return file.read(), os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return MISSING


def _read_until(path, is_enough, seconds, step=0.01):
    """`_read`, again and again, until it is enough or the seconds are over."""
    end = time.monotonic() + seconds
    while not is_enough(found := _read(path)) and time.monotonic() < end:
        time.sleep(step)
    return found


def _parse(found):
    """The Owner in a lock file, or None if it is damaged or not yet whole."""
    try:
        owner = Owner(**json.loads(found[0]))
    except (TypeError, ValueError):
        return None
    types = {name: type(value) for name, value in asdict(owner).items()}
    return owner if types == Owner.__annotations__ and owner.pid > 0 else None


def _refusal(path, owner):
    holder = owner or "another process"
    return InputError(f"{path.parent} is in use by {holder}; wait for it, or give another --output_dir")


def _is_alive(kernel_decides, beat_seconds, dead_after_seconds, path, found):
    """True if the process that made a lock file lives."""
    owner = _parse(found)
    if kernel_decides and (owner is None or owner.host == _host()):
        return False
    if owner is not None and owner.host == _host():
        return _is_running(owner)
    holder = f"{path.parent} was taken by {owner or 'another process'}"
    print(f"{holder}; waiting up to {dead_after_seconds:g} s to see whether it still lives", file=sys.stderr)
    # The clocks of two hosts are not compared: any change is a sign of life.
    now = _read_until(path, lambda now: now != found, dead_after_seconds, min(beat_seconds, 1))
    return now not in (found, MISSING)


def _is_running(owner):
    """True if this host runs the owner, and not a later process that was given its number."""
    try:
        process = psutil.Process(owner.pid)
        is_same = abs(process.create_time() - owner.process_start) <= 1
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _living_owner(path):
    """The Owner of a folder that the kernel has locked, or None if it makes no lock file in time."""

    def is_alive(found):
        owner = _parse(found)
        return owner is not None and (owner.host != _host() or _is_running(owner))

    found = _read_until(path, is_alive, GRACE_SECONDS)
    return _parse(found) if is_alive(found) else None


@contextmanager
def _heartbeat(path, text, beat_seconds):
    """Touches a lock file from a thread, so long as it is ours."""
    stop = threading.Event()

    def beat():
        while not stop.wait(beat_seconds):
            with suppress(OSError):  # a network that fails for a moment is there at the next beat
                if _read(path)[0] == text:
                    os.utime(path)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _host():
    return socket.gethostname()
