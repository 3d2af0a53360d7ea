"""Compiled programs on the disk, whole or not at all: a run may be killed as it keeps one, and another read it then."""

import os
import tempfile

from jax._src import lru_cache

_jax_put = lru_cache.LRUCache.put


def put(cache, key, value):
    """JAX's `LRUCache.put`, which writes into the file that others read.

    What is left of a program there says in every later run that it can't be read, and is compiled anew each time.

    Args:
        cache: jax._src.lru_cache.LRUCache.
        key: str.
        value: bytes.
    """
    path = cache.path / f"{key}{lru_cache._CACHE_SUFFIX}"
    if cache.eviction_enabled:  # then it has a lock, and sees to what is too large
        _jax_put(cache, key, value)
        return
    if path.exists():
        return
    with tempfile.TemporaryDirectory(dir=cache.path) as beside:
        whole = os.path.join(beside, path.name)
        with open(whole, "wb") as file:
            file.write(value)
        os.replace(whole, path)
