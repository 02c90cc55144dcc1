"""Progress on the console: a bar on a terminal, otherwise a line now and then."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Final

import click

from model.core.progress import ProgressBar

LINE_SECONDS: Final = 30.0
"""Seconds between two lines of progress where stderr is not a terminal."""


class ConsoleProgress:
    """Prints progress on stderr, by a bar on a terminal, and scores of validations as lines of JSON on stdout."""

    def __init__(self, bar: ProgressBar, *, visible: bool) -> None:
        self.visible = visible
        self._bar = bar
        self._first: tuple[float, float] | None = None
        self._line_time = 0.0

    def notify(self, sentence: str) -> None:
        """Print a sentence for the user."""
        if self.visible:
            click.echo(sentence, err=True)

    def on_progress(self, iteration: int, figures: dict[str, float]) -> None:
        """Print an iteration or a validation (see `model.train.callbacks.ProgressCallback`)."""
        if "progress" not in figures:
            scores = {name: round(value, 4) for name, value in figures.items()}
            click.echo(json.dumps({"iteration": iteration, **scores}))
            return
        speed = f"{figures['frames_per_second']:.0f} frames/s, {figures['waiting']:.0%} waiting"
        now, progress, loss = time.monotonic(), figures["progress"], f"loss {figures['loss']:.4f}"
        if self._bar.visible:
            self._bar.update(progress, description=f"{iteration}  {loss}  {speed}")
        elif now - self._line_time >= LINE_SECONDS:
            self._line_time = now
            self.notify(f"iteration {iteration} ({progress:.0%}), {loss}, {speed}{self._time_left(now, progress)}")

    def _time_left(self, now: float, progress: float) -> str:
        if self._first is None:
            self._first = (now, progress)
        start, progress_at_start = self._first
        if progress <= progress_at_start:
            return ""
        seconds = (now - start) / (progress - progress_at_start) * (1 - progress)
        return f", {timedelta(seconds=round(seconds))} left"
