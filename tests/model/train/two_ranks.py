"""Trains each of `RUNS` for a few iterations, by as many ranks as torchrun started; into the folder that is named."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from model.data.archive import Archive
from model.data.radar_dataset import RadarDataset
from model.sampling import ScheduledSampling
from model.train.distributed import join_processes
from model.train.loop import train
from model.train.recipe import FrameLoss, Optimiser, RainLoss
from tests.model.train import tiny

SIX = {"iterations": 4, "batch": 4, "validate_every": 2, "validation_windows": 6}
STEADY = Optimiser(learning_rate=1e-3, schedule="constant", clip_norm=0.1, ema_decay=0.5)

FRAMES = {
    "decoupled, scheduled": tiny.recipe(**SIX, optimiser=STEADY),
    "summed": tiny.recipe(
        **SIX,
        optimiser=STEADY,
        loss=FrameLoss(error="mse+mae"),
        sampling=ScheduledSampling(rate=0.0),
        gradient_accumulation_steps=2,
    ),
}
SOFT_CSI = RainLoss(csi_weight=0.5, csi_thresholds_mm_h=(0.1, 0.5))
RAIN = {
    "balanced": tiny.rain_recipe(**SIX, optimiser=STEADY, loss=RainLoss(csi_weight=0.0)),
    "balanced, summed": tiny.rain_recipe(**SIX, optimiser=STEADY, loss=RainLoss(csi_weight=0.0, reduce="sum")),
    "soft csi": tiny.rain_recipe(**SIX, optimiser=STEADY, loss=SOFT_CSI),
}


def main(archive: Path, out: Path) -> None:
    torch.set_num_threads(1)
    with join_processes() as joined:
        norm = torch.nn.BatchNorm2d(1)
        norm(torch.full((2, 1, 2, 2), float(joined.rank)))
        joined.average_buffers(norm)
        out.mkdir(parents=True, exist_ok=True)
        torch.save(norm.running_mean, out / f"norm-{joined.rank}-of-{joined.world_size}.pt")
        for name, recipe in FRAMES.items():
            train(recipe, tiny.source(), out / name, distributed=joined)
        for name, recipe in RAIN.items():
            windows = joined.build_in_turn(
                lambda recipe=recipe: RadarDataset([Archive(archive)], recipe.windows, recipe.holdout, out / "cache")
            )
            train(replace(recipe, bfloat16=False), windows, out / name, distributed=joined)
    threads = (task.read_text() for task in Path("/proc/self/task").glob("*/comm"))
    (out / f"threads-{joined.rank}-of-{joined.world_size}").write_text("".join(threads))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
