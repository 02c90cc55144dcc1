"""How rain moves, as arrows on a map."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
from pydantic import BaseModel, Field
from pyproj import Geod

from model.core.grid import Grid
from model.core.rain_motion import RainMotion
from service.render.forecast_reader import RainFile

MINUTES: Final = 15.0
EARTH: Final = Geod(ellps="WGS84")


class MotionArrow(BaseModel):
    """Where rain is at the reference time, and where it is `minutes` later if it goes on as it moves then."""

    lon: float
    lat: float
    to_lon: float
    to_lat: float
    speed_kmh: float
    direction_deg: float = Field(description="Towards which it moves, clockwise from north.")


class Motion(BaseModel):
    """How rain moves at the reference time, on a coarse lattice, where it rains."""

    reference_time: datetime
    model: str | None = Field(description="The version that made the forecast.")
    minutes: float = Field(description="Time in which rain moves along an arrow.")
    arrows: list[MotionArrow] = Field(description="None where it does not rain, or where the nowcast does not tell.")


def motion_of(file: RainFile, model: str | None) -> Motion:
    """Return the arrows of a nowcast."""
    arrows = [] if file.motion is None else _arrows(file.grid, file.motion)
    return Motion(reference_time=file.reference_time, model=model, minutes=MINUTES, arrows=arrows)


def _arrows(grid: Grid, motion: RainMotion) -> list[MotionArrow]:
    x, y = np.meshgrid(motion.x, motion.y)
    lon, lat = grid.lon_lat(x, y)
    moves = np.isfinite(motion.eastward) & np.isfinite(lon) & np.isfinite(lat)
    lon, lat, east, north = (each[moves].astype(np.float64) for each in (lon, lat, motion.eastward, motion.northward))
    speed, direction = np.hypot(east, north), np.degrees(np.arctan2(east, north)) % 360
    to_lon, to_lat, _ = EARTH.fwd(lon, lat, direction, speed * 60 * MINUTES)
    columns = (lon, lat, to_lon, to_lat)
    rows = zip(
        *(np.round(each, 4).tolist() for each in columns), (3.6 * speed).tolist(), direction.tolist(), strict=True
    )
    return [
        MotionArrow(
            lon=lon, lat=lat, to_lon=to_lon, to_lat=to_lat, speed_kmh=round(kmh, 1), direction_deg=round(degrees) % 360
        )
        for lon, lat, to_lon, to_lat, kmh, degrees in rows
    ]
