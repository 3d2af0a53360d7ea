"""An archive of SST-2 gives its files and nothing else."""

import struct
import tracemalloc

import pytest

from kmodels.data import sst2
from tests.hostile import attacks
from tests.hostile.checks import refused

TSV = "sentence\tlabel\ngood \t1\nbad \t0\n"
COUNTS = {"train.tsv": (2, 1), "dev.tsv": (2, 1)}


def test_a_link_in_an_archive_is_never_one_on_the_disk(tmp_path, monkeypatch):
    (tmp_path / "secret.tsv").write_text(TSV)
    folder = tmp_path / "cache"
    members = attacks.zip_link("SST-2/train.tsv", str(tmp_path / "secret.tsv")) | {"SST-2/dev.tsv": TSV}
    monkeypatch.setattr(sst2, "_fetch", lambda url, path: attacks.write_archive(path, members))
    refused(lambda: sst2.download(folder, counts=COUNTS), "--data_dir")
    assert list(folder.iterdir()) == []
    members = {**attacks.zip_link("SST-2", str(tmp_path)), "SST-2/train.tsv": TSV, "SST-2/dev.tsv": TSV}
    members |= {"../evil": "x", "/evil": "x", str(tmp_path / "evil"): "x"}
    sst2.download(folder, counts=COUNTS)
    assert {path.name for path in folder.rglob("*")} == {"train.tsv", "dev.tsv"}
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"secret.tsv", "cache"}


@pytest.mark.parametrize("declared", [8 * sst2.MAX_MEMBER_BYTES, 100])
def test_a_bomb_in_an_archive_does_not_fill_the_memory_whatever_size_it_declares(declared, tmp_path):
    real = 8 * sst2.MAX_MEMBER_BYTES
    path = attacks.write_archive(tmp_path / "bomb.zip", {"SST-2/train.tsv": bytes(real)})
    assert path.stat().st_size < 2**18
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", real), struct.pack("<I", declared)))
    tracemalloc.start()
    try:
        refused(lambda: sst2._member(path, "SST-2/train.tsv", "URL"), "URL")
        assert tracemalloc.get_traced_memory()[1] < 4 * sst2.MAX_MEMBER_BYTES
    finally:
        tracemalloc.stop()
