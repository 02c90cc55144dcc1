"""Files whole or not at all, and lists that survive a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.core.atomic import translate_write_errors, write_atomically
from model.core.errors import InputError
from model.data.line_file import LineFile


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "archive.json"
    write_atomically(path, b"old")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="the disk is full"), translate_write_errors(tmp_path):
        write_atomically(path, b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["archive.json"]
    assert path.read_bytes() == b"old"


def test_a_truncated_last_line_is_ignored(tmp_path: Path) -> None:
    lines = LineFile(tmp_path / "list")
    assert lines.read() == []
    lines.append(["one", "two"])
    lines.path.write_bytes(lines.path.read_bytes() + b"thr")
    assert lines.read() == ["one", "two"]
    lines.append(["four"])
    assert lines.read() == ["one", "two", "four"]
    lines.path.write_bytes(b"on")
    lines.append(["one"])
    assert lines.path.read_bytes() == b"one\n"
