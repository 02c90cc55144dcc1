"""What a run shows of itself while it lasts: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

import click

from model.core.progress import ProgressBar
from model.train.recipe import Recipe

LINE_SECONDS: Final = 30.0
"""From one line to the next where there is no terminal."""


class Console:
    """Shows progress and sentences on stderr, validations as lines of JSON on stdout. A context manager."""

    def __init__(self, recipe: Recipe, *, shown: bool) -> None:
        self.recipe = recipe
        self.shown = shown
        self._bar = ProgressBar(recipe.name, 1.0, percent=True, hidden=not shown)
        self._first: tuple[float, float] | None = None
        self._line_at = 0.0

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def say(self, line: str) -> None:
        """A sentence."""
        if self.shown:
            click.echo(line, err=True)

    def report(self, iteration: int, told: dict[str, float]) -> None:
        """An iteration or a validation (see `model.train.logger.Report`)."""
        if "progress" not in told:
            click.echo(json.dumps({"iteration": iteration, **{name: round(value, 4) for name, value in told.items()}}))
            return
        speed = f"{told['frames_per_second']:.0f} frames/s, {told['waiting']:.0%} waiting"
        now, progress = time.monotonic(), told["progress"]
        if self._bar.visible:
            text = f"{iteration}  loss {told['loss']:.4f}  {speed}"
            self._bar.update(progress, description=text)
        elif now - self._line_at >= LINE_SECONDS:
            self._line_at = now
            self.say(
                f"iteration {iteration} ({progress:.0%}), loss {told['loss']:.4f}, {speed}{self._left(now, progress)}"
            )

    def _left(self, now: float, progress: float) -> str:
        if self._first is None:
            self._first = (now, progress)
        began, at = self._first
        if progress <= at:
            return ""
        seconds = (now - began) / (progress - at) * (1 - progress)
        return f", {timedelta(seconds=round(seconds))} left"
