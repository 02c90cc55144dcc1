from __future__ import annotations

from pathlib import Path

import pytest

from model.core.atomic import atomic_file, atomic_path, remove_leftovers


def test_an_error_while_writing_leaves_the_old_file_and_no_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "forecast.nc"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="no rain"), atomic_path(path) as part:
        _fail_halfway(part)
    assert [each.name for each in tmp_path.iterdir()] == ["forecast.nc"]
    assert path.read_bytes() == b"old"


def _fail_halfway(part: Path) -> None:
    part.write_bytes(b"half")
    raise ValueError("no rain")


def test_the_replaced_file_becomes_the_backup(tmp_path: Path) -> None:
    path, backup = tmp_path / "last.pt", tmp_path / "previous.pt"
    for content in (b"1", b"2", b"3"):
        with atomic_file(path, backup=backup) as file:
            file.write(content)
    assert (path.read_bytes(), backup.read_bytes()) == (b"3", b"2")


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_exists_by_then_stays_where_overwriting_is_off(tmp_path, monkeypatch, has_links) -> None:
    def no_links(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    if not has_links:
        monkeypatch.setattr("os.link", no_links)
    path = tmp_path / "forecast.nc"
    with atomic_file(path, overwrite=False) as file:
        file.write(b"first")
    with pytest.raises(FileExistsError), atomic_file(path, overwrite=False) as file:
        file.write(b"second")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("forecast.nc", b"first")]


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    for name in (".a[1].nc.0123456789ab.part", ".other.nc.0123456789ab.part"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a[1].nc")
    assert [each.name for each in tmp_path.iterdir()] == [".other.nc.0123456789ab.part"]
