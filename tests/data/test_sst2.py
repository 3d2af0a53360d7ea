import http.server
import io
import threading
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kmodels.data import sst2
from kmodels.errors import InputError

TRAIN = 'sentence\tlabel\na warm film \t1\na "cold" one \t0\nwarm \t1\n'
VALIDATION = "sentence\tlabel\ncold \t0\nwarm and kind \t1\n"
COUNTS = {"train.tsv": (3, 2), "dev.tsv": (2, 1)}
PATH = "/SST-2.zip"


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    """Returns a zip archive's bytes, of member name → content."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


ARCHIVE = zipped({"SST-2/train.tsv": TRAIN, "SST-2/dev.tsv": VALIDATION, "SST-2/test.tsv": "index\tsentence\n"})


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.num_requests += 1
        self.send_response(server.status)
        if server.stated_bytes is not None:
            self.send_header("Content-Length", str(server.stated_bytes))
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server on the loopback interface; its attributes say what it answers."""
    monkeypatch.setenv("no_proxy", "*")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.num_requests = 0
        server.url = f"http://127.0.0.1:{server.server_port}{PATH}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        serve(server, ARCHIVE)
        yield server
        server.shutdown()
        thread.join()


def serve(server, body, status=200, stated_bytes="all"):
    server.body, server.status = body, status
    server.stated_bytes = len(body) if stated_bytes == "all" else stated_bytes


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sst2"


def write_folder(folder, train=TRAIN, validation=VALIDATION):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.tsv").write_text(train, encoding="utf-8")
    (folder / "dev.tsv").write_text(validation, encoding="utf-8")
    return folder


def message_of(call, *arguments, **options):
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def assert_download_fails(server, cache, *pieces, counts=COUNTS):
    """Asserts that a download fails in one line that says what else to do, and leaves nothing behind."""
    message = message_of(sst2.load_sst2, url=server.url, counts=counts)
    for piece in (server.url, "--data_dir", "--dataset=sample", *pieces):
        assert piece in message, message
    assert list(cache.iterdir()) == []


# Reading a folder


def test_a_folder_is_read_in_the_official_format(tmp_path):
    (train_texts, train_labels), (validation_texts, validation_labels) = sst2.load_sst2(write_folder(tmp_path))
    assert train_texts == ["a warm film", 'a "cold" one', "warm"]
    assert validation_texts == ["cold", "warm and kind"]
    assert train_labels.tolist() == [1, 0, 1] and validation_labels.tolist() == [0, 1]
    assert train_labels.dtype == validation_labels.dtype == np.int32


def test_the_official_trailing_space_makes_no_difference(tmp_path):
    official = sst2.load_sst2(write_folder(tmp_path / "official"))
    stripped = sst2.load_sst2(
        write_folder(tmp_path / "stripped", TRAIN.replace(" \t", "\t"), VALIDATION.replace(" \t", "\t"))
    )
    assert official[0][0] == stripped[0][0] and official[1][0] == stripped[1][0]


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_folder(tmp_path / "data")
    assert len(sst2.load_sst2("~/data")[0][0]) == 3


@pytest.mark.parametrize("name", sst2.FILES)
def test_a_folder_that_lacks_a_file_is_told_which(tmp_path, name):
    (write_folder(tmp_path) / name).unlink()
    message = message_of(sst2.load_sst2, tmp_path)
    for piece in (str(tmp_path), f"missing '{name}'", "sentence<TAB>label", "--data_dir", "--train_file"):
        assert piece in message


def test_a_folder_above_the_unpacked_archive_is_told_the_right_one(tmp_path):
    write_folder(tmp_path / "SST-2")
    assert f"--data_dir={tmp_path / 'SST-2'}" in message_of(sst2.load_sst2, tmp_path)


def test_a_data_dir_that_is_no_folder_is_refused(tmp_path):
    write_folder(tmp_path)
    assert "no such folder; check --data_dir" in message_of(sst2.load_sst2, tmp_path / "absent")
    assert "found a file; check --data_dir" in message_of(sst2.load_sst2, tmp_path / "train.tsv")


@pytest.mark.parametrize(
    ("validation", "line_number", "piece"),
    [
        ("sentence\tlabel\ngood\t1\ngood\t2\n", 3, "'2'"),
        ("sentence\tlabel\ngood\tpositive\n", 2, "'positive'"),
        ("index\tsentence\n0\tgood\n", 1, "'label'"),
        ("sentence\tlabel\ngood\n", 2, "2 fields"),
    ],
)
def test_a_file_in_another_format_is_refused_with_file_and_line(tmp_path, validation, line_number, piece):
    message = message_of(sst2.load_sst2, write_folder(tmp_path, validation=validation))
    assert message.startswith(f"{tmp_path / 'dev.tsv'}:{line_number}: ") and piece in message


@pytest.mark.parametrize(
    ("header", "missing"), [("index\tsentence", "label"), ("text\tlabel", "sentence"), ("id\tlabels", "sentence")]
)
@pytest.mark.parametrize("name", sst2.FILES)
def test_a_file_without_a_column_is_not_told_of_flags_that_need_other_files(tmp_path, name, header, missing):
    (write_folder(tmp_path) / name).write_text(f"{header}\n0\t1\n", encoding="utf-8")
    message = message_of(sst2.load_sst2, tmp_path)
    assert message.startswith(f"{tmp_path / name}:1: expected a column named '{missing}'")
    assert "--text_column" not in message and "--label_column" not in message
    for piece in ("train.tsv and dev.tsv", "test.tsv has no labels", "--train_file and --validation_file"):
        assert piece in message


# The cache


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"KMODELS_CACHE": "/k", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/k/sst2"),
        ({"KMODELS_CACHE": "", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/kmodels/sst2"),
        ({"KMODELS_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/kmodels/sst2"),
        ({"KMODELS_CACHE": "~/k", "HOME": "/h"}, "/h/k/sst2"),
    ],
)
def test_the_cache_folder_follows_the_environment(monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert sst2.cache_folder().as_posix() == expected


def test_a_filled_cache_is_read_without_a_download(server, cache):
    write_folder(cache)
    assert len(sst2.load_sst2(url=server.url)[0][0]) == 3
    assert server.num_requests == 0


# The download


def test_a_download_fills_the_cache_once_and_reads_like_a_folder(server, cache, tmp_path):
    first = sst2.load_sst2(url=server.url, counts=COUNTS)
    second = sst2.load_sst2(url=server.url, counts=COUNTS)
    from_folder = sst2.load_sst2(write_folder(tmp_path / "folder"))
    assert first[0][0] == second[0][0] == from_folder[0][0]
    assert first[1][1].tolist() == second[1][1].tolist() == from_folder[1][1].tolist()
    assert sorted(path.name for path in cache.iterdir()) == ["dev.tsv", "train.tsv"]
    assert server.num_requests == 1


def test_a_half_filled_cache_is_filled_anew(server, cache):
    (write_folder(cache, train="sentence\tlabel\nold\t1\n") / "dev.tsv").unlink()
    assert sst2.load_sst2(url=server.url, counts=COUNTS)[0][0][0] == "a warm film"


def test_a_server_that_states_no_length_is_good_enough(server, cache):
    serve(server, ARCHIVE, stated_bytes=None)
    assert len(sst2.load_sst2(url=server.url, counts=COUNTS)[0][0]) == 3


def test_progress_is_shown_to_a_terminal_only(server, cache, monkeypatch, capfd):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TTY_COMPATIBLE", "0")
    sst2.download(cache, server.url, COUNTS)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    sst2.download(cache, server.url, COUNTS)
    out, err = capfd.readouterr()
    assert out == "" and "SST-2" in err and "bytes" in err


def test_no_network_gives_one_line_that_says_what_else_to_do(server, cache):
    server.url = "http://127.0.0.1:1" + PATH  # nobody listens on port 1
    assert_download_fails(server, cache, "refused")


def test_a_server_that_has_no_archive_is_reported(server, cache):
    serve(server, b"gone", status=404)
    assert_download_fails(server, cache, "404")


@pytest.mark.parametrize("kept_bytes", [0, 10, len(ARCHIVE) - 1])
def test_a_truncated_transfer_is_noticed(server, cache, kept_bytes):
    serve(server, ARCHIVE[:kept_bytes], stated_bytes=len(ARCHIVE))
    # Newer versions of Python notice it themselves, as IncompleteRead.
    message = message_of(sst2.load_sst2, url=server.url, counts=COUNTS)
    assert f"ended after {kept_bytes};" in message or "IncompleteRead" in message
    assert_download_fails(server, cache)


@pytest.mark.parametrize("kept_bytes", [0, 10, len(ARCHIVE) // 2, len(ARCHIVE) - 1])
def test_a_truncated_archive_is_noticed_without_a_stated_length(server, cache, kept_bytes):
    serve(server, ARCHIVE[:kept_bytes], stated_bytes=None)
    assert_download_fails(server, cache, "whole zip archive", "try again")


def test_a_page_instead_of_an_archive_is_noticed(server, cache):
    serve(server, b"<html>please log in</html>")
    assert_download_fails(server, cache, "whole zip archive")


def test_a_compression_that_glue_does_not_use_is_refused(server, cache):
    # bz2 and lzma have errors of their own, which nobody here catches.
    serve(server, zipped({"SST-2/train.tsv": TRAIN, "SST-2/dev.tsv": VALIDATION}, zipfile.ZIP_LZMA))
    assert_download_fails(server, cache, "unusual compression")


@pytest.mark.parametrize(
    "name", ["../SST-2/train.tsv", "/SST-2/train.tsv", "SST-2/../SST-2/train.tsv", "train.tsv", "SST-2\\train.tsv"]
)
def test_a_member_by_another_name_does_not_stand_in(server, cache, name):
    serve(server, zipped({name: TRAIN, "SST-2/dev.tsv": VALIDATION}))
    assert_download_fails(server, cache, "SST-2/train.tsv")


def test_members_that_point_outside_are_never_written(server, cache, tmp_path):
    evil = {"../evil.tsv": "x", "../../evil.tsv": "x", str(tmp_path / "evil.tsv"): "x", "SST-2/../../evil.tsv": "x"}
    serve(server, zipped({**evil, "SST-2/train.tsv": TRAIN, "SST-2/dev.tsv": VALIDATION}))
    sst2.load_sst2(url=server.url, counts=COUNTS)
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["cache/sst2/dev.tsv", "cache/sst2/train.tsv"]


def test_an_archive_or_a_member_that_is_too_large_is_refused(server, cache, monkeypatch):
    monkeypatch.setattr(sst2, "MAX_MEMBER_BYTES", len(TRAIN) - 1)
    assert_download_fails(server, cache, f"at most {len(TRAIN) - 1} bytes in SST-2/train.tsv")
    monkeypatch.setattr(sst2, "MAX_ARCHIVE_BYTES", len(ARCHIVE) - 1)
    assert_download_fails(server, cache, f"at most {len(ARCHIVE) - 1} bytes")


@pytest.mark.parametrize("name", sst2.FILES)
@pytest.mark.parametrize("difference", [(1, 0), (0, 1)])
def test_wrong_counts_are_refused(server, cache, name, difference):
    expected = tuple(int(number) for number in np.add(COUNTS[name], difference))
    pieces = (f"expected {expected[0]} rows, {expected[1]} of them positive, in {name}",)
    assert_download_fails(server, cache, *pieces, counts={**COUNTS, name: expected})


def test_official_counts_are_checked_by_default(server, cache):
    with pytest.raises(InputError, match=r"expected 67349 rows, 37569 of them positive, in train.tsv, got 3 and 2"):
        sst2.load_sst2(url=server.url)


def test_a_downloaded_file_in_another_format_is_refused(server, cache):
    serve(server, zipped({"SST-2/train.tsv": "sentence\tstars\ngood\t5\n", "SST-2/dev.tsv": VALIDATION}))
    assert_download_fails(server, cache, "'stars'")


def test_a_failed_download_leaves_the_files_that_were_there(server, cache):
    (write_folder(cache) / "dev.tsv").unlink()
    serve(server, zipped({"SST-2/train.tsv": "sentence\tlabel\nother\t1\n"}))
    message_of(sst2.load_sst2, url=server.url, counts=COUNTS)
    assert (cache / "train.tsv").read_text(encoding="utf-8") == TRAIN


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("KMODELS_CACHE", str(tmp_path / "file"))
    message = message_of(sst2.load_sst2, url=server.url, counts=COUNTS)
    for piece in (str(tmp_path / "file"), "KMODELS_CACHE", "--data_dir"):
        assert piece in message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(ARCHIVE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@example([(ARCHIVE.index(b"PK\5\6") + 18, 1)])  # the directory's offset: its members then begin before the file does
def test_a_damaged_archive_gives_the_right_bytes_or_one_error(tmp_path, damages):
    damaged = bytearray(ARCHIVE)
    for position, value in damages:
        damaged[position] = value
    (tmp_path / "archive.zip").write_bytes(damaged)
    try:
        content = sst2._member(tmp_path / "archive.zip", "SST-2/train.tsv", "URL")
    except InputError as error:
        assert str(error).startswith("URL: ") and len(str(error).splitlines()) == 1
    else:
        assert content == TRAIN.encode()
