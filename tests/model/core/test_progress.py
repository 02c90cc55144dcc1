from __future__ import annotations

import io

import pytest

from model.core.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal, True), (io.StringIO, False)], ids=["terminal", "pipe"])
def test_a_bar_is_shown_on_a_terminal_only(stream, shown, monkeypatch, capsys) -> None:
    stderr = stream()
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    with ProgressBar("frames", 3) as progress:
        progress.advance()
        progress.update(3, description="pixels")
    assert ("pixels" in stderr.getvalue()) == shown
    assert ("3/3" in stderr.getvalue()) == shown
    assert capsys.readouterr().out == ""
