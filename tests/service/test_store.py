"""The object store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.store import MissingObject, ObjectStore, job_prefix, result_key, upload_key


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """A local folder, and a store without a folder, like a bucket."""
    return ObjectStore((tmp_path / "a store").as_uri() if request.param == "folder" else "memory:///")


def test_an_object_is_read_back(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"from a file")
    assert store.put("a/b", b"bytes")
    assert store.put("a/c", tmp_path / "file")
    assert store.get("a/b") == b"bytes"
    assert store.fetch("a/c", tmp_path / "copy").read_bytes() == b"from a file"
    assert store.exists("a/b")


def test_only_a_folder_has_files(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path.as_uri())
    store.put("a/b", b"bytes")
    assert store.folder is not None
    assert (store.folder / "a/b").read_bytes() == b"bytes"
    assert ObjectStore("memory:///").folder is None


def test_one_of_many_writers_is_first(store: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lambda n: store.put("x", str(n).encode(), if_absent=True), range(20)))
    assert sum(first) == 1
    assert store.get("x") == str(first.index(True)).encode()


def test_an_absent_object_raises_missing_object(store: ObjectStore, tmp_path: Path) -> None:
    for ask in (store.get, lambda key: store.fetch(key, tmp_path / "copy")):
        with pytest.raises(MissingObject, match="no/such"):
            ask("no/such")
    assert not store.exists("no/such")


def test_a_jobs_objects_are_deleted_together(store: ObjectStore) -> None:
    for key in (upload_key("1", 0), upload_key("1", 1), result_key("1"), result_key("12")):
        store.put(key, b"x")
    store.delete_prefix(job_prefix("1"))
    assert not store.exists(result_key("1"))
    assert not store.exists(upload_key("1", 1))
    assert store.exists(result_key("12"))
    store.delete_prefix(job_prefix("1"))


def test_processes_may_delete_the_same_objects(store: ObjectStore) -> None:
    for number in range(200):
        store.put(upload_key("1", number), b"x")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(store.delete_prefix, [job_prefix("1")] * 4))
    assert [*store.list(job_prefix("1"))] == []
    store.delete(upload_key("1", 0))


def test_health_leaves_nothing_behind(store: ObjectStore, tmp_path: Path) -> None:
    store.check()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
