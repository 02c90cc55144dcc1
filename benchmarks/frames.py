"""Radar files to measure with: synthetic rain as ODIM_H5, one file for each frame, as European radars send it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from pyproj import Transformer

from model.core.sequence import FrameSequence
from model.core.units import MARSHALL_PALMER, FloatArray
from model.data.synth import Weather, convective, frontal, stratiform, synthesise

STEP_MINUTES = 5.0
GAIN, OFFSET, UNDETECT, NODATA = 0.5, -32.0, 0, 255
"""Of a pixel's value, in dBZ."""


@dataclass(frozen=True, kw_only=True)
class Day:
    """A kind of weather, and the seed of its storms."""

    weather: Weather
    seed: int
    title: str


DAYS: Mapping[str, Day] = {
    "rain": Day(weather=frontal(), seed=1, title="rainy day: a front with showers"),
    "wide rain": Day(weather=stratiform(), seed=1, title="wide, even rain"),
    "dry": Day(weather=replace(convective(), cells_per_hour_per_10000_km2=0.5), seed=2, title="dry day: few showers"),
}


def write_day(day: Day, folder: Path, *, frames: int, shape: tuple[int, int]) -> list[Path]:
    """The day's frames [y, x] as files, the newest last."""
    rain = synthesise(frames=frames, shape=shape, step_minutes=STEP_MINUTES, seed=day.seed, weather=day.weather)
    folder.mkdir(parents=True, exist_ok=True)
    return [write_odim(rain, index, folder / f"frame{index:02d}.h5") for index in range(frames)]


def write_odim(rain: FrameSequence, index: int, path: Path) -> Path:
    """One frame as a compressed ODIM_H5 composite of reflectivity, a byte a pixel."""
    time = np.datetime_as_string(rain.times[index], unit="s").replace("-", "").replace(":", "")
    date, clock = (np.bytes_(part) for part in time.split("T"))
    ny, nx = rain.grid.shape
    dy, dx = rain.grid.pixel_size_m
    to_degrees = Transformer.from_crs(rain.grid.crs, rain.grid.crs.geodetic_crs, always_xy=True)
    west, north = float(rain.grid.x[0]) - dx / 2, float(rain.grid.y[0]) + dy / 2
    corners = {"UL": (west, north), "LR": (west + nx * dx, north - ny * dy)}
    with h5py.File(path, "w") as file:
        file.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_2")
        file.create_group("what").attrs.update(
            object=np.bytes_("COMP"), date=date, time=clock, source=np.bytes_("ORG:0"), version=np.bytes_("H5rad 2.2")
        )
        where = file.create_group("where").attrs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a PROJ string does not hold the name of the CRS
            projection = rain.grid.crs.to_proj4()
        where.update(projdef=np.bytes_(projection), xsize=nx, ysize=ny, xscale=dx, yscale=dy)
        for corner, place in corners.items():
            where[f"{corner}_lon"], where[f"{corner}_lat"] = to_degrees.transform(*place)
        pixels = as_bytes(rain.rain_rate[index])
        file.create_dataset("dataset1/data1/data", data=pixels, chunks=True, compression="gzip", compression_opts=6)
        file["dataset1"].create_group("what").attrs.update(
            quantity=np.bytes_("DBZH"), gain=GAIN, offset=OFFSET, nodata=float(NODATA), undetect=float(UNDETECT),
            startdate=date, starttime=clock, enddate=date, endtime=clock, product=np.bytes_("COMP"),
        )  # fmt: skip
    return path


def as_bytes(rain_rate_mm_h: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Reflectivity in steps of 0.5 dBZ; 0 where it is dry, 255 where nothing is known."""
    dbz = MARSHALL_PALMER.reflectivity_dbz(np.maximum(np.nan_to_num(rain_rate_mm_h), 1e-3))
    value = np.clip(np.round((dbz - OFFSET) / GAIN), 1, 254)
    value = np.where(rain_rate_mm_h > 0, value, UNDETECT)
    return np.where(np.isnan(rain_rate_mm_h), NODATA, value).astype(np.uint8)
