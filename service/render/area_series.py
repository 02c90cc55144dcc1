"""Rain over an area by lead time: means, highest values and shares with data; pixels weigh what the area covers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.core.area_pixels import AreaPixels
from service.render.forecast_reader import RainFile

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class AreaStatistics:
    """Statistics [...] of the values [..., pixel] of an area; NaN where no pixel has data.

    `share`: the share of the area's part on the grid that has data. `total`, `highest_total`: mean and highest of the
    pixels' sums over time, over the pixels with data at all times.
    """

    mean: Values
    highest: Values
    share: Values
    total: Values
    highest_total: Values


def area_statistics(
    file: RainFile, variable: str, pixels: AreaPixels, hours: NDArray[np.float64] | None = None
) -> AreaStatistics:
    """Return statistics of a variable [..., time] over an area.

    Parameters
    ----------
    file
        The file of the variable.
    variable
        Its name.
    pixels
        The pixels of the area.
    hours
        For how long each value holds [time], for the totals; 0 leaves a time out. None: no totals.
    """
    sums: dict[str, Values] = {}
    for here, values in file.places.parts(variable, pixels.rows, pixels.columns):
        weight = pixels.weight[here]
        known = np.isfinite(values)
        weights = weight.reshape(-1, *(1,) * (values.ndim - 1))
        _add(sums, "weight", (weights * known).sum(axis=0))
        _add(sums, "value", (weights * np.where(known, values, 0.0)).sum(axis=0))
        _raise(sums, "highest", np.where(known, values, -np.inf).max(axis=0))
        if hours is not None:
            used = hours > 0
            total = values[..., used] @ hours[used]
            complete = np.isfinite(total)
            across = weight.reshape(-1, *(1,) * (total.ndim - 1))
            _add(sums, "complete", (across * complete).sum(axis=0))
            _add(sums, "total", (across * np.where(complete, total, 0.0)).sum(axis=0))
            _raise(sums, "highest_total", np.where(complete, total, -np.inf).max(axis=0))
    nothing = np.empty(0)
    return AreaStatistics(
        mean=_ratio(sums["value"], sums["weight"]),
        highest=_known(sums["highest"]),
        share=sums["weight"] / pixels.weight.sum(),
        total=_ratio(sums["total"], sums["complete"]) if hours is not None else nothing,
        highest_total=_known(sums["highest_total"]) if hours is not None else nothing,
    )


def _add(sums: dict[str, Values], name: str, values: Values) -> None:
    sums[name] = sums[name] + values if name in sums else values


def _raise(sums: dict[str, Values], name: str, values: Values) -> None:
    sums[name] = np.maximum(sums[name], values) if name in sums else values


def _ratio(values: Values, weights: Values) -> Values:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(weights > 0, values / np.where(weights > 0, weights, 1.0), np.nan))


def _known(highest: Values) -> Values:
    return np.where(np.isfinite(highest), highest, np.nan)
