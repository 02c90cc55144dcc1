"""The training loop, the same for every network and data set: windows in, weights out.

The weights are the exponential mean of those that scored best on the held-out part.
"""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

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

DAMAGE = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError)
"""What reading a damaged file of a run may raise."""

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
            # Parameters take what they are given to their own device: a run may go on without the one it began on.
            kept = torch.load(path, map_location="cpu", weights_only=True)
            self.net.load_state_dict(kept["net"])
            self.ema.load_state_dict(kept["ema"])
            self.optimiser.load_state_dict(kept["optimiser"])
            self.iteration, self.seconds, self.best = (kept[name] for name in ("iteration", "seconds", "best"))
        except (*DAMAGE, RuntimeError, pickle.UnpicklingError) as error:
            raise InputError(
                f"not a checkpoint of this recipe ({_reason(error)})",
                where=str(path),
                mend="Resume with the recipe that the run was started with, or choose another --out",
            ) from None


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
    checkpoint. The best weights are chosen on what the source holds out. Where that is a test set (Moving MNIST's test
    file, KTH's persons 17 to 25, the last weeks of TaxiBJ), the best scores are those of a choice made on the test:
    no estimate for data not seen, and somewhat too good. Those of the last checkpoint are not chosen.

    Windows and true frames are drawn by the recipe's seed and the iteration alone: a run that is resumed reads what the
    uninterrupted one would. With `minutes`, the schedules go by the time taken, which is never twice the same.

    Raises:
        InputError: `out` holds a run and `resume` is not set, or it holds none and `resume` is; the run is of another
            recipe or of other data; a checkpoint is damaged; the windows do not fit the network; the loss or all the
            scores are no numbers; or the time is over before the first iteration.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out.mkdir(parents=True, exist_ok=True)
    run = new_run(recipe, device)
    made_of = {"kind": source.kind, **asdict(source.provenance())}
    if (out / LAST).exists():
        if not resume:
            raise InputError("the run exists", where=str(out), mend="Add --resume, or choose another --out")
        check_resumed(recipe, made_of, out)
        run.load(out / LAST)
    elif resume:
        raise InputError(f"nothing to resume: no {LAST} in it", where=str(out), mend="Leave --resume out to begin")
    held_out = source.held_out(recipe.seed + 1, recipe.batch, recipe.validation_windows)
    check_windows(recipe, held_out[0][0], source.kind)
    (out / RECIPE).write_text(json.dumps(asdict(recipe), indent=2), encoding="utf-8")
    (out / PROVENANCE).write_text(json.dumps(made_of, indent=2), encoding="utf-8")
    validation = [collate(windows, device) for windows in held_out]
    log = _Log(out / LOG, report)
    began = time.monotonic() - run.seconds
    for batch in _prefetch(_drawn(source, recipe, run.iteration), device):
        run.seconds = time.monotonic() - began
        progress = max(run.iteration / recipe.iterations, run.seconds / (minutes * 60) if minutes else 0.0)
        if progress >= 1:
            break
        log.add(_update(run, batch, recipe, progress, out), run, progress)
        if run.iteration % recipe.validate_every == 0:
            _checkpoint(run, validation, recipe, source.kind, out, log)
    if run.iteration % recipe.validate_every:
        _checkpoint(run, validation, recipe, source.kind, out, log)
    if not (out / BEST).exists():
        reason = "scores on the held-out part were never a number" if run.iteration else "the time was over"
        raise InputError(
            f"no best weights after {run.iteration} iterations: {reason}",
            where=str(out),
            mend="Look at the held-out data, or lower the learning rate" if run.iteration else "Give it more --minutes",
        )
    return out / BEST


def check_resumed(recipe: Recipe, made_of: dict[str, Any], out: Path) -> None:
    """Whether a run was started with this recipe, but for its iterations, and on this data.

    Raises:
        InputError: it was not, or what it keeps of them is damaged.
    """
    try:
        kept_recipe, kept_data = (json.loads((out / name).read_text(encoding="utf-8")) for name in (RECIPE, PROVENANCE))
        kept_data = {"kind": made_of["kind"], **kept_data}  # a run of an older version does not say
        differ = _differing(kept_recipe, json.loads(json.dumps(asdict(recipe))))
        changed = [name for name in ("kind", "digest") if kept_data[name] != made_of[name]]
    except DAMAGE as error:
        raise InputError(
            f"what the run was started with cannot be read ({_reason(error)})",
            where=str(out),
            mend="Train anew, into another --out",
        ) from None
    differ = [each for each in differ if not each.startswith("iterations ")]
    if differ:
        raise InputError(
            f"the run was started with another recipe: {'; '.join(differ[:4])}{'; ...' if len(differ) > 4 else ''}",
            where=str(out),
            mend="Resume with its recipe, --batch and --seed, or choose another --out",
        )
    if changed:
        raise InputError(
            f"the run was started on other data: its {' and '.join(changed)} differ",
            where=str(out),
            mend="Resume with its --archive or --data, or choose another --out",
        )


def _differing(kept: object, given: object, name: str = "") -> list[str]:
    """`NAME was KEPT, is GIVEN` of each part that differs, parts of parts by NAME.NAME."""
    if isinstance(kept, dict) and isinstance(given, dict):
        absent = "not there"
        parts = [
            _differing(kept.get(key, absent), given.get(key, absent), f"{name}.{key}" if name else key)
            for key in {**kept, **given}
        ]
        return [each for part in parts for each in part]
    return [] if kept == given else [f"{name} was {kept}, is {given}"]


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _drawn(source: WindowSource, recipe: Recipe, first: int) -> Iterator[list[Window]]:
    """The windows of each iteration from `first` on, whatever was drawn before."""
    for iteration in count(first):
        yield next(source.training(np.random.default_rng((recipe.seed, iteration)), recipe.batch))


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
            mend="Train with a lower learning rate, into another --out",
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
