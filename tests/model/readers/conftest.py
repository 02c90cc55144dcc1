"""Writers of small radar files with as little content as a reader needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from pyproj import CRS, Transformer

ODIM_PROJDEF = "+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +units=m +ellps=WGS84"
WriteKnmi = Callable[..., Path]


@pytest.fixture
def write_knmi(tmp_path: Path) -> WriteKnmi:
    """Writes a KNMI accumulation (4 x 3 pixels unless given) of 0.01 mm over 5 minutes that end at `end`."""

    def write(
        name: str = "knmi.h5",
        *,
        end: str = "26-AUG-2010;00:05:00.000",
        start: str = "26-AUG-2010;00:00:00.000",
        pixels: Any = None,
        formula: str = "GEO=0.01*PV+0.0",
        parameter: str = "ACCUMULATED_PRECIPITATION_[MM]",
        missing: int = 65534,
        outside: int = 65535,
    ) -> Path:
        values = np.zeros((4, 3), np.uint16) if pixels is None else np.asarray(pixels)
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            file.create_group("overview").attrs.update(
                product_datetime_start=np.bytes_(start), product_datetime_end=np.bytes_(end)
            )
            file.create_group("geographic").attrs.update(
                geo_number_rows=np.array([values.shape[0]], np.int32),
                geo_number_columns=np.array([values.shape[1]], np.int32),
                geo_dim_pixel=np.bytes_(b"KM,KM"),
                geo_pixel_def=np.bytes_(b"LU"),
                geo_pixel_size_x=np.array([1.0], np.float32),
                geo_pixel_size_y=np.array([-1.0], np.float32),
                geo_column_offset=np.array([0.0], np.float32),
                geo_row_offset=np.array([3650.0], np.float32),
            )
            file.create_group("geographic/map_projection").attrs["projection_proj4_params"] = np.bytes_(
                b"+proj=stere +lat_0=90 +lon_0=0.0 +lat_ts=60.0 +a=6378.137 +b=6356.752 +x_0=0 +y_0=0"
            )
            image = file.create_group("image1")
            image.attrs["image_geo_parameter"] = np.bytes_(parameter)
            image["image_data"] = values
            file.create_group("image1/calibration").attrs.update(
                calibration_formulas=np.bytes_(formula),
                calibration_missing_data=np.array([missing], np.int32),
                calibration_out_of_image=np.array([outside], np.int32),
            )
        return path

    return write


@pytest.fixture
def write_npz(tmp_path: Path) -> Callable[..., Path]:
    """Writes an .npz of the arrays."""

    def write(name: str = "frames.npz", **arrays: Any) -> Path:
        path = tmp_path / name
        np.savez(path, **arrays)
        return path

    return write


@pytest.fixture
def write_odim(tmp_path: Path) -> Callable[..., Path]:
    """Writes an ODIM_H5 composite with one image per (quantity, pixels) of `images`.

    The pixels are `true` wide and high in the units of `projdef`, from `upper_left` on; `where` adds to what the file
    says of that, or takes away from it (None).
    """

    def write(
        name: str = "odim.h5",
        *images: tuple[str, Any],
        kind: str = "COMP",
        gain: float = 1.0,
        offset: float = 0.0,
        nodata: float = 255.0,
        undetect: float = 0.0,
        what: dict[str, Any] | None = None,
        where: dict[str, Any] | None = None,
        dataset_where: dict[str, Any] | None = None,
        projdef: str = ODIM_PROJDEF,
        true: tuple[float, float] = (2000.0, 2000.0),
        upper_left: tuple[float, float] = (0.0, 0.0),
        corners: tuple[str, ...] = ("UL", "LR"),
    ) -> Path:
        images = images or (("RATE", [[1, 2, 0], [255, 3, 4]]),)
        ny, nx = np.shape(images[0][1])
        crs = CRS.from_user_input(projdef)
        to_lon_lat = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
        x = {"L": upper_left[0], "R": upper_left[0] + nx * true[0]}
        y = {"U": upper_left[1], "L": upper_left[1] - ny * true[1]}
        places = {
            f"{corner}_{axis}": value
            for corner in corners
            for axis, value in zip(("lon", "lat"), to_lon_lat.transform(x[corner[1]], y[corner[0]]), strict=True)
        }
        size = {"xsize": nx, "ysize": ny, "xscale": true[0], "yscale": true[1]}
        said = {"projdef": np.bytes_(projdef)} | size | places | (where or {})
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            file.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_2")
            file.create_group("what").attrs.update(
                object=np.bytes_(kind), date=np.bytes_("20180824"), time=np.bytes_("181500"), source=np.bytes_("ORG:1")
            )
            file.create_group("where").attrs.update({key: value for key, value in said.items() if value is not None})
            for number, (quantity, pixels) in enumerate(images, start=1):
                file[f"dataset{number}/data1/data"] = np.asarray(pixels)
                if dataset_where:
                    file[f"dataset{number}"].create_group("where").attrs.update(dataset_where)
                file[f"dataset{number}"].create_group("what").attrs.update(
                    {
                        "quantity": np.bytes_(quantity),
                        "gain": gain,
                        "offset": offset,
                        "nodata": nodata,
                        "undetect": undetect,
                        "startdate": np.bytes_("20180824"),
                        "starttime": np.bytes_("180000"),
                        "enddate": np.bytes_("20180824"),
                        "endtime": np.bytes_("181000"),
                    }
                    | (what or {})
                )
        return path

    return write
