"""Data sets of training windows: what they have in common, and how `--data` names them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from model.core.errors import InputError
from model.core.manifest import DataKind
from model.data.frame_stacks import FrameStackDataset, StackOptions
from model.data.kth import KTH
from model.data.moving_mnist import open_moving_mnist
from model.data.taxibj import TaxiBJ
from model.data.windows import Provenance, Window

RADAR_SETTINGS: Final = ("windows", "holdout", "selection_thresholds_mm_h", "fields")
"""Settings of a recipe that apply to radar archives only."""
DATASETS: Final = ("moving-mnist", "kth", "taxibj", "frames")


class WindowDataset(Protocol):
    """Windows to train on, and held-out windows that training never reads."""

    @property
    def channels(self) -> int:
        """Number of channels of a frame."""

    @property
    def kind(self) -> DataKind:
        """Kind of frames: forecasts of rain are scored by CSI, others by MSE, MAE, SSIM and PSNR."""

    def training(self, rng: np.random.Generator, batch: int) -> Iterator[list[Window]]:
        """Yield batches of `batch` windows without end; they depend on `rng` alone.

        Training calls this for each batch, with a generator of its own.
        """

    def held_out(self, seed: int, batch: int, count: int) -> list[list[Window]]:
        """Return about `count` windows, or all of them, in batches of at most `batch`: the same for the same seed."""

    def provenance(self) -> Provenance:
        """Return the provenance of the windows."""


def open_dataset(
    text: str,
    *,
    cache_folder: Path,
    context: int | None = None,
    leads: int | None = None,
    channels: int | None = None,
    multiple: int = 1,
    holdout: float = 0.25,
) -> WindowDataset:
    """Open a data set by its name in `--data`; see docs/datasets.md.

    Parameters
    ----------
    text
        `moving-mnist`, `moving-mnist:PATH`, `kth:DIR`, `taxibj:PATH` or `frames:PATH`.
    cache_folder
        Folder of decoded videos and unpacked arrays.
    context, leads
        Frames in and out; by default those of the papers, 10 and 10, for TaxiBJ 4 and 4. Held-out windows of KTH
        always have 20 leads.
    channels, multiple, holdout
        For `frames`, see `FrameStackDataset`.

    Raises
    ------
    InputError
        There is no such data set, or its files are missing or not the expected ones.
    """
    name, _, path = text.partition(":")
    lengths = {"context": context or 10, "leads": leads or 10}
    if name == "moving-mnist" and (path or text == name):
        return open_moving_mnist(Path(path) if path else None, **lengths)
    if name == "kth" and path:
        return KTH(Path(path), cache_folder, **lengths)
    if name == "taxibj" and path:
        return TaxiBJ(Path(path), context=context or 4, leads=leads or 4)
    if name == "frames" and path:
        stack_path, options = StackOptions.parse(path)
        return FrameStackDataset(
            Path(stack_path), options, cache_folder, channels=channels, multiple=multiple, holdout=holdout, **lengths
        )
    raise InputError(
        f"no data set is called {text!r}" if name not in DATASETS else "the data set needs the path of its files",
        where="--data",
        hint="Write moving-mnist, moving-mnist:PATH, kth:DIR, taxibj:PATH or frames:PATH",
    )


def check_used(data: str, settings: Sequence[str]) -> None:
    """Check that a data set uses the given settings of a recipe, `PATH=VALUE` each.

    Raises
    ------
    InputError
        A setting applies to radar archives only.
    """
    name = data.partition(":")[0]
    used = {"windows.context", "windows.leads", *(["holdout.time_fraction"] if name == "frames" else [])}
    for setting in settings:
        field, _, value = setting.partition("=")
        field = field.strip()
        if field in used or field.partition(".")[0] not in RADAR_SETTINGS:
            continue
        option = {"windows.crop": "crop", "windows.step_minutes": "step"}.get(field) if name == "frames" else None
        raise InputError(
            f"it applies to radar archives: --data {name} does not use it",
            where=f"--set {field}",
            hint=f"Write it into --data: {data},{option}={value}" if option else "Leave it out",
        )
