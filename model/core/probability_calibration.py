"""Calibration of neighbourhood probabilities: tables by threshold and lead time, fitted by isotonic regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.core.errors import InputError
from model.core.units import FloatArray

Probability = Annotated[float, Field(ge=0, le=1)]

KNOTS: Final = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Shares at which calibrated probabilities are tabulated; closer where most pixels are."""


@dataclass(frozen=True, kw_only=True)
class CalibrationArchive:
    """Part of an archive that a calibration was fitted on: SHA-256 of its frames, days (YYYY-MM-DD), start times."""

    name: str
    digest: str
    days: tuple[str, ...]
    starts: int


class ProbabilityCalibration(BaseModel):
    """Probability that rain reaches a threshold, given the share of a neighbourhood's pixels that reach it.

    Probabilities do not decrease with the share. Between thresholds they are linear in ln r, between lead times and
    shares linear; beyond the first and last threshold and lead time those are used.

    Attributes
    ----------
    protocol : str
        How the start times were drawn.
    archives : tuple of CalibrationArchive
        What the calibration was fitted on.
    thresholds_mm_h, lead_minutes, shares : tuple of float
        Axes of the table, ascending.
    probabilities : tuple
        The table [threshold, lead time, share].
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: str
    archives: tuple[CalibrationArchive, ...]
    thresholds_mm_h: tuple[float, ...] = Field(min_length=1)
    lead_minutes: tuple[float, ...] = Field(min_length=1)
    shares: tuple[Probability, ...] = Field(min_length=2)
    probabilities: tuple[tuple[tuple[Probability, ...], ...], ...]

    @model_validator(mode="after")
    def _table_is_monotone(self) -> Self:
        axes = {"thresholds_mm_h": self.thresholds_mm_h, "lead_minutes": self.lead_minutes, "shares": self.shares}
        for name, axis in axes.items():
            if not (np.isfinite(axis).all() and (np.diff(axis) > 0).all()):
                raise ValueError(f"{name} must ascend")
        if self.thresholds_mm_h[0] <= 0:
            raise ValueError("thresholds_mm_h must be above 0")
        shape = tuple(map(len, axes.values()))
        rows = [[len(row) for row in plane] for plane in self.probabilities]
        if rows != [[shape[2]] * shape[1]] * shape[0]:
            raise ValueError(f"probabilities must hold {' x '.join(map(str, shape))} numbers")
        if (np.diff(self.table, axis=2) < 0).any():
            raise ValueError("probabilities must not decrease with the share")
        return self

    @property
    def table(self) -> NDArray[np.float64]:
        """The table as an array [threshold, lead time, share]."""
        return np.array(self.probabilities, np.float64)

    def curves(self, thresholds_mm_h: Sequence[float], lead_minutes: float) -> NDArray[np.float64]:
        """Return the calibrated probability at each of `shares` for these thresholds [threshold, share]."""
        at_lead = _between(self.table, np.asarray(self.lead_minutes), lead_minutes, axis=1)
        own = np.log(self.thresholds_mm_h)
        return np.stack([_between(at_lead, own, float(np.log(asked)), axis=0) for asked in thresholds_mm_h])

    def calibrate(
        self,
        shares: FloatArray,
        thresholds_mm_h: Sequence[float],
        lead_minutes: float,
        *,
        out: FloatArray | None = None,
    ) -> FloatArray:
        """Return the calibrated probability [threshold, ...] of shares [threshold, ...]; NaN (no data) stays NaN.

        Thresholds ascend. Each is calibrated by itself; a probability above that of the threshold before becomes equal
        to it. `out`: where to write them, which may be `shares` itself.
        """
        calibrated = np.empty_like(shares) if out is None else out
        for row, curve in enumerate(self.curves(thresholds_mm_h, lead_minutes)):
            # Most pixels are far from rain: only those above the first knot are interpolated.
            above = shares[row] > self.shares[0]
            interpolated = np.interp(shares[row][above], self.shares, curve)
            calibrated[row] = np.where(np.isnan(shares[row]), shares[row], np.float32(curve[0]))
            calibrated[row][above] = interpolated
            if row:
                np.minimum(calibrated[row], calibrated[row - 1], out=calibrated[row])
        return calibrated


def read_calibration(path: Path) -> ProbabilityCalibration:
    """Read a calibration that `echocast models calibrate` wrote.

    Raises
    ------
    InputError
        The file cannot be read, or is not a calibration.
    """
    hint = "Write it again with: echocast models calibrate"
    try:
        return ProbabilityCalibration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"it cannot be read ({error.strerror})", where=str(path), hint=hint) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"it is not a calibration ({where}: {first['msg']})", where=str(path), hint=hint) from None


def _between(table: NDArray[np.float64], axis_values: NDArray[np.float64], at: float, axis: int) -> NDArray[np.float64]:
    """Return the table interpolated at one value of an axis, which is removed; constant beyond its ends."""
    last = len(axis_values) - 1
    position = float(np.interp(at, axis_values, np.arange(last + 1)))
    lower = min(int(position), last)
    weight = position - lower
    below, above = np.take(table, lower, axis), np.take(table, min(lower + 1, last), axis)
    return np.asarray((1 - weight) * below + weight * above)
