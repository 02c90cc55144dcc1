"""The logger of a run: lines of JSON, TensorBoard and plots of forecasts."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from matplotlib.image import imread
from tensorboardX import SummaryWriter
from torch import Tensor

from model.core.manifest import DataKind
from model.train.batch import Batch
from model.train.callbacks import ProgressCallback
from model.train.forecast_plots import plot_forecasts
from model.train.run_folder import ITERATIONS, LOG, PICTURES, TENSORBOARD, cut_lines, writing
from model.train.state import TrainingState


class TrainingLogger:
    """Appends to the logs of a run, and calls a progress callback with each line.

    Lines after the state's iteration are deleted first: they are of iterations that a resumed run computes again.

    Parameters
    ----------
    out : Path
        Folder of the run.
    state : TrainingState
        The state that the run starts or resumes from.
    on_progress : ProgressCallback
        Called with each line.

    Raises
    ------
    InputError
        The logs cannot be written.
    """

    def __init__(self, out: Path, state: TrainingState, on_progress: ProgressCallback) -> None:
        self.out = out
        self.on_progress = on_progress
        self._files = ExitStack()
        with writing(out):
            for name, last in ((ITERATIONS, state.iteration), (LOG, state.last_validation)):
                cut_lines(out / name, last)
            self._iterations = self._files.enter_context((out / ITERATIONS).open("a", encoding="utf-8"))
            self._validations = self._files.enter_context((out / LOG).open("a", encoding="utf-8"))
            self._tensorboard = SummaryWriter(str(out / TENSORBOARD), purge_step=state.iteration + 1)

    def close(self) -> None:
        """Close the files."""
        self._tensorboard.close()
        with writing(self.out / ITERATIONS):
            self._files.close()

    def log_iteration(self, state: TrainingState, figures: dict[str, float]) -> None:
        """Log the figures of an iteration."""
        self.on_progress(state.iteration, figures)
        line = {"iteration": state.iteration, "seconds": state.seconds, **figures}
        with writing(self.out / ITERATIONS):
            self._iterations.write(json.dumps(line) + "\n")
            self._iterations.flush()
        for name, value in figures.items():
            self._tensorboard.add_scalar(f"training/{name}", value, state.iteration)

    def log_validation(self, state: TrainingState, scores: dict[str, float]) -> None:
        """Log the scores of a validation, and the mean loss since the one before."""
        self.on_progress(state.iteration, scores)
        loss = sum(state.losses) / len(state.losses) if state.losses else None
        line = {"iteration": state.iteration, "seconds": state.seconds, "loss": loss, **scores}
        with writing(self.out / LOG):
            self._validations.write(json.dumps(line) + "\n")
            self._validations.flush()
        for name, value in scores.items():
            self._tensorboard.add_scalar(f"validation/{name}", value, state.iteration)
        self._tensorboard.flush()

    def log_forecasts(self, state: TrainingState, batch: Batch, forecast: Tensor, kind: DataKind) -> None:
        """Plot forecasts [b, leads, c, y, x] of a held-out batch."""
        path = self.out / PICTURES / f"{state.iteration:07d}.png"
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            plot_forecasts(path, batch, forecast, kind)
        self._tensorboard.add_image("forecasts", imread(path), state.iteration, dataformats="HWC")
