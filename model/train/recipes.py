"""Recipes: a variant is a small named function that returns a whole, frozen configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from model.data.windows import WindowConfig
from model.nets.rain_nowcaster import CONDITIONS, INPUT_PLANES
from model.nets.stack import StackConfig


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """What training never sees of each archive: its last `time_fraction`, or, where the archive is shorter than
    `short_minutes`, its eastern `column_fraction` instead."""

    time_fraction: float = 0.25
    short_minutes: float = 120.0
    column_fraction: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training run, but the archives and the time it is given."""

    name: str
    net: StackConfig
    windows: WindowConfig
    holdout: Holdout = Holdout()
    iterations: int
    batch: int
    learning_rate: float
    final_learning_rate: float
    warmup_iterations: int = 200
    clip_norm: float = 1.0
    ema_decay: float = 0.998
    pixel_weights: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 5.0)
    csi_weight: float
    csi_thresholds_mm_h: tuple[float, ...] = (0.5, 1.0, 2.0, 5.0)
    csi_softness: float = 0.015
    validate_every: int = 250
    chosen_by_mm_h: tuple[float, ...] = (0.5, 2.0, 5.0)
    validation_windows: int = 48
    bfloat16: bool = True
    seed: int = 2026


def _ms_predrnn_net(hidden: int) -> StackConfig:
    return StackConfig(
        hidden=hidden,
        scales=(1, 2, 4, 4, 2, 1),
        kernel=3,
        patch=4,
        in_channels=INPUT_PLANES,
        conditions=CONDITIONS,
        embed=True,
    )


def ms_predrnn() -> Recipe:
    """The shipped rain-ms-predrnn: ST-LSTM at scales 1, 1/2, 1/4, 1/4, 1/2, 1 of 4 x 4 patches, in Lagrangian frame."""
    return Recipe(
        name="ms-predrnn",
        net=_ms_predrnn_net(hidden=32),
        windows=WindowConfig(scale_db=3.0),
        iterations=4000,
        batch=8,
        learning_rate=8e-4,
        final_learning_rate=2e-5,
        csi_weight=0.4,
    )


def ms_predrnn_tiny() -> Recipe:
    """Minutes on two cores, for tests and first tries; not for use."""
    return Recipe(
        name="ms-predrnn-tiny",
        net=_ms_predrnn_net(hidden=8),
        windows=WindowConfig(crop=64, margin=32, leads=6, coarsen_chance=0.0),
        iterations=40,
        batch=2,
        learning_rate=2e-3,
        final_learning_rate=1e-4,
        warmup_iterations=5,
        ema_decay=0.9,
        csi_weight=0.5,
        validate_every=20,
        validation_windows=4,
        bfloat16=False,
    )


RECIPES: Final[Mapping[str, Callable[[], Recipe]]] = MappingProxyType(
    {"ms-predrnn": ms_predrnn, "ms-predrnn-tiny": ms_predrnn_tiny}
)
