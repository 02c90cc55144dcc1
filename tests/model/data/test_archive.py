"""The HKO-7-style archive: its layout to the letter, its round trip, and what it refuses."""

import os
import zlib

import cv2
import numpy as np
import pytest
from pyproj import CRS

from model.core.errors import DuplicateTimes, InputError, MixedGrids
from model.core.grid import Grid
from model.data.archive import Archive, DamagedFrame
from model.data.archive_writer import ArchiveWriter, encode_frame

GRID = Grid.regular(CRS.from_epsg(32650), shape=(30, 40), pixel_size=1000.0, centre=(200_000.0, 2_470_000.0))
TIME = np.datetime64("2015-07-09T23:54")


@pytest.fixture
def rain():
    rain = np.random.default_rng(0).gamma(0.6, 6.0, GRID.shape).astype(np.float32)
    rain[:3] = 0
    return rain


def write(root, *frames, grid=GRID):
    with ArchiveWriter(root, grid, 6.0, {"source": "test"}) as writer:
        for time, rain in frames:
            writer.append(time, rain)
    return Archive(root)


def test_layout_and_pixels_are_those_of_hko7(tmp_path, rain):
    write(tmp_path / "a", (TIME, rain))
    pixels = cv2.imread(str(tmp_path / "a/radarPNG/2015/07/09/RAD150709235400.png"), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint8
    dbz = 10 * np.log10(58.53) + 15.6 * np.log10(np.maximum(rain, 1e-6))
    assert np.array_equal(pixels, np.round(255 * np.clip((dbz + 10) / 70, 0, 1)).astype(np.uint8))


def test_a_mask_is_zlib_booleans_and_only_where_data_are_missing(tmp_path, rain):
    holed = rain.copy()
    holed[5:9, 7] = np.nan
    archive = write(tmp_path / "a", (TIME, holed), (TIME + np.timedelta64(6, "m"), rain))
    masks = list((tmp_path / "a/radarPNG_mask").rglob("*.mask"))
    assert [path.name for path in masks] == ["RAD150709235400.mask"]
    mask = np.frombuffer(zlib.decompress(masks[0].read_bytes()), bool).reshape(GRID.shape)
    assert np.array_equal(mask, np.isfinite(holed))
    assert np.array_equal(np.isfinite(archive.read(TIME)), mask)


def test_rain_comes_back_within_half_a_pixel_and_dry_stays_dry(tmp_path, rain):
    archive = write(tmp_path / "a", (TIME, rain))
    back = archive.read(TIME)
    wet = rain > 0.1
    assert np.abs(np.log10(back[wet] / rain[wet])).max() <= 0.5 * 70 / 255 / 15.6 + 1e-4
    assert (back[:3] == 0).all()
    assert archive.grid.matches(GRID)
    assert archive.step_minutes == 6
    assert archive.times.tolist() == [TIME.astype("datetime64[s]").item()]


def test_the_same_time_twice_is_refused(tmp_path, rain):
    write(tmp_path / "a", (TIME, rain))
    with pytest.raises(DuplicateTimes, match="2015-07-09"):
        write(tmp_path / "a", (TIME, rain))


def test_another_grid_is_refused(tmp_path, rain):
    write(tmp_path / "a", (TIME, rain))
    other = Grid.regular(GRID.crs, shape=(30, 40), pixel_size=2000.0, centre=(0.0, 0.0))
    with pytest.raises(MixedGrids):
        write(tmp_path / "a", (TIME, rain), grid=other)


def test_a_folder_that_is_not_an_archive(tmp_path):
    with pytest.raises(InputError, match=r"no archive\.json.*echocast archive import"):
        Archive(tmp_path)
    (tmp_path / "holiday.jpg").write_text("")
    with pytest.raises(InputError, match="not empty"):
        ArchiveWriter(tmp_path, GRID, 6.0, {})


def test_a_truncated_png_is_named(tmp_path, rain):
    archive = write(tmp_path / "a", (TIME, rain))
    path = tmp_path / "a/radarPNG/2015/07/09/RAD150709235400.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"RAD150709235400\.png"):
        archive.read(TIME)


def test_a_png_with_a_flipped_bit_is_named(tmp_path, rain):
    archive = write(tmp_path / "a", (TIME, rain))
    path = tmp_path / "a/radarPNG/2015/07/09/RAD150709235400.png"
    content = bytearray(path.read_bytes())
    content[-10 - len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFrame, match=r"RAD150709235400\.png: it is damaged: a chunk does not match its checksum"):
        archive.read(TIME)


def test_the_digest_is_the_same_whether_files_are_read_for_it_or_the_list(tmp_path, rain):
    holed = rain.copy()
    holed[0] = np.nan
    archive = write(tmp_path / "a", (TIME, holed))
    listed = archive.digest()
    (tmp_path / "a/checksums.sha256").unlink()
    assert archive.digest() == listed


def test_the_digest_follows_a_frame_that_is_newer_than_the_list(tmp_path, rain):
    archive = write(tmp_path / "a", (TIME, rain))
    before = archive.digest()
    path = tmp_path / "a/radarPNG/2015/07/09/RAD150709235400.png"
    path.write_bytes(encode_frame(TIME, rain * 2).png)
    os.utime(path, ns=((later := path.stat().st_mtime_ns + 10**9), later))
    assert archive.digest() != before


def test_the_digest_follows_the_content(tmp_path, rain):
    first = write(tmp_path / "a", (TIME, rain)).digest()
    assert write(tmp_path / "b", (TIME, rain)).digest() == first
    assert write(tmp_path / "c", (TIME, rain * 2)).digest() != first
