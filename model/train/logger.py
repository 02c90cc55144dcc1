"""What a run leaves to read: lines of JSON, TensorBoard, pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from matplotlib.image import imread
from tensorboardX import SummaryWriter
from torch import Tensor

from model.core.manifest import DataKind
from model.train.batch import Batch
from model.train.checkpoint import Run
from model.train.forecast_plots import plot_forecasts
from model.train.run_folder import ITERATIONS, LOG, PICTURES, TENSORBOARD, cut_lines, writing

Report = Callable[[int, dict[str, float]], None]
"""Hears the loss and the progress of each iteration, and the scores of each validation."""


class Log:
    """The logs of a run, to go on after what it has done; `report` hears of it all. A context manager.

    Raises
    ------
    InputError
        The logs cannot be written.
    """

    def __init__(self, out: Path, run: Run, report: Report) -> None:
        self.out = out
        self.report = report
        self._open = ExitStack()
        with writing(out):
            for name, done in ((ITERATIONS, run.iteration), (LOG, run.validated)):
                cut_lines(out / name, done)
            self._iterations = self._open.enter_context((out / ITERATIONS).open("a", encoding="utf-8"))
            self._validations = self._open.enter_context((out / LOG).open("a", encoding="utf-8"))
            self._board = SummaryWriter(str(out / TENSORBOARD), purge_step=run.iteration + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.close()
        with writing(self.out / ITERATIONS):
            self._open.close()

    def iteration(self, run: Run, told: dict[str, float]) -> None:
        """A line of an iteration."""
        self.report(run.iteration, told)
        line = {"iteration": run.iteration, "seconds": run.seconds, **told}
        with writing(self.out / ITERATIONS):
            self._iterations.write(json.dumps(line) + "\n")
            self._iterations.flush()
        for name, value in told.items():
            self._board.add_scalar(f"training/{name}", value, run.iteration)

    def validation(self, run: Run, scores: dict[str, float]) -> None:
        """A line of a validation, with the mean loss since the one before."""
        self.report(run.iteration, scores)
        loss = sum(run.losses) / len(run.losses) if run.losses else None
        line = {"iteration": run.iteration, "seconds": run.seconds, "loss": loss, **scores}
        with writing(self.out / LOG):
            self._validations.write(json.dumps(line) + "\n")
            self._validations.flush()
        for name, value in scores.items():
            self._board.add_scalar(f"validation/{name}", value, run.iteration)
        self._board.flush()

    def picture(self, run: Run, batch: Batch, forecast: Tensor, kind: DataKind) -> None:
        """A picture of a validation's first forecasts."""
        path = self.out / PICTURES / f"{run.iteration:07d}.png"
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            plot_forecasts(path, batch, forecast, kind)
        self._board.add_image("forecasts", imread(path), run.iteration, dataformats="HWC")
