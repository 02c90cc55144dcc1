"""A file that is cut short is refused in every format: missing values are never read as dry."""

from __future__ import annotations

import gzip
import importlib.util
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from PIL import Image

from model.core.errors import NotARadarFile
from model.readers import netcdf3, read

CLASSIC = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")
FORMATS = (*CLASSIC, "NETCDF4")
needs_eccodes = pytest.mark.skipif(importlib.util.find_spec("eccodes") is None, reason="needs the extra grib")


def write_rain(path: Path, format: str, *, records: bool = False, extra: Callable[[Any], None] | None = None) -> Path:
    """Rain of 6 mm/h [time, latitude, longitude], with odd lengths, so that padding counts."""
    with netCDF4.Dataset(path, "w", format=format) as file:
        for name, length in (("time", None if records else 3), ("latitude", 51), ("longitude", 53)):
            file.createDimension(name, length)
        time = file.createVariable("time", "i4", ("time",))
        time.setncatts({"standard_name": "time", "units": "minutes since 2020-01-01"})
        for name, units in (("latitude", "degrees_north"), ("longitude", "degrees_east")):
            axis = file.createVariable(name, "f4", (name,))
            axis.units = units
            axis[:] = 50 + 0.01 * np.arange(axis.size)
        rain = file.createVariable("rain", "i2", ("time", "latitude", "longitude"))
        rain.setncatts({"units": "mm h-1", "scale_factor": 0.1})
        if extra:
            extra(file)
        time[:] = [0, 5, 10]
        rain[:] = np.full((3, 51, 53), 6.0)
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    short = path.with_name(f"short-{path.name}")
    short.write_bytes(data[: int(len(data) * share)])
    return short


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("records", [False, True])
@pytest.mark.parametrize("format", FORMATS)
def test_netcdf_that_is_cut_short_is_refused(tmp_path: Path, format: str, records: bool, share: float) -> None:
    path = write_rain(tmp_path / "rain.nc", format, records=records)
    assert read([path]).rain_rate.min() == pytest.approx(6)
    short = cut(path, share)
    with pytest.raises(NotARadarFile) as caught:
        read([short])
    if format in CLASSIC:
        found = re.search(r"the header declares ([\d,]+) bytes, the file has ([\d,]+)", str(caught.value))
        assert found is not None
        declared, there = (int(number.replace(",", "")) for number in found.groups())
        assert there == short.stat().st_size
        assert 0 <= path.stat().st_size - declared < 4  # the last values are padded


def many_variables(file: Any) -> None:
    file.title = "three bytes"[:3]
    file.setncattr("numbers", np.arange(5, dtype="f8"))
    for number, kind in enumerate(("i1", "i2", "f8", "S1", "f4")):
        file.createVariable(f"record{number}", kind, ("time",))
        file.createVariable(f"fixed{number}", kind, ("longitude",)).long_name = "x" * number
    file.createVariable("scalar", "i2", ())


def only_record_variable(path: Path, format: str, kind: str) -> Path:
    """Its records are not padded, unlike those of several variables."""
    with netCDF4.Dataset(path, "w", format=format) as file:
        file.createDimension("time", None)
        file.createDimension("n", 3)
        file.createVariable("v", kind, ("time", "n"))[:] = np.ones((5, 3))
    return path


@pytest.mark.parametrize("format", CLASSIC)
def test_the_length_of_a_whole_file_is_what_its_header_declares(tmp_path: Path, format: str) -> None:
    """To the byte, except for padding at the end."""
    paths = [
        write_rain(tmp_path / f"{records}-{bool(extra)}.nc", format, records=records, extra=extra)
        for records in (False, True)
        for extra in (None, many_variables)
    ]
    paths += [only_record_variable(tmp_path / f"{kind}.nc", format, kind) for kind in ("i1", "i2", "f4", "f8")]
    for path in paths:
        netcdf3.check_length(path)
        data = path.read_bytes()
        path.write_bytes(data[:-4])
        with pytest.raises(NotARadarFile, match="cut short"):
            netcdf3.check_length(path)


@pytest.mark.parametrize("format", CLASSIC)
def test_a_damaged_header_is_refused(tmp_path: Path, format: str) -> None:
    data = bytearray(write_rain(tmp_path / "rain.nc", format, records=True).read_bytes())
    damaged = tmp_path / "damaged.nc"
    for place in range(4, 400):
        for value in (0x00, 0x7F, 0xFF):
            spoilt = data.copy()
            spoilt[place] = value
            damaged.write_bytes(spoilt)
            with suppress(NotARadarFile):  # but nothing else
                netcdf3.check_length(damaged)


REAL = {
    "KNMI HDF5": "knmi/*.h5",
    "ODIM_H5": "opera/*.hdf",
    "FMI PGM in gzip": "fmi/*.pgm.gz",
    "CF netCDF-4": "bom/*.nc",
    "HKO-7 mask": "hko7/mask_dat.npz",
}


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("format", REAL)
def test_real_files_that_are_cut_short_are_refused(real_data: Path, tmp_path: Path, format: str, share: float) -> None:
    path = tmp_path / sorted(real_data.glob(REAL[format]))[0].name
    shutil.copy(sorted(real_data.glob(REAL[format]))[0], path)
    with pytest.raises(NotARadarFile):
        read([cut(path, share)])


@needs_eccodes
@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_message_that_is_cut_short_is_refused(real_data: Path, tmp_path: Path, share: float) -> None:
    path = tmp_path / "mrms.grib2"
    shutil.copy(sorted((real_data / "mrms").glob("*.grib2"))[0], path)
    with pytest.raises(NotARadarFile):
        read([cut(path, share)])


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_images_and_arrays_that_are_cut_short_are_refused(real_data: Path, tmp_path: Path, share: float) -> None:
    png = tmp_path / "RAD150607123600.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (480, 480), np.uint8)).save(png)
    pgm = tmp_path / "fmi.pgm"
    pgm.write_bytes(gzip.decompress(sorted((real_data / "fmi").glob("*.pgm.gz"))[0].read_bytes()))
    times = np.datetime64("2020-01-01T00:00") + np.arange(3) * np.timedelta64(5, "m")
    for name, save in (("plain", np.savez), ("packed", np.savez_compressed)):
        save(tmp_path / f"{name}.npz", rain_rate=np.ones((3, 40, 50), np.float32), times=times)
    for path in (png, pgm, tmp_path / "plain.npz", tmp_path / "packed.npz"):
        read([path])
        short = cut(path, share)
        with pytest.raises(NotARadarFile):
            read([short], names=[path.name])
