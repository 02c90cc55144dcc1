"""PNG images as an archive: any size, any names with a time, values by a scale."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from model.core.errors import InputError
from model.core.zr import HKO7, MARSHALL_PALMER
from model.data.archive import Archive
from model.data.cli import archive
from model.data.filename_times import TimePattern
from model.data.png_frames import ImageGrid, PixelScale, read_grey

SHAPE = (101, 97)
START = np.datetime64("2021-07-09T23:40")
SCALED = ("--pattern", "%Y/%m/%d/cappi_*_%H%M.png", "--pixel-scale", "dbz:0.5,-32")


def fields(number: int) -> list[np.ndarray]:
    """Pixels of moving storms: 0 where there is no echo."""
    noise = np.random.default_rng(3).standard_normal(SHAPE).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    pixels = np.clip(smooth / smooth.std() * 40 + 70, 0, 160).astype(np.uint8)
    return [np.roll(pixels, 2 * index, 1) for index in range(number)]


def images(folder: Path, number: int, name: str = "%Y/%m/%d/cappi_10_%H%M.png", step: int = 5) -> Path:
    """PngReader in folders by day, over midnight."""
    for index, pixels in enumerate(fields(number)):
        path = folder / (START + np.timedelta64(step * index, "m")).item().strftime(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)
    return folder


def imported(*words: object) -> str:
    run = CliRunner().invoke(archive, ["import", *map(str, words)])
    assert run.exit_code == 0, run.output
    return run.output


def refused(*words: object) -> str:
    run = CliRunner().invoke(archive, ["import", *map(str, words)])
    assert run.exit_code != 0, run.output
    return str(run.exception) if isinstance(run.exception, InputError) else run.output


def test_images_of_any_size_become_an_archive_by_the_times_in_their_names(tmp_path: Path) -> None:
    said = imported(images(tmp_path / "in", 8), "--out", tmp_path / "a", *SCALED, "--nodata", 160, "--zr", "hko7")
    assert "8 frames written, 0 already present, 0 files skipped" in said
    made = Archive(tmp_path / "a")
    assert made.grid.shape == SHAPE
    assert made.step_minutes == 5
    assert made.times.tolist() == [(START + np.timedelta64(5 * n, "m")).item() for n in range(8)]
    assert made.attributes["pixel_scale"] == "dbz:0.5,-32 nodata 160"
    for time, pixels in zip(made.times, fields(8), strict=True):
        rain = made.read(time)
        assert np.array_equal(np.isnan(rain), pixels == 160)
        dbz = 0.5 * pixels.astype(np.float32) - 32
        seen = (pixels < 160) & (dbz > 0)
        assert np.abs(HKO7.reflectivity_dbz(rain)[seen] - dbz[seen]).max() < 0.15  # half a step of an archive's pixel
        assert (rain[(pixels < 160) & (dbz < -10)] == 0).all()
    again = imported(tmp_path / "in", "--out", tmp_path / "a", *SCALED, "--nodata", 160, "--zr", "hko7")
    assert "0 frames written, 8 already present" in again
    assert "its pixel_scale is dbz:0.5,-32 nodata 160, not dbz:0.5,-32. Use the same" in refused(
        tmp_path / "in", "--out", tmp_path / "a", *SCALED
    )


def test_rain_rates_of_16_bits_on_a_grid_with_a_place(tmp_path: Path) -> None:
    pixels = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE) * 3
    pixels[0, 0] = 65535
    for minute in (0, 10):
        cv2.imwrite(str(tmp_path / f"rain{1625875200 + 60 * minute}.png"), pixels)
    imported(
        *(tmp_path, "--out", tmp_path / "a", "--pattern", "rain%s.png", "--pixel-scale", "mm/h:0.001"),
        *("--nodata", 65535, "--crs", "EPSG:32633", "--bounds", 400_000, 5_000_000, 497_000, 5_101_000),
    )
    made = Archive(tmp_path / "a")
    assert made.times.astype(str).tolist() == ["2021-07-10T00:00:00", "2021-07-10T00:10:00"]
    assert made.grid.crs.to_epsg() == 32633
    assert (made.grid.x[0], made.grid.x[-1]) == (400_500, 496_500)
    assert (made.grid.y[0], made.grid.y[-1]) == (5_100_500, 5_000_500)  # the first row is north
    rain = made.read(made.times[0])
    assert np.isnan(rain[0, 0])
    wet = pixels > 500
    wet[0, 0] = False
    assert np.abs(rain[wet] / (pixels[wet] * 0.001) - 1).max() < 0.025


def test_unmatched_names_are_counted_and_other_files_than_images_are_named(tmp_path: Path) -> None:
    folder = images(tmp_path / "in", 5)
    (folder / "thumbs.db").write_bytes(b"x")
    broken = folder / "2021/07/10/cappi_10_0100.png"
    broken.write_bytes(next(folder.rglob("*.png")).read_bytes()[:700])
    other = folder / "2021/07/10/cappi_10_0105.png"
    cv2.imwrite(str(other), np.zeros((50, 50), np.uint8))
    said = imported(folder, "--out", tmp_path / "a", *SCALED)
    assert "5 frames written, 0 already present, 3 files skipped" in said
    assert f"1 names do not match --pattern {SCALED[1]}, the first is {folder}/thumbs.db" in said
    assert f"{broken}: it is truncated, after 700 bytes" in said
    assert f"{other}: it is on another grid" in said


def test_an_implausible_pixel_value_is_refused_with_a_hint(tmp_path: Path) -> None:
    pixels = np.zeros(SHAPE, np.uint8)
    pixels[:5] = 255
    for minute in (0, 5):
        cv2.imwrite(str(tmp_path / f"2021070923{minute:02}.png"), pixels)
    words = (tmp_path, "--out", tmp_path / "a", "--pattern", "%Y%m%d%H%M.png")
    run = CliRunner().invoke(archive, ["import", *map(str, (*words, "--pixel-scale", "dbz:1,-10"))])
    assert "pixels of value 255 would be 245 dBZ. If they mark missing data give --nodata 255" in run.output
    run = CliRunner().invoke(archive, ["import", *map(str, (*words, "--pixel-scale", "dbz:0.5,-32.5"))])
    assert "pixels of value 255 would be 95 dBZ" in run.output
    run = CliRunner().invoke(archive, ["import", *map(str, (*words, "--pixel-scale", "mm/h:0.1,-1", "--nodata", 255))])
    assert "pixels of value 0 would be -1 mm/h" in run.output
    imported(*words, "--pixel-scale", "mm/h:0.1,-1", "--nodata", 255, "--undetect", 0)
    rain = Archive(tmp_path / "a").read(np.datetime64("2021-07-09T23:00"))
    assert np.isnan(rain[:5]).all()
    assert (rain[5:] == 0).all()


@pytest.mark.parametrize(
    ("pattern", "name", "time"),
    [
        ("%Y%m%d%H%M.png", "202107092355.png", "2021-07-09T23:55:00"),
        ("%Y/%j/%H%M%S.png", "2021/190/235500.png", "2021-07-09T23:55:00"),
        ("%Y/%m/%d/RAD%y%m%d%H%M%S.png", "2021/07/09/RAD210709235500.png", "2021-07-09T23:55:00"),
        ("%Y/%m/%d/RAD%y%m%d%H%M%S.png", "2021/07/09/RAD210708235500.png", None),  # they contradict each other
        ("*_%d%b%Y-%H.png", "radar_north_09Jul2021-23.png", "2021-07-09T23:00:00"),
        ("%Y%m%dT%H%M%z_?.png", "20210710T0155+0200_b.png", "2021-07-09T23:55:00"),
        ("%Y-%m-%d_%I%M%p.png", "2021-07-09_1155PM.png", "2021-07-09T23:55:00"),
        ("100%%_%Y%m%d%H%M%S.%f.png", "100%_20210709235500.123.png", "2021-07-09T23:55:00"),
        ("%Y%m%d%H%M.png", "202113092355.png", None),
        ("%Y%m%d%H%M.png", "radar202107092355.png", None),
        ("a+b(%Y%m%d).png", "a+b(20210709).png", "2021-07-09T00:00:00"),
    ],
)
def test_times_come_from_names_and_folders(pattern: str, name: str, time: str | None) -> None:
    found = TimePattern(pattern).parse(Path("somewhere") / name)
    assert found == (None if time is None else np.datetime64(time))


def test_a_pattern_without_a_date_or_with_an_unknown_directive_is_refused() -> None:
    with pytest.raises(InputError, match="does not define the date"):
        TimePattern("radar_%H%M.png")
    with pytest.raises(InputError, match="%Q is not a directive"):
        TimePattern("%Y%m%d%Q.png")
    with pytest.raises(InputError, match="% is not a directive"):
        TimePattern("%Y%m%d%")


def test_colour_images_are_refused_and_grey_in_another_encoding_is_read(tmp_path: Path) -> None:
    grey = fields(1)[0]
    rgb = np.stack([grey, grey, grey], axis=-1)
    alpha = np.where(grey > 100, 0, 255).astype(np.uint8)
    for name, image in (
        ("grey", Image.fromarray(grey)),
        ("rgb", Image.fromarray(rgb)),
        ("la", Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha)))),
        ("colour", Image.fromarray(np.stack([grey, grey, 255 - grey], axis=-1))),
        ("palette", Image.fromarray(np.stack([grey, 255 - grey, grey], axis=-1)).quantize(64)),
        ("ramp", Image.fromarray(grey).convert("P")),
        ("bits", Image.fromarray(grey > 100)),
        ("black", Image.fromarray(grey > 255)),
    ):
        image.save(tmp_path / f"{name}.png")
    Image.fromarray(grey).save(tmp_path / "marked.png", transparency=int(grey[0, 0]))
    assert not read_grey(tmp_path / "black.png")[0].any()
    for name in ("grey", "rgb", "la", "marked", "ramp"):
        pixels, seen = read_grey(tmp_path / f"{name}.png")
        assert np.array_equal(pixels, grey)
        hidden = {"la": grey > 100, "marked": grey == grey[0, 0]}.get(name, np.zeros(SHAPE, np.bool_))
        assert np.array_equal(~seen, hidden), name
    for name in ("colour", "palette", "bits"):
        with pytest.raises(InputError, match=r"a picture of values, not values.*8 or 16 bits of grey"):
            read_grey(tmp_path / f"{name}.png")


@pytest.mark.parametrize("text", ["dbz", "dbz:", "dbz:0,3", "dbz:nan", "dbz:1,inf", "mm:1,0", "0.5,-32", "dbz:a,b"])
def test_an_invalid_scale_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"dbz:0\.5,-32 for dBZ"):
        PixelScale.parse(text, relation=None)
    with pytest.raises(InputError, match="need no Z-R relation"):
        PixelScale.parse("mm/h:1", relation=MARSHALL_PALMER)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bounds": (0, 0, 1, 1)}, "need a coordinate reference system"),
        ({"crs": "EPSG:4326"}, "Give --bounds, or --corner"),
        ({"crs": "EPSG:4326", "corner": (0, 0)}, "Add --pixel-size"),
        ({"crs": "EPSG:4326", "bounds": (10, 50, 9, 51)}, "WEST SOUTH EAST NORTH"),
        ({"crs": "EPSG:4326", "bounds": (0, 0, 1, float("nan"))}, "a number is not finite"),
        ({"crs": "EPSG:4978", "bounds": (0, 0, 1, 1)}, "not a projected or geographic"),
        ({"crs": "Berlin", "bounds": (0, 0, 1, 1)}, "EPSG:32633"),
        ({"pixel_size": 0.0}, "pixel size is not positive"),
    ],
)
def test_an_invalid_grid_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ImageGrid(**given)  # type: ignore[arg-type]


def test_options_of_images_go_together(tmp_path: Path) -> None:
    folder = images(tmp_path / "in", 2)
    assert "add --pixel-scale" in refused(folder, "--out", tmp_path / "a", "--pattern", "%Y%m%d.png")
    assert "--pixel-scale is for images: add --pattern" in refused(
        folder, "--out", tmp_path / "a", "--pixel-scale", "dbz:1,0"
    )
    said = refused(folder, "--out", tmp_path / "a", "--pattern", "%Y%m%d.png", "--pixel-scale", "dbz:1,0")
    assert "none of 2 names matches it, for example cappi_10_2340.png" in said
    assert not (tmp_path / "a").exists()


def test_pixels_are_1_km_on_a_local_grid_by_default(tmp_path: Path) -> None:
    folder = images(tmp_path / "in", 2)
    imported(folder, "--out", tmp_path / "a", *SCALED, "--pixel-size", 250)
    imported(folder, "--out", tmp_path / "b", *SCALED)
    assert Archive(tmp_path / "a").grid.pixel_size_m == (250, 250)
    assert Archive(tmp_path / "b").grid.pixel_size_m == (1000, 1000)
    assert json.loads((tmp_path / "b/archive.json").read_text())["grid"]["nx"] == SHAPE[1]
