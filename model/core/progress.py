"""The progress bar of every command."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class ProgressBar:
    """A progress bar on stderr, shown only where stderr is a terminal. Use it as a context manager.

    Parameters
    ----------
    description
        What is counted.
    total
        The count at the end; None where it is not known yet. Without a total the bar shows the count alone.
    percent
        Show the share of `total` in percent instead of the count.
    hidden
        Show nothing on a terminal either.
    """

    def __init__(
        self, description: str, total: float | None = None, *, percent: bool = False, hidden: bool = False
    ) -> None:
        self.visible = sys.stderr.isatty() and not hidden
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn() if percent else MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
            disable=not self.visible,
        )
        self._task = self._progress.add_task(description, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """Count one more."""
        self._progress.advance(self._task)

    def update(self, completed: float, total: float | None = None, description: str | None = None) -> None:
        """Set the count; the total and the description stay where they are not given."""
        self._progress.update(self._task, completed=completed, total=total, description=description)
