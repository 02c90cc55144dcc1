"""Writers of small radar files: what a producer would write, as little of it as a reader needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

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
    """Writes an .npz of the arrays given."""

    def write(name: str = "frames.npz", **arrays: Any) -> Path:
        path = tmp_path / name
        np.savez(path, **arrays)
        return path

    return write
