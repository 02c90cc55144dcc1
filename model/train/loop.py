"""The training loop: windows in, the exponential mean of the weights that scored best on the held-out part out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.core.errors import InputError, TooFewFrames
from model.core.units import FloatArray
from model.data.archive import Archive
from model.data.windows import FrameCache, Region, Window, batches
from model.losses import balanced_loss, fraction_of, soft_csi_loss
from model.nets.rain_nowcaster import RainNowcaster
from model.train.recipes import Holdout, Recipe

BEST = "best.pt"
LAST = "last.pt"
LOG = "log.jsonl"
SCORED_MM_H = (0.5, 2.0, 5.0, 10.0)


@dataclass(frozen=True, eq=False)
class Batch:
    """Tensors of a batch: fractions with 0 where nothing is known, and where something is."""

    context: Tensor  # [b, t, y, x]
    context_known: Tensor
    target: Tensor  # [b, lead, y, x]
    target_known: Tensor
    step_minutes: Tensor  # [b]


def collate(windows: Sequence[Window], device: torch.device) -> Batch:
    """Windows as one batch; leads that no window reaches are left out."""
    context = np.stack([window.context for window in windows])
    target = np.stack([window.target for window in windows])
    reached = np.isfinite(target).any(axis=(0, 2, 3))
    target = target[:, : max(1, int(reached.sum()))]
    steps = np.array([window.step_minutes for window in windows], np.float32)

    def known(array: FloatArray) -> Tensor:
        return torch.from_numpy(np.isfinite(array).astype(np.float32)).to(device)

    def filled(array: FloatArray) -> Tensor:
        return torch.from_numpy(np.nan_to_num(array)).to(device)

    # A target pixel counts only where the newest frame holds data: elsewhere a forecast of ours says "not known".
    return Batch(
        context=filled(context),
        context_known=known(context),
        target=filled(target),
        target_known=known(target) * known(context)[:, -1:],
        step_minutes=torch.from_numpy(steps).to(device),
    )


def regions_of(archives: Sequence[Archive], recipe: Recipe, cache_folder: Path) -> tuple[list[Region], list[Region]]:
    """What to train on and what to hold out, archive by archive.

    Raises:
        TooFewFrames: an archive is too short for the recipe.
    """
    training, held_out = [], []
    for archive in archives:
        if len(archive.times) < recipe.windows.context + recipe.windows.min_leads:
            raise TooFewFrames(
                f"{len(archive.times)} frames, the recipe {recipe.name} wants at least "
                f"{recipe.windows.context + recipe.windows.min_leads}",
                where=str(archive.root),
                mend="Import more frames",
            )
        cache = FrameCache(archive, cache_folder)
        train, held = _split(cache, recipe.holdout)
        try:
            training.append(Region(cache, recipe.windows, **train))
            held_out.append(Region(cache, replace(recipe.windows, scale_db=0.0), **held))
        except TooFewFrames as error:
            raise TooFewFrames(error.what, where=str(archive.root), mend=error.mend) from None
    return training, held_out


def _split(cache: FrameCache, holdout: Holdout) -> tuple[dict[str, Any], dict[str, Any]]:
    length = float(cache.minutes[-1])
    if length < holdout.short_minutes:
        width = cache.pixels.shape[2]
        border = round(width * (1 - holdout.column_fraction))
        return {"columns": (0, border)}, {"columns": (border, width)}
    border_minute = length * (1 - holdout.time_fraction)
    return {"minutes": (0.0, border_minute)}, {"minutes": (border_minute, float("inf"))}


@dataclass
class Run:
    """State of a training run: everything that a checkpoint keeps."""

    net: RainNowcaster
    ema: RainNowcaster
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
    net = RainNowcaster(recipe.net).to(device)
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    ema = deepcopy(net).eval()
    optimiser = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate)
    return Run(net=net, ema=ema, optimiser=optimiser)


def loss_of(net: RainNowcaster, batch: Batch, recipe: Recipe) -> Tensor:
    """The recipe's loss of one batch."""
    with torch.autocast(batch.context.device.type, torch.bfloat16, enabled=recipe.bfloat16):
        forecast = net(batch.context, batch.context_known, batch.step_minutes, batch.target.shape[1])
    forecast = forecast.float()
    loss = balanced_loss(forecast, batch.target, batch.target_known, recipe.pixel_weights)
    return loss + recipe.csi_weight * soft_csi_loss(
        forecast,
        batch.target,
        batch.target_known,
        thresholds_mm_h=recipe.csi_thresholds_mm_h,
        softness=recipe.csi_softness,
    )


def learning_rate(recipe: Recipe, iteration: int, progress: float) -> float:
    """Linear warm-up, then cosine to the final rate at progress 1."""
    warm = min(1.0, (iteration + 1) / recipe.warmup_iterations)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return warm * (recipe.final_learning_rate + (recipe.learning_rate - recipe.final_learning_rate) * cosine)


@torch.no_grad()
def validate(net: RainNowcaster, held_out: Sequence[Batch], recipe: Recipe) -> dict[str, float]:
    """CSI over the held-out windows (pooled, all leads) and its ratio to extrapolation's, by threshold.

    `ratio` is the mean over the thresholds that the recipe chooses weights by.
    """
    counts = np.zeros((2, len(SCORED_MM_H), 3))
    for batch in held_out:
        with torch.autocast(batch.context.device.type, torch.bfloat16, enabled=recipe.bfloat16):
            answer = net(batch.context, batch.context_known, batch.step_minutes, batch.target.shape[1]).float()
        still = batch.context[:, -1:].expand_as(batch.target)
        known = batch.target_known.bool()
        for which, forecast in enumerate((answer, still)):
            for index, threshold in enumerate(SCORED_MM_H):
                edge = fraction_of(threshold)
                event, foreseen = (batch.target >= edge) & known, (forecast >= edge) & known
                hits = (event & foreseen).sum().item()
                counts[which, index] += hits, event.sum().item(), foreseen.sum().item()
    hits, events, foreseen = counts[..., 0], counts[..., 1], counts[..., 2]
    csi = hits / np.maximum(events + foreseen - hits, 1)
    ratio = csi[0] / np.maximum(csi[1], 1e-6)
    chosen = [t in recipe.chosen_by_mm_h and events[0, index] > 0 for index, t in enumerate(SCORED_MM_H)]
    scores = {"ratio": float(np.mean(ratio[chosen])) if any(chosen) else 0.0}
    for index, threshold in enumerate(SCORED_MM_H):
        scores[f"csi_{threshold:g}"] = float(csi[0, index])
        scores[f"ratio_{threshold:g}"] = float(ratio[index])
        scores[f"bias_{threshold:g}"] = float(foreseen[0, index] / max(events[0, index], 1))
    return scores


def held_out_batches(regions: Sequence[Region], recipe: Recipe, device: torch.device) -> list[Batch]:
    """The same held-out windows, every time, in equal parts from each archive."""
    rng = np.random.default_rng(recipe.seed + 1)
    per_region = max(1, math.ceil(recipe.validation_windows / len(regions) / recipe.batch))
    chosen = []
    for region in regions:
        steps = list(region.runs)
        for index in range(per_region):
            step = steps[index % len(steps)]
            chosen.append(collate([region.draw(rng, step) for _ in range(recipe.batch)], device))
    return chosen


def train(
    recipe: Recipe,
    archives: Sequence[Archive],
    out: Path,
    *,
    resume: bool = False,
    minutes: float | None = None,
    report: Callable[[int, dict[str, float]], None] = lambda iteration, scores: None,
) -> Path:
    """Train until the recipe's iterations, or so many minutes, are done; returns the best checkpoint's path.

    The learning rate falls with the iterations or the minutes, whichever is further. `report(iteration, scores)` is
    called after each iteration (the loss) and each validation.

    Raises:
        InputError: an archive does not fit the recipe; the loss is not a number (the batch is saved); a checkpoint
            exists and `resume` is not asked for.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out.mkdir(parents=True, exist_ok=True)
    run = new_run(recipe, device)
    if (out / LAST).exists():
        if not resume:
            raise InputError("the run exists", where=str(out), mend="Add --resume, or choose another --out")
        run.load(out / LAST)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2), encoding="utf-8")
    training, held_out = regions_of(archives, recipe, out / "cache")
    validation = held_out_batches(held_out, recipe, device)
    drawn = batches(training, [1.0] * len(training), recipe.batch, np.random.default_rng((recipe.seed, run.iteration)))
    began = time.monotonic() - run.seconds
    for batch in _prefetch(drawn, device):
        run.seconds = time.monotonic() - began
        progress = max(run.iteration / recipe.iterations, run.seconds / (minutes * 60) if minutes else 0.0)
        if progress >= 1:
            break
        loss = _update(run, batch, recipe, progress, out)
        run.iteration += 1
        report(run.iteration, {"loss": loss, "progress": progress})
        if run.iteration % recipe.validate_every == 0:
            _checkpoint(run, validation, recipe, out, loss, report)
    if run.iteration % recipe.validate_every:
        _checkpoint(run, validation, recipe, out, math.nan, report)
    return out / BEST


def _update(run: Run, batch: Batch, recipe: Recipe, progress: float, out: Path) -> float:
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(recipe, run.iteration, progress)
    run.net.train()
    loss = loss_of(run.net, batch, recipe)
    if not torch.isfinite(loss):
        torch.save(vars(batch), out / "nan-batch.pt")
        raise InputError(
            f"the loss is not a number at iteration {run.iteration}; the batch is in nan-batch.pt",
            where=str(out),
            mend="Resume with a lower learning rate",
        )
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(run.net.parameters(), recipe.clip_norm)
    run.optimiser.step()
    decay = min(recipe.ema_decay, (run.iteration + 1) / (run.iteration + 10))
    with torch.no_grad():
        for mean, current in zip(run.ema.parameters(), run.net.parameters(), strict=True):
            mean.lerp_(current, 1 - decay)
    return float(loss.detach())


def _checkpoint(
    run: Run,
    validation: Sequence[Batch],
    recipe: Recipe,
    out: Path,
    loss: float,
    report: Callable[[int, dict[str, float]], None],
) -> None:
    scores = validate(run.ema, validation, recipe)
    report(run.iteration, scores)
    with (out / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps({"iteration": run.iteration, "seconds": run.seconds, "loss": loss, **scores}) + "\n")
    is_best = scores["ratio"] > run.best
    run.best = max(run.best, scores["ratio"])
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
