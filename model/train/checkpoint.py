"""Checkpoints of a training run: `last.pt`, `previous.pt`, `best.pt`, and the batch that ended a run."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any, Final

import torch

from model.core.errors import InputError, first_line
from model.nets.forecast_model import FrameBatch
from model.train.callbacks import Notify
from model.train.run_folder import BEST, DAMAGED, LAST, NAN_BATCH, PREVIOUS, save_atomically
from model.train.state import TrainingState

READ_ERRORS: Final = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    *(RuntimeError, pickle.UnpicklingError),
)
"""Errors that reading a damaged file of a run raises."""


def save_checkpoint(state: TrainingState, out: Path) -> None:
    """Write `last.pt`; the checkpoint before becomes `previous.pt`.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    content = {
        **_best_content(state),
        "net": state.net.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "seconds": state.seconds,
        "validated": state.last_validation,
        "losses": state.losses,
    }
    save_atomically(out / LAST, lambda file: torch.save(content, file), backup=out / PREVIOUS)


def save_best(state: TrainingState, out: Path) -> None:
    """Write `best.pt`: the averaged weights, for `echocast export`.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    save_atomically(out / BEST, lambda file: torch.save(_best_content(state), file))


def save_nan_batch(frames: FrameBatch, context: int, out: Path) -> None:
    """Write the batch whose loss or gradient is not finite, for inspection.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    content = {"frames": tuple(frames), "context": context}
    save_atomically(out / NAN_BATCH, lambda file: torch.save(content, file))


def _best_content(state: TrainingState) -> dict[str, Any]:
    steps, ema = sorted(state.step_minutes), state.ema.state_dict()
    return {"ema": ema, "iteration": state.iteration, "best": state.best_metric, "steps": steps}


def restore(state: TrainingState, content: dict[str, Any]) -> None:
    """Load the content of a checkpoint into a state.

    Raises
    ------
    RuntimeError
        The weights are of another network.
    LookupError, TypeError, ValueError, AttributeError
        The content is not that of a checkpoint.
    """
    state.net.load_state_dict(content["net"])
    state.ema.load_state_dict(content["ema"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.iteration, state.last_validation = int(content["iteration"]), int(content["validated"])
    state.seconds, state.best_metric = float(content["seconds"]), float(content["best"])
    state.losses, state.step_minutes = list(content["losses"]), set(content.get("steps", ()))


def load_checkpoint(state: TrainingState, out: Path, notify: Notify) -> dict[str, Any]:
    """Restore a state from the last checkpoint of a run, or from the one before where the last is damaged.

    Parameters
    ----------
    state : TrainingState
        A state of the run's recipe; it is changed.
    out : Path
        Folder of the run, which holds at least one of the two checkpoints.
    notify : Notify
        Called with a sentence for each file that cannot be read.

    Returns
    -------
    dict
        Content of the checkpoint, for `restore` on other ranks.

    Raises
    ------
    InputError
        Neither checkpoint can be read, or they are of another network.
    """
    failure = None
    for path in (out / LAST, out / PREVIOUS):
        if not path.exists():
            continue
        try:
            # load_state_dict copies to the device of the parameters: a run may resume on another kind of device.
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            restore(state, content)
        except READ_ERRORS as error:
            failure = failure or InputError(
                f"not a checkpoint of this recipe ({first_line(error)})",
                where=str(path),
                hint="Resume with the recipe that the run was started with, or choose another --out",
            )
            continue
        if path.name != LAST:
            if (out / LAST).exists():
                (out / LAST).replace(out / DAMAGED)
            notify(f"{out / LAST} cannot be read: resuming from {path.name}, after {state.iteration} iterations")
        content["best"] = _best_metric(content["best"], out, notify)
        return content
    raise failure or FileNotFoundError(out / LAST)


def _best_metric(stored: float, out: Path, notify: Notify) -> float:
    """Return the metric that new weights must exceed: the one in `best.pt`, which may be newer than the checkpoint.

    The best weights are written before the checkpoint, and a run may be killed between the two.
    """
    if not math.isfinite(stored) and not (out / BEST).exists():
        return stored
    try:
        return float(torch.load(out / BEST, map_location="cpu", weights_only=True)["best"])
    except READ_ERRORS:
        notify(f"{out / BEST} cannot be read: the next validation writes a new one")
        return -math.inf
