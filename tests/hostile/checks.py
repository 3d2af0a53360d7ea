"""What every test of hostile data looks at: one line where it is refused, little memory, files as they were."""

import contextlib
import tracemalloc

import psutil
import pytest

from kmodels.errors import InputError

READS = {"bert": "wordpiece", "roberta": "byte_level_bpe"}
FORMATS = [(kind, format) for kind in READS for format in ("keras", "hugging_face")]
MODELS = ("textcnn", "bert_base_pool")


def refused(call, *parts):
    """Asserts that a call raises InputError, in one line with these parts and without signs that a terminal obeys."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert message.isprintable() and len(message) < 1500, message
    for part in parts:
        assert str(part) in message, message


def attempt(call):
    """What a call gives, or None where it raises InputError in one line."""
    try:
        return call()
    except InputError as error:
        assert str(error).isprintable(), error
        return None


@contextlib.contextmanager
def little_memory():
    """Lets the process take 512 MiB more and no more, and NumPy's arrays 16 MiB."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    tracemalloc.start()
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 2**29, hard))
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        tracemalloc.stop()


@contextlib.contextmanager
def kept(path):
    """Gives a file, or its absence, back as it was."""
    good = path.read_bytes() if path.exists() else None
    yield path
    path.unlink() if good is None else path.write_bytes(good)


def load(folder, kind):
    """(tokenizer, encoder) of a preset's folder."""
    from kmodels.models import presets

    tokenizer = presets.load_tokenizer(str(folder), READS[kind])
    return tokenizer, presets.load_backbone(str(folder), READS[kind], dropout=0.1)
