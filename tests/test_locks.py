"""One process at a time in a run's folder: on one host, between hosts, and where the kernel locks no folders."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from kmodels import locks
from kmodels.errors import InputError

# A process that tries each folder it is given as soon as the file go beside it is there, and answers a line. It
# leaves a folder at the next line. With "fallback" it runs where the kernel locks no folders, with "child" it has a
# child process, with "die" it is killed in the middle of taking over.
PROCESS = """
import errno, fcntl, os, signal, subprocess, sys
from kmodels import locks
from kmodels.errors import InputError

def refuse(*_):
    raise OSError(errno.ENOLCK, "No locks available")

if "fallback" in sys.argv:
    fcntl.flock = refuse
if "die" in sys.argv:
    os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
for line in sys.stdin:
    while not os.path.exists(line.strip() + ".go"):
        pass
    try:
        with locks.hold(line.strip(), 0.05, 5):
            if "child" in sys.argv:
                # Even with every descriptor that may be inherited.
                child = subprocess.Popen(["sleep", "60"], close_fds=False, stdin=subprocess.DEVNULL)
                print(child.pid, flush=True)
            print("in", flush=True)
            sys.stdin.readline()
    except InputError as error:
        print(error, flush=True)
        sys.stdin.readline()
    print("out", flush=True)
"""


class Process(subprocess.Popen):
    """PROCESS, asked and answering by lines."""

    def __init__(self, *arguments):
        root = Path(__file__).parent.parent
        command = [sys.executable, "-c", PROCESS, *arguments]
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)

    def tell(self, line=""):
        print(line, file=self.stdin, flush=True)

    def answer(self):
        return self.stdout.readline().strip()

    def enter(self, folder):
        """Makes it try a folder now, and returns what it says."""
        Path(f"{folder}.go").touch()
        self.tell(folder)
        return self.answer()


@pytest.fixture
def start():
    """Starts a Process that does not outlive the test."""
    processes = []

    def start(*arguments):
        processes.append(Process(*arguments))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.fixture
def fallback(monkeypatch):
    """A file system whose folders have no locks."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.fixture(params=["kernel", "fallback"])
def either_way(request):
    """Both kinds of file system in turn; its value is the argument that gives a Process the same kind."""
    if request.param == "fallback":
        request.getfixturevalue("fallback")
    return request.param


def write_lock(folder, **changes):
    """A lock file that this living process could have made, but for the changes."""
    values = {
        "host": locks._host(),
        "pid": os.getpid(),
        "process_start": psutil.Process().create_time(),
        "since": "2026-01-01T10:00:00Z",
    }
    (folder / locks.LOCK).write_text(json.dumps(values | changes))


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@contextmanager
def beating(path, seconds=0.05):
    """Touches a file as its holder on another host would."""
    stop = threading.Event()

    def beat():
        while not stop.wait(seconds):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def is_free(folder):
    """Nothing of a lock is left, and the folder can be held."""
    left = list(folder.iterdir())
    with locks.hold(folder):
        return not left


def assert_refused(folder):
    with pytest.raises(InputError, match="in use by"), locks.hold(folder, 0.05, 0.3):
        pass


def assert_taken_over(folder):
    with locks.hold(folder, 0.05, 0.3):
        assert json.loads((folder / locks.LOCK).read_text())["pid"] == os.getpid()
    assert is_free(folder)


def test_lock_file_says_who_holds_and_goes_at_the_end(folder, either_way):
    with locks.hold(folder):
        values = json.loads((folder / ".lock").read_text())
        assert values["host"] == locks._host()
        assert values["pid"] == os.getpid()
        assert values["process_start"] == psutil.Process().create_time()
        assert time.strptime(values["since"], "%Y-%m-%dT%H:%M:%SZ")
        assert [path.name for path in folder.iterdir()] == [".lock"]
    assert is_free(folder)


def test_lock_goes_with_an_exception_which_passes_unchanged(folder, either_way):
    with pytest.raises(OSError, match="the run failed"), locks.hold(folder):
        raise OSError("the run failed")
    assert is_free(folder)


def test_second_process_is_refused_in_one_line_that_names_the_first(folder, either_way, start):
    first, second = start(either_way), start(either_way)
    assert first.enter(folder) == "in"
    since = json.loads((folder / locks.LOCK).read_text())["since"]
    assert second.enter(folder) == (
        f"{folder} is in use by process {first.pid} on host {locks._host()} since {since}; "
        "wait for it, or give another --output_dir"
    )
    first.tell()
    assert first.answer() == "out"
    second.tell()
    assert second.answer() == "out"
    assert second.enter(folder) == "in"


def test_message_is_one_line_that_names_the_other_hosts_process(folder):
    write_lock(folder, host="alpha", pid=4711)
    with beating(folder / locks.LOCK), pytest.raises(InputError) as error, locks.hold(folder, 0.05, 5):
        pass
    assert str(error.value) == (
        f"{folder} is in use by process 4711 on host alpha since 2026-01-01T10:00:00Z; "
        "wait for it, or give another --output_dir"
    )


def test_folder_of_a_killed_process_is_free_at_once(folder, either_way, start):
    process = start(either_way)
    assert process.enter(folder) == "in"
    process.kill()
    process.wait()
    assert (folder / locks.LOCK).exists()
    begin = time.monotonic()
    with locks.hold(folder):
        assert time.monotonic() - begin < 1  # and not after 30 s
    assert is_free(folder)


def test_killed_process_that_nobody_waited_for_is_dead(folder, fallback, start):
    process = start("fallback")
    assert process.enter(folder) == "in"
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert_taken_over(folder)


def test_living_child_of_a_killed_process_holds_nothing(folder, start):
    process = start("child")
    child = psutil.Process(int(process.enter(folder)))
    try:
        assert process.answer() == "in"
        process.kill()
        process.wait()
        with locks.hold(folder):
            assert child.is_running() and child.status() != psutil.STATUS_ZOMBIE
    finally:
        child.kill()


@pytest.mark.parametrize("leftover", [False, True], ids=["empty folder", "leftover of a dead process"])
def test_of_eight_processes_at_once_exactly_one_gets_in(tmp_path, leftover, either_way, start):
    processes = [start(either_way) for _ in range(8)]
    pid = dead_pid()
    for number in range(12):
        folder = tmp_path / str(number)
        folder.mkdir()
        if leftover:
            write_lock(folder, pid=pid)
        for process in processes:
            process.tell(folder)
        Path(f"{folder}.go").touch()
        answers = [process.answer() for process in processes]
        winner = answers.index("in")
        refused = answers[:winner] + answers[winner + 1 :]
        assert all(f"{folder} is in use by process " in line for line in refused)
        for process in processes:
            process.tell()
        assert {process.answer() for process in processes} == {"out"}
        assert is_free(folder)


def test_holding_twice_is_refused_and_the_first_hold_stays(folder, either_way):
    with locks.hold(folder):
        text = (folder / locks.LOCK).read_text()
        assert_refused(folder)
        with ThreadPoolExecutor(1) as executor:
            executor.submit(assert_refused, folder).result()
        assert (folder / locks.LOCK).read_text() == text
        assert_refused(folder)


def test_two_folders_can_be_held(tmp_path, folder, either_way):
    with locks.hold(folder), locks.hold(tmp_path):
        assert (folder / locks.LOCK).exists() and (tmp_path / locks.LOCK).exists()


def test_kernels_word_counts_more_than_a_living_process_number(folder):
    write_lock(folder)
    assert_taken_over(folder)


def test_without_kernel_locks_a_living_process_is_refused(folder, fallback):
    write_lock(folder)
    assert_refused(folder)
    assert (folder / locks.LOCK).exists()


def test_without_kernel_locks_a_dead_process_is_taken_over(folder, fallback):
    write_lock(folder, pid=dead_pid())
    assert_taken_over(folder)


def test_without_kernel_locks_a_reused_process_number_is_taken_over(folder, fallback):
    write_lock(folder, process_start=psutil.Process().create_time() - 100)
    assert_taken_over(folder)


def test_beating_other_host_is_refused_long_before_it_could_be_dead(folder, either_way, capfd):
    write_lock(folder, host="alpha")
    begin = time.monotonic()
    with beating(folder / locks.LOCK), pytest.raises(InputError, match="on host alpha"), locks.hold(folder, 0.05, 10):
        pass
    assert time.monotonic() - begin < 5
    assert "waiting up to 10 s to see whether it still lives\n" in capfd.readouterr().err


def test_silent_other_host_is_taken_over_after_its_time_and_not_before(folder, either_way, capfd):
    write_lock(folder, host="alpha", pid=4711)
    begin = time.monotonic()
    with locks.hold(folder, 0.05, 0.3):
        assert time.monotonic() - begin >= 0.3
    assert capfd.readouterr().err == (
        f"{folder} was taken by process 4711 on host alpha since 2026-01-01T10:00:00Z; "
        "waiting up to 0.3 s to see whether it still lives\n"
    )
    assert is_free(folder)


@pytest.mark.parametrize("hours", [-5, 5])
def test_another_hosts_clock_does_not_matter(folder, hours):
    write_lock(folder, host="alpha")
    os.utime(folder / locks.LOCK, times=(time.time() + hours * 3600,) * 2)
    assert_taken_over(folder)


def test_folder_that_the_other_host_leaves_meanwhile_is_free_at_once(folder, either_way):
    write_lock(folder, host="alpha")
    threading.Timer(0.2, (folder / locks.LOCK).unlink).start()
    begin = time.monotonic()
    with locks.hold(folder, 0.05, 10):
        assert time.monotonic() - begin < 5


def test_holder_beats_so_that_another_host_is_refused(folder, monkeypatch):
    with locks.hold(folder, 0.05):
        monkeypatch.setattr(locks, "_host", lambda: "beta")
        monkeypatch.setattr(fcntl, "flock", lambda *_: None)  # a lock that does not reach over hosts
        with pytest.raises(InputError, match=f"process {os.getpid()} on host"), locks.hold(folder, 0.05, 5):
            pass


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[1]", '"x"', "{}", '{"host": 1, "pid": "x"}', "\0", "\xff"], ids=repr
)
def test_damaged_lock_file_is_nobodys(folder, text, either_way, monkeypatch):
    monkeypatch.setattr(locks, "GRACE_SECONDS", 0.1)
    (folder / locks.LOCK).write_bytes(text.encode("latin-1"))
    assert_taken_over(folder)


def test_damaged_lock_file_in_a_folder_that_the_kernel_locked_is_not_watched(folder, capfd):
    (folder / locks.LOCK).touch()
    begin = time.monotonic()
    with locks.hold(folder, 0.05, 10):
        assert time.monotonic() - begin < 5
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("changes", [{"pid": -1}, {"pid": "4711"}, {"since": None}, {"more": 1}], ids=str)
def test_lock_file_with_impossible_values_is_damaged(folder, changes, either_way, monkeypatch):
    monkeypatch.setattr(locks, "GRACE_SECONDS", 0.1)
    write_lock(folder, **changes)
    assert_taken_over(folder)


def test_lock_file_that_is_only_half_written_is_waited_for(folder, either_way):
    path = folder / locks.LOCK
    path.write_text("{")
    threading.Timer(0.1, write_lock, [folder], {"host": "alpha"}).start()
    with beating(path), pytest.raises(InputError, match="on host alpha"), locks.hold(folder, 0.05, 5):
        pass


def test_process_killed_while_it_takes_over_bars_nobody(folder, either_way, start):
    write_lock(folder, pid=dead_pid())
    for _ in range(3):
        process = start(either_way, "die")
        assert process.enter(folder) == ""
        process.wait()
    assert len(list(folder.iterdir())) == 4  # of the first dead process, and of those that died taking over
    with locks.hold(folder):
        assert [path.name for path in folder.iterdir()] == [locks.LOCK]
    assert is_free(folder)


def test_second_taker_leaves_the_first_takers_lock_alone(folder, fallback, monkeypatch):
    """The first takes over between the second's look at the dead file and its removing it."""
    write_lock(folder, pid=dead_pid())
    is_running, first = locks._is_running, locks.hold(folder)

    def look_slowly(owner):
        answer = is_running(owner)
        monkeypatch.setattr(locks, "_is_running", is_running)
        first.__enter__()
        return answer

    monkeypatch.setattr(locks, "_is_running", look_slowly)
    assert_refused(folder)
    assert (folder / locks.LOCK).exists()
    first.__exit__(None, None, None)
    assert is_free(folder)


def test_lock_file_that_someone_deleted_is_not_made_again(folder, either_way):
    with locks.hold(folder, 0.02):
        (folder / locks.LOCK).unlink()
        time.sleep(0.1)
        assert "heartbeat" in [thread.name for thread in threading.enumerate()]
        assert not (folder / locks.LOCK).exists()
    assert is_free(folder)


def test_holder_that_was_taken_over_neither_touches_nor_removes_the_new_lock(folder):
    with locks.hold(folder, 0.02):
        write_lock(folder, host="beta")
        time.sleep(0.05)
        there = locks._read(folder / locks.LOCK)
        time.sleep(0.1)
    assert locks._read(folder / locks.LOCK) == there


def test_heart_stops_at_once_at_the_end_and_keeps_no_process_alive(folder):
    with locks.hold(folder):
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "heartbeat"]
        assert thread.daemon
        begin = time.monotonic()
    assert time.monotonic() - begin < 1  # and not after a beat of 10 s
    assert not thread.is_alive()


def test_folder_that_cannot_be_written_is_refused_in_one_line(folder, either_way, monkeypatch):
    def refuse(path, *arguments, **options):
        if Path(path).parent == folder:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, *arguments, **options)

    real = open
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputError) as error, locks.hold(folder):
        pass
    assert str(error.value) == f"{folder} can't be locked: Permission denied"


def test_missing_folder_is_refused_in_one_line(folder, either_way):
    with pytest.raises(InputError) as error, locks.hold(folder / "none"):
        pass
    assert str(error.value) == f"{folder / 'none'} can't be locked: No such file or directory"


def test_no_descriptor_stays_open(folder, either_way):
    before = psutil.Process().num_fds()
    with locks.hold(folder):
        for _ in range(3):
            assert_refused(folder)
    assert psutil.Process().num_fds() == before
