"""Formats are known by content; other files are refused."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.core.errors import InputError, NotARadarFile
from model.readers import read
from model.readers.formats import READERS, detect_reader
from model.readers.source import Source

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("file", "title"),
    [
        ("knmi/RAD_NL25_RAP_5min_201008260000.h5", "KNMI HDF5"),
        ("opera/T_PAAH21_C_EUOC_20180824180000.hdf", "ODIM_H5"),
        ("bom/66_20201031_060000.prcp-c10.nc", "CF netCDF"),
        ("mrms/PrecipRate_00.00_20190610-000000.grib2", "GRIB2"),
        ("hko7/mask_dat.npz", "HKO-7 PNG"),
    ],
)
def test_real_files_are_known_whatever_they_are_called(tmp_path: Path, real_data: Path, file: str, title: str) -> None:
    path = tmp_path / "upload.png"
    shutil.copy(real_data / file, path)
    assert detect_reader(Source(path=path, name="x")).title == title


def test_a_reader_is_found_under_any_name(write_knmi: Write, write_npz: Write) -> None:
    assert detect_reader(Source(path=write_knmi("a.nc"), name="a.nc")).title == "KNMI HDF5"
    assert detect_reader(Source(path=write_npz("a.npz", rain_rate=[1.0]), name="a.h5")).title == "NumPy npz"


MAGICS = {
    "hdf5": b"\x89HDF\r\n\x1a\n",
    "netcdf3": b"CDF\x01",
    "netcdf5": b"CDF\x05",
    "pgm": b"P5\n",
    "gzip": b"\x1f\x8b\x08\x00",
    "png": b"\x89PNG\r\n\x1a\n",
    "zip": b"PK\x03\x04",
    "zlib": b"\x78\x9c",
}


@pytest.mark.parametrize("name", MAGICS)
@pytest.mark.parametrize(
    "tail",
    [b"", bytes(64), b"\xff" * 4096, bytes(range(256)) * 40],
    ids=["nothing", "zeros", "ones", "ramp"],
)
def test_garbage_after_a_right_magic_is_not_a_radar_file(tmp_path: Path, name: str, tail: bytes) -> None:
    path = tmp_path / "tmp-upload"
    path.write_bytes(MAGICS[name] + tail)
    with pytest.raises(NotARadarFile) as caught:
        read([path], names=["theirs.bin"])
    assert caught.value.where == "theirs.bin"
    assert "tmp-upload" not in str(caught.value)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"Dear forecaster,\n", "format is not supported"), (b"\x00" * 2000, "format is not supported")],
)
def test_empty_and_text_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(NotARadarFile, match=message) as caught:
        read([path])
    assert caught.value.where == str(path)


def test_the_supported_formats_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("hello")
    with pytest.raises(NotARadarFile) as caught:
        read([path])
    for reader in READERS:
        assert reader.title in caught.value.hint


def test_absent_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotARadarFile, match=r"gone\.h5: no such file"):
        read([tmp_path / "x"], names=["gone.h5"])
    with pytest.raises(NotARadarFile, match="this is a folder"):
        read([tmp_path])
    with pytest.raises(NotARadarFile, match="cannot be opened"):
        read([Path("nul\0byte")])
    with pytest.raises(NotARadarFile, match="cannot be opened"):
        read([tmp_path / ("long" * 100)])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(NotARadarFile, match="Permission denied"):
        read([path])


@pytest.mark.parametrize("folder", ["knmi", "opera", "bom", "fmi"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.98])
def test_real_files_cut_short_never_leak_a_library_error(
    tmp_path: Path, real_data: Path, folder: str, part: float
) -> None:
    whole = next(iter(sorted((real_data / folder).iterdir()))).read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(InputError) as caught:
        read([path], names=["whole.file"])
    assert caught.value.where.startswith("whole.file")


@pytest.mark.parametrize("folder", ["knmi", "opera", "bom", "fmi"])
def test_real_files_with_broken_bytes_never_leak_a_library_error(tmp_path: Path, real_data: Path, folder: str) -> None:
    whole = bytearray(next(iter(sorted((real_data / folder).iterdir()))).read_bytes())
    rng = np.random.default_rng(7)
    for trial in range(20):
        broken = bytearray(whole)
        for at in rng.integers(8, min(len(broken), 20_000), 40):
            broken[at] = int(rng.integers(256))
        path = tmp_path / f"broken-{trial}"
        path.write_bytes(broken)
        # Bytes that do not matter may break and leave the file readable: only another kind of error fails here.
        with contextlib.suppress(InputError):
            read([path], names=["theirs"])
