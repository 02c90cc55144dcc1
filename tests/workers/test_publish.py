"""What is checked of a file before it is published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS

from model.core.forecast_file import write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from workers.publish import check_opens

SHAPE = (3, 600, 700)
"""Several chunks a frame: those of the last row and column are smaller."""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    rain_rate = np.random.default_rng(0).gamma(1, 2, SHAPE).astype(np.float32)
    times = np.datetime64("2026-06-01T12:00", "ns") + np.arange(SHAPE[0]) * np.timedelta64(5, "m")
    grid = Grid.regular(CRS.from_epsg(3035), shape=SHAPE[1:], pixel_size=1000.0, centre=(4e6, 3e6))
    path = tmp_path / "input.nc"
    write_netcdf(FrameSequence(rain_rate=rain_rate, times=times, grid=grid), path)
    return path


def test_a_complete_file_passes(written: Path) -> None:
    check_opens(written, SHAPE)


def test_a_file_of_another_shape_does_not(written: Path) -> None:
    with pytest.raises(RuntimeError, match="shape"):
        check_opens(written, (4, *SHAPE[1:]))


def test_a_file_that_was_cut_does_not(written: Path) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: len(content) - 1000])
    with pytest.raises(OSError, match="HDF"):
        check_opens(written, SHAPE)


def test_a_file_whose_last_chunk_is_broken_does_not(written: Path) -> None:
    content = bytearray(written.read_bytes())
    content[-20_000:] = bytes(20_000)
    written.write_bytes(content)
    with pytest.raises((OSError, RuntimeError)):
        check_opens(written, SHAPE)
