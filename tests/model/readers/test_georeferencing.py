"""Corners and pixel size of ODIM composites as services write them: a grid within half a pixel, or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import CRS, Transformer

from model.core.errors import NotARadarFile
from model.readers import read

Write = Callable[..., Path]
LCC = "+proj=lcc +lat_1=49.8 +lat_2=51.2 +lat_0=50.8 +lon_0=4.36 +x_0=650000 +y_0=665000 +ellps=GRS80 +units=m"
STERE = "+proj=stere +lat_0=90 +lon_0=25 +lat_ts=60 +a=6371288"
MERC = "+proj=merc +lat_ts=0 +lon_0=-68 +ellps=WGS84"
ALL = ("LL", "UL", "UR", "LR")
NY, NX = 250, 300
PLACE = {"projdef": LCC, "upper_left": (500_000.0, 800_000.0), "true": (1000.0, 1000.0)}
IMAGE = ("RATE", np.zeros((NY, NX), np.uint8))


def off(path: Path, place: dict[str, Any]) -> float:
    """Return the largest distance (pixels) of the four outer corners of the grid from the true ones."""
    grid = read([path]).grid
    (left, top), (width, height) = place["upper_left"], place["true"]
    dx, dy = grid.x[1] - grid.x[0], grid.y[1] - grid.y[0]
    assert grid.shape == (NY, NX)
    across = (grid.x[0] - dx / 2 - left, grid.x[-1] + dx / 2 - left - NX * width)
    down = (grid.y[0] - dy / 2 - top, grid.y[-1] + dy / 2 - top + NY * height)
    return float(max(np.abs(across).max() / width, np.abs(down).max() / height))


@pytest.mark.parametrize(
    "said",
    [
        {"corners": ALL},
        {"corners": ("LL", "UR")},
        {"corners": ("UL", "LR")},
        {"corners": ("UL",)},
        {"corners": ("LR",)},
        {"corners": ("LL", "LR")},
        {"corners": ("LL", "UR"), "dataset_where": {"UL_x": 500_000.0, "UL_y": 800_000.0}},
        {"corners": (), "dataset_where": {"UL_x": 500_000.0, "UL_y": 800_000.0}},
        {"corners": ("LL", "UR"), "where": {"xscale": None, "yscale": None}},
        {"corners": ("LL", "UR"), "where": {"xscale": 1.0, "yscale": 1.0}},
        {"corners": ALL, "where": {"xscale": 1.0, "yscale": 1.0}},
        {"corners": ALL, "where": {"xscale": 998.5, "yscale": 1004.6}},
        {"corners": ("LL", "UL", "UR"), "where": {"xscale": 990.0}},
        {"corners": ALL, "where": {"xsize": None, "ysize": None}},
    ],
    ids=str,
)
def test_the_grid_follows_the_corners(write_odim: Write, said: dict[str, Any]) -> None:
    assert off(write_odim("c.h5", IMAGE, **PLACE, **said), PLACE) < 0.001


@pytest.mark.parametrize("corners", [ALL, ("LL", "UR")])
@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_a_pixel_size_on_the_ground_is_not_one_on_the_map(
    write_odim: Write, corners: tuple[str, ...], unit: float
) -> None:
    """At 12 degrees north, Mercator draws 1000 m as 1022 m: over 300 pixels that is 6 of them."""
    place = {"projdef": MERC, "upper_left": (-150_000.0, 1_500_000.0), "true": (1022.0, 1022.0)}
    ground = {"xscale": 1000.0 / unit, "yscale": 1000.0 / unit}
    assert off(write_odim("m.h5", IMAGE, **place, corners=corners, where=ground), place) < 0.001


@pytest.mark.parametrize("corners", [ALL, ("LL", "UR")])
@pytest.mark.parametrize("scale", [(0.01, 0.01), (1113.0, 640.0), (1.113, 0.64), (None, None)])
def test_geographic_composites(
    write_odim: Write, corners: tuple[str, ...], scale: tuple[float | None, float | None]
) -> None:
    place = {"projdef": "+proj=longlat +ellps=WGS84", "upper_left": (2.0, 52.25), "true": (0.01, 0.01)}
    if scale == (1113.0, 640.0):
        scale = (1113.0 * np.cos(np.deg2rad(51)), 1113.0)
    if scale == (1.113, 0.64):
        scale = (1.113 * np.cos(np.deg2rad(51)), 1.113)
    said = dict(zip(("xscale", "yscale"), scale, strict=True))
    assert off(write_odim("g.h5", IMAGE, **place, corners=corners, where=said), place) < 0.001


def test_a_geographic_composite_may_cross_the_date_line(write_odim: Write) -> None:
    place = {"projdef": "+proj=longlat +ellps=WGS84", "upper_left": (178.5, -15.0), "true": (0.01, 0.01)}
    said = {"LR_lon": 181.5 - 360, "UR_lon": 181.5 - 360}
    assert off(write_odim("d.h5", IMAGE, **place, corners=ALL, where=said), place) < 0.001


@pytest.mark.parametrize(
    ("projdef", "plain"),
    [
        (STERE, STERE),
        (f"{STERE} +units=km", STERE),
        (STERE.replace("6371288", "6371.288"), STERE),
        ("EPSG:3067", "EPSG:3067"),
        ("+init=epsg:3067", "EPSG:3067"),
        ("+proj=utm +zone=35", "+proj=utm +zone=35 +ellps=WGS84"),
    ],
)
def test_projections_as_people_write_them(write_odim: Write, projdef: str, plain: str) -> None:
    corner = Transformer.from_crs("EPSG:4326", CRS.from_user_input(plain), always_xy=True).transform(24, 64)
    place = {"projdef": plain, "upper_left": corner, "true": (1000.0, 1000.0)}
    path = write_odim("p.h5", IMAGE, **place, corners=ALL, where={"projdef": np.bytes_(projdef)})
    assert off(path, place) < 0.001
    assert read([path]).grid.pixel_size_m == pytest.approx((1000, 1000))


def test_digits_that_were_cut_off_do_not_change_the_pixel_size(write_odim: Write) -> None:
    path = write_odim("r.h5", IMAGE, **PLACE, corners=ALL)
    import h5py

    with h5py.File(path, "a") as file:
        for name, value in file["where"].attrs.items():
            if name.endswith(("lon", "lat")):
                file["where"].attrs[name] = round(float(value), 4)
    assert off(path, PLACE) < 0.02
    assert np.diff(read([path]).grid.x) == pytest.approx(1000.0, abs=1e-9)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"corners": ("LL", "UR"), "where": {"xscale": 996.0}},
            "of 1000 along x, the file declares 996, and no third",
        ),
        (
            {"corners": ("LL", "UR"), "where": {"yscale": 500.0}},
            "of 1000 along y, the file declares 500, and no third",
        ),
        ({"corners": ALL, "where": {"UR_lat": 53.0}}, r"corner U[LR] lies \d+\.\d pixels off"),
        ({"corners": ALL, "where": {"UR_lon": 5.0}}, r"lies \d+\.\d pixels off"),
        ({"corners": ("LL", "UR"), "dataset_where": {"UL_x": 503_000.0, "UL_y": 800_000.0}}, "lies 1.5 pixels off"),
        ({"corners": ("UL",), "where": {"xscale": 1.0}}, "a pixel size of 1 along x and no two corners"),
        ({"corners": ("UL",), "where": {"yscale": None}}, "no pixel size along y"),
        ({"corners": ()}, "no corner"),
        ({"corners": ("LL", "UR"), "where": {"UR_lat": 49.0}}, "the wrong way along y"),
        ({"corners": ("LL", "UR"), "where": {"UR_lat": 1e9}}, "UR .* cannot be projected"),
    ],
)
def test_what_contradicts_itself_is_refused(write_odim: Write, said: dict[str, Any], message: str) -> None:
    with pytest.raises(NotARadarFile, match=message) as caught:
        read([write_odim("bad.h5", IMAGE, **PLACE, **said)])
    assert caught.value.hint
