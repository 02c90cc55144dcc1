"""The training loop, the same for every network and data set: windows in, weights out.

The weights are the exponential mean of those that scored best on the held-out part.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from model.core.errors import InputError
from model.core.manifest import DataKind
from model.data.sources import WindowSource
from model.data.windows import Window
from model.nets.forecaster import Forecaster, forecaster
from model.nets.stack import StackConfig
from model.train.batch import Batch, collate
from model.train.objective import loss_of, true_frames
from model.train.recipes import Optimiser, RainLoss, Recipe
from model.train.validation import merit, validate

BEST = "best.pt"
LAST = "last.pt"
LOG = "log.jsonl"
RECIPE = "recipe.json"
PROVENANCE = "provenance.json"

Report = Callable[[int, dict[str, float]], None]
"""Hears the loss and the progress of each iteration, and the scores of each validation."""


@dataclass
class Run:
    """State of a training run: everything that a checkpoint keeps. `best`: the highest merit (see `validation`)."""

    net: Forecaster
    ema: Forecaster
    optimiser: torch.optim.Optimizer
    iteration: int = 0
    seconds: float = 0.0
    best: float = -math.inf

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        part = path.with_suffix(".part")
        torch.save(
            {
                "net": self.net.state_dict(),
                "ema": self.ema.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "iteration": self.iteration,
                "seconds": self.seconds,
                "best": self.best,
            },
            part,
        )
        part.replace(path)

    def load(self, path: Path) -> None:
        """Take up a checkpoint.

        Raises:
            InputError: it is damaged, or of another network.
        """
        try:
            kept = torch.load(path, weights_only=True)
            self.net.load_state_dict(kept["net"])
            self.ema.load_state_dict(kept["ema"])
            self.optimiser.load_state_dict(kept["optimiser"])
        except (RuntimeError, KeyError, EOFError, ValueError) as error:
            raise InputError(
                f"not a checkpoint of this recipe ({str(error).splitlines()[0]})",
                where=str(path),
                mend="Resume with the recipe that the run was started with, or choose another --out",
            ) from None
        self.iteration, self.seconds, self.best = kept["iteration"], kept["seconds"], kept["best"]


def new_run(recipe: Recipe, device: torch.device) -> Run:
    """A run at its start: weights from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    net = forecaster(recipe.forecaster).to(device)
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    ema = deepcopy(net).eval()
    settings = recipe.optimiser
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.learning_rate, betas=(settings.beta1, 0.999))
    return Run(net=net, ema=ema, optimiser=optimiser)


def learning_rate(settings: Optimiser, iteration: int, progress: float) -> float:
    """The rate of an iteration (from 0), at a progress of the run from 0 to 1."""
    highest, final = settings.learning_rate, settings.final_learning_rate
    if settings.schedule == "constant":
        return highest
    if settings.schedule == "one-cycle":
        if progress < 0.3:
            return _eased(highest / 25, highest, progress / 0.3)
        return _eased(highest, final, (progress - 0.3) / 0.7)
    warm = min(1.0, (iteration + 1) / settings.warmup_iterations)
    return warm * _eased(highest, final, progress)


def _eased(start: float, end: float, done: float) -> float:
    """From start to end by half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def train(
    recipe: Recipe,
    source: WindowSource,
    out: Path,
    *,
    resume: bool = False,
    minutes: float | None = None,
    report: Report = lambda iteration, scores: None,
) -> Path:
    """Train until the recipe's iterations, or so many minutes, are done; returns the best checkpoint's path.

    `out` keeps the recipe, where the data is from, a log with one line per validation, and the last and the best
    checkpoint.

    Raises:
        InputError: `out` holds a run and `resume` is not set, a checkpoint is not of this recipe, the windows do not
            fit the network, or the loss is no number.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out.mkdir(parents=True, exist_ok=True)
    run = new_run(recipe, device)
    if (out / LAST).exists():
        if not resume:
            raise InputError("the run exists", where=str(out), mend="Add --resume, or choose another --out")
        run.load(out / LAST)
    held_out = source.held_out(recipe.seed + 1, recipe.batch, recipe.validation_windows)
    check_windows(recipe, held_out[0][0], source.kind)
    (out / RECIPE).write_text(json.dumps(asdict(recipe), indent=2), encoding="utf-8")
    made_of = {"kind": source.kind, **asdict(source.provenance())}
    (out / PROVENANCE).write_text(json.dumps(made_of, indent=2), encoding="utf-8")
    validation = [collate(windows, device) for windows in held_out]
    log = _Log(out / LOG, report)
    drawn = source.training(np.random.default_rng((recipe.seed, run.iteration)), recipe.batch)
    began = time.monotonic() - run.seconds
    for batch in _prefetch(drawn, device):
        run.seconds = time.monotonic() - began
        progress = max(run.iteration / recipe.iterations, run.seconds / (minutes * 60) if minutes else 0.0)
        if progress >= 1:
            break
        log.add(_update(run, batch, recipe, progress, out), run, progress)
        if run.iteration % recipe.validate_every == 0:
            _checkpoint(run, validation, recipe, source.kind, out, log)
    if run.iteration % recipe.validate_every:
        _checkpoint(run, validation, recipe, source.kind, out, log)
    return out / BEST


def check_windows(recipe: Recipe, window: Window, kind: DataKind) -> None:
    """Whether a recipe's network can read a window.

    Raises:
        InputError: it cannot.
    """
    config, net = recipe.forecaster, recipe.forecaster.net
    frames, channels, rows, columns = window.context.shape
    fields = 0 if window.fields is None else window.fields.shape[1]
    reason, mend = "", "Choose another recipe, or other data"
    if isinstance(recipe.loss, RainLoss) and kind != "rain":
        reason, mend = "its loss is of rain, and these frames are not", "Train it with --archive"
    elif channels != config.channels:
        reason = f"the frames have {channels} channels, its network reads {config.channels}"
    elif frames != recipe.windows.context:
        reason = f"the windows have {frames} context frames, it wants {recipe.windows.context}"
    elif rows % net.stride or columns % net.stride:
        reason = f"the frames are {rows} x {columns}, its network wants multiples of {net.stride}"
    elif isinstance(net, StackConfig) and net.grid not in (None, (rows, columns)):
        reason = f"the frames are {rows} x {columns}, its network is bound to {net.grid}"
    elif fields != config.fields:
        reason = f"the windows have {fields} exogenous fields, its network reads {config.fields}"
    if reason:
        raise InputError(reason, where=f"recipe {recipe.name}", mend=mend)


def _update(run: Run, batch: Batch, recipe: Recipe, progress: float, out: Path) -> float:
    settings = recipe.optimiser
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(settings, run.iteration, progress)
    run.net.train()
    loss = loss_of(run.net, batch, recipe, true_frames(recipe, batch, run.iteration, progress))
    if not torch.isfinite(loss):
        torch.save({"frames": tuple(batch.frames), "context": batch.context}, out / "nan-batch.pt")
        raise InputError(
            f"the loss is not a number at iteration {run.iteration}; the batch is in nan-batch.pt",
            where=str(out),
            mend="Resume with a lower learning rate",
        )
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if settings.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(run.net.parameters(), settings.clip_norm)
    run.optimiser.step()
    _follow(run, min(settings.ema_decay, (run.iteration + 1) / (run.iteration + 10)))
    run.iteration += 1
    return float(loss.detach())


@torch.no_grad()
def _follow(run: Run, decay: float) -> None:
    """Move the exponential mean towards the weights; what a batch norm has counted is already a mean, and is copied."""
    for mean, current in zip(run.ema.parameters(), run.net.parameters(), strict=True):
        mean.lerp_(current, 1 - decay)
    for kept, counted in zip(run.ema.buffers(), run.net.buffers(), strict=True):
        kept.copy_(counted)


class _Log:
    """One line per validation: the scores, and the mean loss since the one before; `report` hears of it all."""

    def __init__(self, path: Path, report: Report) -> None:
        self.path = path
        self.report = report
        self.losses: list[float] = []

    def add(self, loss: float, run: Run, progress: float) -> None:
        self.losses.append(loss)
        self.report(run.iteration, {"loss": loss, "progress": progress})

    def write(self, scores: dict[str, float], run: Run) -> None:
        self.report(run.iteration, scores)
        loss = sum(self.losses) / len(self.losses) if self.losses else None
        self.losses = []
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"iteration": run.iteration, "seconds": run.seconds, "loss": loss, **scores}) + "\n")


def _checkpoint(run: Run, validation: Sequence[Batch], recipe: Recipe, kind: DataKind, out: Path, log: _Log) -> None:
    scores = validate(run.ema, validation, recipe, kind)
    log.write(scores, run)
    reached = merit(scores, kind)
    is_best = reached > run.best
    run.best = max(run.best, reached)
    run.save(out / LAST)
    if is_best:
        run.save(out / BEST)


def _prefetch(drawn: Iterator[list[Window]], device: torch.device) -> Iterator[Batch]:
    """Batches, the next one made while the current one is used."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = [pool.submit(lambda: collate(next(drawn), device)) for _ in range(2)]
        while True:
            ready = waiting.pop(0).result()
            waiting.append(pool.submit(lambda: collate(next(drawn), device)))
            yield ready
