"""Copies of results from a bucket: bounded, kept while they are used, and swept."""

from __future__ import annotations

import asyncio
import os
import tempfile

import pytest

from service.api.results import FOLDER_PREFIX, ResultFiles
from service.locked_folder import LOCK, MIN_LEFTOVER_SECONDS
from service.store import MissingObject, ObjectStore


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def bucket():
    store = ObjectStore("memory:///")
    for name in "abc":
        store.put(f"nowcasts/{name}", name.encode() * 40)
    return store


def copies(folder):
    return {path.name for path in folder.glob(f"{FOLDER_PREFIX}*/nowcasts_*")}


def test_the_copies_used_longest_ago_go_and_those_in_use_stay(bucket, temporary):
    async def run():
        files = ResultFiles(bucket, max_bytes=50)
        async with files.held("nowcasts/a") as [path]:
            async with files.held("nowcasts/b", "nowcasts/c"):
                assert copies(temporary) == {"nowcasts_a", "nowcasts_b", "nowcasts_c"}
            assert path.read_bytes() == b"a" * 40
            assert copies(temporary) == {"nowcasts_a"}  # 40 bytes are within the budget
        assert copies(temporary) == {"nowcasts_a"}
        files.close()
        assert not list(temporary.glob(f"{FOLDER_PREFIX}*"))

    asyncio.run(run())


def test_a_crowd_has_an_object_copied_once(bucket, monkeypatch):
    fetched = []
    fetch = ObjectStore.fetch
    monkeypatch.setattr(ObjectStore, "fetch", lambda self, *args: fetched.append(args) or fetch(self, *args))

    async def use(files):
        async with files.held("nowcasts/a") as [path]:
            return path.read_bytes()

    async def run():
        files = ResultFiles(bucket, max_bytes=1000)
        assert set(await asyncio.gather(*(use(files) for _ in range(60)))) == {b"a" * 40}
        files.close()

    asyncio.run(run())
    assert len(fetched) == 1


def test_a_missing_object_is_asked_for_again(bucket):
    async def run():
        files = ResultFiles(bucket, max_bytes=1000)
        for _ in range(2):
            with pytest.raises(MissingObject):
                async with files.held("nowcasts/a", "nowcasts/none"):
                    pass
        bucket.put("nowcasts/none", b"here now")
        async with files.held("nowcasts/none") as [path]:
            assert path.read_bytes() == b"here now"
        files.close()

    asyncio.run(run())


def test_folders_of_killed_gateways_are_swept_and_those_in_use_are_not(bucket, temporary):
    left = temporary / f"{FOLDER_PREFIX}left"
    left.mkdir()
    for name in (LOCK, "nowcasts_x"):
        (left / name).write_bytes(b"x")

    async def run():
        files, others = (ResultFiles(bucket, max_bytes=1000) for _ in range(2))
        async with files.held("nowcasts/a") as [path]:
            assert left.exists()  # it may be about to be locked
            for folder in (left, path.parent):
                os.utime(folder / LOCK, (0, 0))
            async with others.held("nowcasts/a"):
                assert not left.exists()
            assert path.read_bytes() == b"a" * 40
        files.close()
        others.close()

    asyncio.run(run())
    assert not left.exists()
    assert MIN_LEFTOVER_SECONDS >= 60
