"""An uploaded HDF5 file must not reach other files of the machine that reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from model.core.errors import NotARadarFile
from model.readers import read

Write = Callable[..., Path]
IMAGE = "image1/image_data"


def test_an_array_stored_in_another_file_is_refused(write_knmi: Write, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdefghijklmn")
    path = write_knmi()
    with h5py.File(path, "a") as file:
        del file[IMAGE]
        file.create_dataset(IMAGE, shape=(4, 3), dtype="u2", external=[(str(secret), 0, 24)])
    with pytest.raises(NotARadarFile, match="points outside the file"):
        read([path])


def test_a_link_into_another_file_is_refused(write_knmi: Write) -> None:
    other = write_knmi("other.h5")
    path = write_knmi()
    with h5py.File(path, "a") as file:
        del file[IMAGE]
        file[IMAGE] = h5py.ExternalLink(str(other), f"/{IMAGE}")
    with pytest.raises(NotARadarFile, match="points outside the file"):
        read([path])


def test_a_virtual_array_is_refused(write_knmi: Write) -> None:
    other = write_knmi("other.h5")
    path = write_knmi()
    layout = h5py.VirtualLayout(shape=(4, 3), dtype="u2")
    layout[:] = h5py.VirtualSource(str(other), IMAGE, shape=(4, 3))
    with h5py.File(path, "a") as file:
        del file[IMAGE]
        file.create_virtual_dataset(IMAGE, layout)
    with pytest.raises(NotARadarFile, match="points outside the file"):
        read([path])


def test_netcdf_that_stores_elsewhere_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(24))
    path = tmp_path / "x.nc"
    with h5py.File(path, "w") as file:
        file.create_dataset("deep/rainfall_rate", shape=(4, 3), dtype="u2", external=[(str(secret), 0, 24)])
    with pytest.raises(NotARadarFile, match="points outside the file"):
        read([path])


def test_an_image_that_is_no_array_is_said(write_knmi: Write) -> None:
    path = write_knmi()
    with h5py.File(path, "a") as file:
        del file[IMAGE]
        file[IMAGE] = np.array([b"text"])
    with pytest.raises(NotARadarFile, match="not a two-dimensional array"):
        read([path])
    with h5py.File(path, "a") as file:
        del file[IMAGE]
    with pytest.raises(NotARadarFile, match="no array image1/image_data"):
        read([path])
