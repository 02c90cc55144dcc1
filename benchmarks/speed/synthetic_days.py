"""Synthetic radar files for benchmarks: ODIM_H5, one file for each frame, as European radars send them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import h5py
import numpy as np
from pyproj import Transformer

from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.core.zr import MARSHALL_PALMER
from model.data.synthetic_storms import Weather, convective, frontal, stratiform, synthesise

STEP_MINUTES = 5.0
GAIN, OFFSET, UNDETECT, NODATA = 0.5, -32.0, 0, 255
"""Encoding of reflectivity (dBZ) in a byte; the last two are values for dry pixels and for missing data."""


@dataclass(frozen=True, kw_only=True)
class SyntheticDay:
    """A kind of weather and the seed of its storms; it rains in a disc of `share` of the area, or everywhere."""

    weather: Weather
    seed: int
    share: float = 1.0


DAYS: Mapping[str, SyntheticDay] = {
    "rain": SyntheticDay(weather=frontal(), seed=1),
    "wide rain": SyntheticDay(weather=stratiform(), seed=1),
    "dry, showers": SyntheticDay(weather=replace(convective(), cells_per_hour_per_10000_km2=0.5), seed=2),
    "dry, one area": SyntheticDay(weather=frontal(), seed=1, share=0.03),
}
"""A front with showers; widespread even rain; scattered showers; and one small part of the front."""


def write_day(day: SyntheticDay, folder: Path, *, frames: int, shape: tuple[int, int]) -> list[Path]:
    """Write the frames of a day as files, and return their paths, the newest last."""
    rain = synthesise(frames=frames, shape=shape, step_minutes=STEP_MINUTES, seed=day.seed, weather=day.weather)
    if day.share < 1:
        rain = replace(rain, rain_rate=wettest_disc(rain.rain_rate, day.weather, day.share))
    folder.mkdir(parents=True, exist_ok=True)
    return [write_odim(rain, index, folder / f"frame{index:02d}.h5") for index in range(frames)]


def wettest_disc(rain_rate_mm_h: FloatArray, weather: Weather, share: float) -> FloatArray:
    """Return frames [time, y, x] that are dry outside a disc.

    The disc moves with the wind, and holds the most rain in the newest frame.
    """
    ny, nx = rain_rate_mm_h.shape[1:]
    radius = (share * ny * nx / np.pi) ** 0.5
    smoothed = cv2.GaussianBlur(rain_rate_mm_h[-1], (0, 0), radius / 2, borderType=cv2.BORDER_CONSTANT)
    row, column = np.unravel_index(np.argmax(smoothed), smoothed.shape)
    pixels = weather.steering_speed * 60 * STEP_MINUTES / 1000
    towards = np.deg2rad(weather.steering_towards_deg)
    y, x = np.mgrid[:ny, :nx]
    disc = np.zeros_like(rain_rate_mm_h)
    for age, (frame, target) in enumerate(zip(rain_rate_mm_h[::-1], disc[::-1], strict=True)):
        distance = np.hypot(y - row - age * pixels * np.cos(towards), x - column + age * pixels * np.sin(towards))
        target[distance < radius] = frame[distance < radius]
    return disc


def write_odim(rain: FrameSequence, index: int, path: Path) -> Path:
    """Write one frame as a compressed ODIM_H5 composite of reflectivity, one byte for each pixel."""
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
            warnings.simplefilter("ignore", UserWarning)  # a PROJ string loses the name of the CRS
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
    """Encode reflectivity in steps of 0.5 dBZ; 0 is dry, 255 is no data."""
    dbz = MARSHALL_PALMER.reflectivity_dbz(np.maximum(np.nan_to_num(rain_rate_mm_h), 1e-3))
    value = np.clip(np.round((dbz - OFFSET) / GAIN), 1, 254)
    value = np.where(rain_rate_mm_h > 0, value, UNDETECT)
    return np.where(np.isnan(rain_rate_mm_h), NODATA, value).astype(np.uint8)
