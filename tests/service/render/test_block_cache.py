"""Blocks of results in memory: each read once, the least recently used dropped first."""

import threading
from pathlib import Path

import numpy as np
import pytest

from service.render.block_cache import Block, BlockCache, BlockKey


def key(left):
    return BlockKey(Path("f.nc"), "rain", 0, left)


def block():
    return Block(np.zeros(100, np.uint8), np.float32(1), 255)


def fails():
    raise OSError("the disk is gone")


def test_a_block_is_read_once_until_others_need_its_room():
    cache, read = BlockCache(250), []

    def get(left):
        cache.get(key(left), lambda: (read.append(left), block())[1])

    for left in (1, 2, 1, 3, 1, 2):
        get(left)
    assert read == [1, 2, 3, 2]
    assert cache.size == 200
    assert key(1) in cache
    assert key(3) not in cache


def test_a_block_that_is_larger_than_all_room_is_not_kept():
    cache = BlockCache(0)
    assert cache.get(key(1), block).packed.size == 100
    assert (cache.size, key(1) in cache) == (0, False)


def test_threads_that_want_the_same_block_wait_for_one_that_reads_it():
    cache, started, go, read = BlockCache(1000), threading.Event(), threading.Event(), []

    def slowly():
        read.append(1)
        started.set()
        go.wait()
        return block()

    threads = [threading.Thread(target=cache.get, args=(key(1), slowly)) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    go.set()
    for thread in threads:
        thread.join()
    assert (read, cache.size) == ([1], 100)


def test_an_error_is_raised_and_not_kept():
    cache = BlockCache(1000)
    with pytest.raises(OSError, match="gone"):
        cache.get(key(1), fails)
    assert cache.get(key(1), block).packed.size == 100
