"""Prove that a graph forecasts like its network in PyTorch."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from model.nets.forecast_model import ForecastModel, FrameBatch, ModelConfig, RecurrentFreeModel, RecurrentModel
from model.runtime.device import open_session
from model.runtime.graph_session import ForecastInput

ROUNDING_SHARE: Final = 4.0
"""How many times further from float64 than float32 PyTorch a graph may be: it sums in another order."""


class Parity(NamedTuple):
    """Largest absolute `difference` of any pixel between PyTorch and a graph; whether it is `within` the limits.

    `rounding`: difference between PyTorch in float32 and in float64; None where the first comparison was sufficient.
    """

    difference: float
    within: bool
    rounding: float | None = None


def check_parity(
    net: RecurrentModel | RecurrentFreeModel,
    graph: Path,
    *,
    steps: int,
    shape: tuple[int, int],
    frames: int,
    limit: float,
) -> Parity:
    """Compare a graph with its network over a forecast of random frames.

    They agree where no pixel differs by more than `limit`. Some networks amplify rounding from step to step: layer
    norms rescale their input, and unbounded outputs grow. Then PyTorch in float32 is itself far from PyTorch in
    float64, and the graph is compared with float64 at each lead: it may differ by `limit`, or by `ROUNDING_SHARE` times
    the largest rounding of float32 PyTorch so far. A wrong graph shows at the first leads, where rounding is small.

    Parameters
    ----------
    net, graph
        The network, and the file of its graph.
    steps, frames
        Number of leads and of observed frames.
    shape
        Rows and columns.
    limit
        Highest absolute difference, in fractions of the range of a pixel.
    """
    observed = _random_frames(net.config, steps=steps, shape=shape, frames=frames)
    by_graph = np.stack(list(open_session(graph).run(observed, steps)))
    float32 = _forecast_by_torch(net.eval(), observed, steps, torch.float32)
    difference = float(np.abs(float32 - by_graph).max())
    if difference <= limit:
        return Parity(difference, within=True)
    float64 = _forecast_by_torch(deepcopy(net).double(), observed, steps, torch.float64)
    of_torch, of_graph = (np.abs(each - float64).max(axis=(1, 2, 3)) for each in (float32, by_graph))
    allowed = np.maximum(limit, ROUNDING_SHARE * np.maximum.accumulate(of_torch))
    return Parity(difference, within=bool((of_graph <= allowed).all()), rounding=float(of_torch.max()))


def _random_frames(config: ModelConfig, *, steps: int, shape: tuple[int, int], frames: int) -> ForecastInput:
    """Return random values of every input that the network has."""
    rng = np.random.default_rng(0)
    known = (rng.random((frames, 1, *shape)) > 0.05).astype(np.float32)
    return ForecastInput(
        data=rng.random((frames, config.channels, *shape), dtype=np.float32) * known,
        known=known,
        step_minutes=5.0,
        fields=rng.normal(size=(frames + steps, config.fields, *shape)).astype(np.float32) if config.fields else None,
        ceiling=1.0 if config.bounded else np.inf,
    )


@torch.no_grad()
def _forecast_by_torch(
    net: ForecastModel, observed: ForecastInput, steps: int, precision: torch.dtype
) -> NDArray[np.floating]:
    """Return the forecast [t, c, y, x] of a network with weights of this precision; of a distribution, [t, threshold].

    Frames of a network with a distribution are compared through the probabilities that follow from them.
    """
    batch = FrameBatch(
        data=torch.from_numpy(observed.data)[None].to(precision),
        known=torch.from_numpy(observed.known)[None].to(precision),
        step_minutes=torch.tensor([observed.step_minutes], dtype=precision),
        fields=None if observed.fields is None else torch.from_numpy(observed.fields)[None].to(precision),
    )
    context = len(observed.data)
    rollout = net.rollout(batch, context, steps)
    forecast = rollout.frames[:, context - 1 :] if rollout.exceedance is None else torch.sigmoid(rollout.exceedance)
    values: NDArray[np.floating] = forecast[0].numpy()
    return values
