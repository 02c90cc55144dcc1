"""HKO-7's images and masks, and other archives in the same layout."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.core.errors import InputError, MixedGrids, NotARadarFile, TooLarge, UnknownVariable
from model.readers import read
from model.readers.hko7 import grid_of_archive

NAME = "RAD150607123600.png"


def write_png(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def image(value: int = 0) -> np.ndarray:
    return np.full((480, 480), value, np.uint8)


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    """An image with a value of every kind: dry, noise, least echo, strong echo."""
    pixels = image()
    pixels[0, :5] = 0, 1, 70, 71, 200
    return write_png(tmp_path / "radarPNG/2015/06/07" / NAME, pixels)


def test_pixels_become_rain_and_noise_is_dry(frame: Path) -> None:
    sequence = read([frame])
    rain = sequence.rain_rate[0, 0, :5]
    assert rain[:3].tolist() == [0, 0, 0]
    for value, got in zip((71, 200), rain[3:], strict=True):
        dbz = 70 * value / 255 - 10
        assert got == pytest.approx(10 ** ((dbz - 10 * np.log10(58.53)) / 15.6), rel=1e-4)
    assert str(sequence.times[0]).startswith("2015-06-07T12:36:00")
    assert sequence.mask is None


def test_the_grid_is_512_km_around_hong_kong(frame: Path) -> None:
    grid = read([frame]).grid
    assert grid.lon_lat((grid.x[0] + grid.x[-1]) / 2, (grid.y[0] + grid.y[-1]) / 2) == pytest.approx((114.17, 22.30))
    assert grid.x[-1] - grid.x[0] == pytest.approx(512_000 * 479 / 480)
    assert grid.north_up


def test_the_time_is_in_the_users_name_not_in_the_path(tmp_path: Path) -> None:
    path = write_png(tmp_path / "upload-7.png", image())
    assert str(read([path], names=["folder/RAD090101000600.png"]).times[0]).startswith("2009-01-01T00:06")
    with pytest.raises(NotARadarFile, match=r"RADyymmddHHMM00\.png") as caught:
        read([path], names=["radar.png"])
    assert caught.value.where == "radar.png"
    with pytest.raises(NotARadarFile):
        read([path], names=["RAD091301000600.png"])  # month 13


def test_it_holds_one_variable(frame: Path) -> None:
    assert len(read([frame], variable="reflectivity")) == 1
    with pytest.raises(UnknownVariable, match=r"no variable 'nonsense': this format holds one variable, reflectivity"):
        read([frame], variable="nonsense")


def test_its_relation_is_fixed(frame: Path) -> None:
    assert len(read([frame], zr="hko7")) == 1
    with pytest.raises(InputError, match=r"fixed, hko7: Z = 58.53 R\^1.56; marshall-palmer does not apply") as caught:
        read([frame], names=[NAME], zr="marshall-palmer")
    assert caught.value.where == f"{NAME} (zr)"


def test_the_limit_of_the_caller_counts(frame: Path) -> None:
    assert len(read([frame], max_pixels=480 * 480)) == 1
    with pytest.raises(TooLarge, match=r"1 x 480 x 480 pixels"):
        read([frame], max_pixels=480 * 480 - 1)


def mask_bytes(flags: np.ndarray) -> bytes:
    return zlib.compress(flags.astype(bool).tobytes(), 2)


@pytest.mark.parametrize("place", ["given", "beside", "tree"])
def test_the_mask_of_a_frame_takes_out_what_does_not_count(frame: Path, tmp_path: Path, place: str) -> None:
    flags = np.ones((480, 480), bool)  # HKO-7: True counts
    flags[0, 1:3] = False  # noise, which the masks exclude: dry, not no data
    flags[400:] = False
    folder = {
        "given": tmp_path / "elsewhere",
        "beside": frame.parent,
        "tree": tmp_path / "radarPNG_mask/2015/06/07",
    }[place]
    folder.mkdir(parents=True, exist_ok=True)
    mask = folder / "RAD150607123600.mask"
    mask.write_bytes(mask_bytes(flags))
    rain = read([frame, mask] if place == "given" else [frame]).rain_rate[0]
    assert np.isnan(rain[400:]).all()
    assert not np.isnan(rain[:400]).any()
    assert rain[0, 1] == 0


def test_a_mask_of_another_time_is_left_alone(frame: Path, tmp_path: Path) -> None:
    other = tmp_path / "RAD150607124200.mask"
    other.write_bytes(mask_bytes(np.zeros((480, 480))))
    assert not np.isnan(read([frame, other]).rain_rate).any()


def test_the_real_exclude_mask_takes_out_23_percent(frame: Path, real_data: Path) -> None:
    sequence = read([frame, real_data / "hko7" / "mask_dat.npz"])
    assert sequence.mask is not None
    assert sequence.mask.mean() == pytest.approx(0.230, abs=0.001)
    np.testing.assert_array_equal(np.isnan(sequence.rain_rate[0]), sequence.mask)


def test_masks_alone_are_no_input(real_data: Path) -> None:
    with pytest.raises(NotARadarFile, match="no file holds a radar frame"):
        read([real_data / "hko7" / "mask_dat.npz"])


def test_a_mask_of_another_size_is_damaged(frame: Path) -> None:
    frame.with_suffix(".mask").write_bytes(mask_bytes(np.ones((10, 10))))
    with pytest.raises(NotARadarFile, match="not a mask of 480 x 480") as caught:
        read([frame])
    assert "RAD150607123600.mask" in str(caught.value)


def test_a_mask_that_unpacks_without_end_is_refused(frame: Path) -> None:
    frame.with_suffix(".mask").write_bytes(zlib.compress(bytes(50_000_000)))
    with pytest.raises(NotARadarFile, match="not a mask"):
        read([frame])


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((100, 120), np.uint8), np.zeros((480, 480), np.uint16), np.zeros((480, 480, 3), np.uint8)],
    ids=["size", "depth", "colour"],
)
def test_another_image_is_refused_with_what_it_is(tmp_path: Path, pixels: np.ndarray) -> None:
    path = write_png(tmp_path / NAME, pixels)
    with pytest.raises(NotARadarFile, match=f"the image is {pixels.shape[0]} x {pixels.shape[1]}.*archive.json"):
        read([path])


def test_a_truncated_image_is_damaged(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = write_png(tmp_path / NAME, rng.integers(0, 255, (480, 480)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(NotARadarFile, match="HKO-7 PNG"):
        read([path])


GRID = {"crs_wkt": "", "x0": 0.0, "dx": 1000.0, "nx": 6, "y0": 9000.0, "dy": -1000.0, "ny": 5}


def describe_archive(root: Path, **change: object) -> None:
    from pyproj import CRS

    description = {"grid": {**GRID, "crs_wkt": CRS.from_epsg(28992).to_wkt()}, **change}
    (root / "archive.json").write_text(json.dumps(description))


def test_an_archive_may_have_a_grid_of_its_own(tmp_path: Path) -> None:
    describe_archive(tmp_path)
    pixels = np.full((5, 6), 44, np.uint8)  # about 0.1 mm/h: noise for HKO-7, rain here
    path = write_png(tmp_path / "radarPNG/2010/08/26/RAD100826000500.png", pixels)
    sequence = read([path])
    assert sequence.grid.crs.to_epsg() == 28992
    np.testing.assert_array_equal(sequence.grid.y, [9000, 8000, 7000, 6000, 5000])
    assert (sequence.rain_rate > 0.05).all()


def test_a_mask_of_ones_own_archive_marks_no_data(tmp_path: Path) -> None:
    describe_archive(tmp_path)
    path = write_png(tmp_path / "radarPNG/2010/08/26/RAD100826000500.png", np.full((5, 6), 100, np.uint8))
    flags = np.ones((5, 6), bool)
    flags[2] = False
    mask = tmp_path / "radarPNG_mask/2010/08/26/RAD100826000500.mask"
    mask.parent.mkdir(parents=True)
    mask.write_bytes(mask_bytes(flags))
    np.testing.assert_array_equal(np.isfinite(read([path]).rain_rate[0]), flags)


def test_files_around_an_upload_are_not_opened(frame: Path, tmp_path: Path) -> None:
    describe_archive(tmp_path)
    frame.with_suffix(".mask").write_bytes(mask_bytes(np.zeros((480, 480))))
    uploaded = read([frame], names=[NAME])
    assert uploaded.grid.shape == (480, 480)
    assert np.isfinite(uploaded.rain_rate).all()
    with pytest.raises(NotARadarFile, match="has 5 x 6"):
        read([frame])  # a path of the user: its archive counts


def test_an_archive_may_have_a_noise_limit_of_its_own(tmp_path: Path) -> None:
    describe_archive(tmp_path, noise_below=71)
    path = write_png(tmp_path / "radarPNG/2010/08/26/RAD100826000500.png", np.full((5, 6), 70, np.uint8))
    assert read([path]).rain_rate.max() == 0


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"grid": {"nx": 3}}'])
def test_a_bad_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "archive.json").write_text(text)
    path = write_png(tmp_path / "radarPNG" / NAME, image())
    with pytest.raises(NotARadarFile, match=r"archive\.json"):
        read([path])


def test_grid_of_archive_names_what_lacks() -> None:
    with pytest.raises(NotARadarFile, match=r"crs_wkt|dx"):
        grid_of_archive({"grid": {"x0": 0}})


def test_frames_of_two_archives_do_not_mix(tmp_path: Path, frame: Path) -> None:
    root = tmp_path / "mine"
    path = write_png(root / "radarPNG/2010/08/26/RAD100826000500.png", np.zeros((5, 6), np.uint8))
    describe_archive(root)
    with pytest.raises(MixedGrids, match=r"480 x 480.*5 x 6|5 x 6.*480 x 480"):
        read([frame, path])


def test_what_the_archive_writer_wrote_is_read_back(tmp_path: Path) -> None:
    from pyproj import CRS

    from model.core.grid import Grid
    from model.data.archive_paths import frame_path
    from model.data.archive_writer import ArchiveWriter

    grid = Grid.regular(CRS.from_epsg(28992), shape=(5, 6), pixel_size=1000.0, centre=(0.0, 0.0))
    rain = np.array([[0.0, 0.3, 5.0, 40.0, np.nan, 1.0]] * 5, np.float32)
    time = np.datetime64("2010-08-26T00:05", "ns")
    with ArchiveWriter(tmp_path / "archive", grid, 5.0, {"title": "mine"}) as writer:
        writer.append(time, rain)
    sequence = read([frame_path(tmp_path / "archive", time)])
    np.testing.assert_allclose(sequence.rain_rate[0], rain, rtol=0.03)  # one of 255 steps of 0.27 dB
    assert sequence.grid.matches(grid)
    np.testing.assert_array_equal(sequence.times, [time])
    assert sequence.attributes["source_product"] == "mine"
