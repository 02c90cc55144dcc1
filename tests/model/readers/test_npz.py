"""Arrays in an .npz to a FrameSequence."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.core.errors import DuplicateTimes, InputError, NotARadarFile, TooLarge, UnknownVariable
from model.readers import npz, read

Write = Callable[..., Path]
TIMES = np.array(["2020-01-01T00:00", "2020-01-01T00:05"], "datetime64[m]")
RAIN = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_rain_rate_comes_back_as_it_is(write_npz: Write) -> None:
    rain = RAIN.copy()
    rain[0, 0, 0] = np.nan
    sequence = read([write_npz(rain_rate=rain, times=TIMES)])
    np.testing.assert_array_equal(sequence.rain_rate, rain)
    assert sequence.times.dtype == np.dtype("datetime64[ns]")
    assert sequence.grid.pixel_size_m == (1000, 1000)
    assert "none in the file" in sequence.attributes["georeference"]


def test_a_grid_is_used(write_npz: Write) -> None:
    x, y = np.arange(4) * 500.0, np.arange(3) * -500.0
    sequence = read([write_npz(rain_rate=RAIN, times=TIMES, x=x, y=y, crs="EPSG:32633")])
    assert sequence.grid.crs.to_epsg() == 32633
    np.testing.assert_array_equal(sequence.grid.x, x)
    assert "georeference" not in sequence.attributes


def test_a_grid_in_kilometres_is_refused(write_npz: Write) -> None:
    with pytest.raises(NotARadarFile, match="probably because x and y are in km"):
        read([write_npz(rain_rate=RAIN, times=TIMES, x=np.arange(4.0), y=-np.arange(3.0), crs="EPSG:32633")])


def test_reflectivity_becomes_rain(write_npz: Write) -> None:
    dbz = np.full((2, 3, 4), 40.0)
    dbz[0, 0, 0], dbz[0, 0, 1] = -np.inf, np.nan
    sequence = read([write_npz(reflectivity=dbz, times=TIMES)], zr="wsr-88d")
    assert sequence.rain_rate[1, 0, 0] == pytest.approx((1e4 / 300) ** (1 / 1.4), rel=1e-5)
    assert sequence.rain_rate[0, 0, 0] == 0
    assert np.isnan(sequence.rain_rate[0, 0, 1])


@pytest.mark.parametrize(
    "times",
    [
        ["2020-01-01T01:00:00+01:00", "2020-01-01T00:05:00Z"],
        np.array([b"2020-01-01T00:00", b"2020-01-01T00:05"]),
        TIMES[::-1].astype("datetime64[s]")[::-1],
    ],
)
def test_times_are_utc(write_npz: Write, times: object) -> None:
    sequence = read([write_npz(rain_rate=RAIN, times=times)])
    np.testing.assert_array_equal(sequence.times, TIMES.astype("datetime64[ns]"))


def test_frames_are_sorted_by_time(write_npz: Write) -> None:
    sequence = read([write_npz(rain_rate=RAIN[::-1], times=TIMES[::-1])])
    np.testing.assert_array_equal(sequence.rain_rate, RAIN)


def test_fortran_order_reads_alike(write_npz: Write) -> None:
    np.testing.assert_array_equal(read([write_npz(rain_rate=np.asfortranarray(RAIN), times=TIMES)]).rain_rate, RAIN)


def test_what_is_not_rain_is_no_data(write_npz: Write) -> None:
    rain = RAIN.copy()
    rain[0, 0, :3] = -999, np.inf, -0.001
    np.testing.assert_array_equal(
        read([write_npz(rain_rate=rain, times=TIMES)]).rain_rate[0, 0], [np.nan, np.nan, 0, 3]
    )


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"rain": RAIN, "times": TIMES}, UnknownVariable, "It holds rain, times"),
        ({"rain_rate": RAIN}, NotARadarFile, "no array 'times'"),
        ({"rain_rate": RAIN, "times": TIMES[:1]}, NotARadarFile, "2 frames and 1 times"),
        ({"rain_rate": RAIN, "times": TIMES[[0, 0]]}, DuplicateTimes, "strictly increase"),
        ({"rain_rate": RAIN, "times": ["a", "b"]}, NotARadarFile, "'a' is not ISO 8601"),
        ({"rain_rate": RAIN, "times": [1.0, 2.0]}, NotARadarFile, "times are float64"),
        ({"rain_rate": RAIN[0, 0], "times": TIMES}, NotARadarFile, "1 dimensions"),
        ({"rain_rate": RAIN > 3, "times": TIMES}, NotARadarFile, "bool"),
        ({"rain_rate": RAIN, "times": TIMES, "x": np.arange(4)}, NotARadarFile, "grid is incomplete: only x"),
        (
            {"rain_rate": RAIN, "times": TIMES, "x": np.arange(4), "y": np.arange(3), "crs": "EPSG:1"},
            NotARadarFile,
            "unknown crs 'EPSG:1'",
        ),
        (
            {"rain_rate": RAIN, "times": TIMES, "x": np.arange(5), "y": np.arange(3), "crs": "EPSG:32633"},
            InputError,
            "x and y make 3 x 5",
        ),
    ],
)
def test_unreadable_files_are_refused_with_the_reason(
    write_npz: Write, arrays: dict[str, object], error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        read([write_npz(**arrays)], names=["mine.npz"])
    assert "mine.npz" in caught.value.where


def test_a_variable_must_be_there(write_npz: Write) -> None:
    path = write_npz(rain_rate=RAIN, times=TIMES)
    with pytest.raises(UnknownVariable, match="no array reflectivity"):
        read([path], variable="reflectivity")


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "exploded",)

    path = tmp_path / "x.npz"
    np.savez(path, rain_rate=np.array([[[Bomb()]]], dtype=object), times=TIMES[:1])
    with pytest.raises(NotARadarFile, match="object"):
        read([path])
    assert not (tmp_path / "exploded").exists()


def npy_header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    text = str({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_coordinates_may_not_be_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    rain = io.BytesIO()
    np.save(rain, RAIN)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rain_rate.npy", rain.getvalue())
        archive.writestr("times.npy", npy_header((10**9,), "<M8[s]"))
    with pytest.raises(TooLarge, match="times declares 8,000,000,000 bytes"):
        read([path])


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (npy_header((1, 100_000, 100_000)), TooLarge),
        (npy_header((10**6, 1000, 1000)), TooLarge),
        (npy_header((10**40, 2, 2)), TooLarge),
        (npy_header((2, 3, -4)), NotARadarFile),
        (npy_header((2, 3, 4)), NotARadarFile),  # declared, but absent
        (b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 70_000, NotARadarFile),
        (b"\x93NUMPY\x01\x00\x0a\x00__import__", NotARadarFile),
        (b"junk", NotARadarFile),
    ],
)
def test_headers_are_held_against_what_is_there(tmp_path: Path, header: bytes, error: type[InputError]) -> None:
    path = tmp_path / "x.npz"
    times = io.BytesIO()
    np.save(times, TIMES)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rain_rate.npy", header)
        archive.writestr("times.npy", times.getvalue())
    with pytest.raises(error, match=r"x\.npz"):
        read([path])


def test_the_callers_limit_holds_before_arrays_are_made(tmp_path: Path) -> None:
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, rain_rate=np.zeros((40, 1000, 1000), np.float32), times=np.arange(40).astype("M8[m]"))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match=r"40 x 1000 x 1000 pixels.* 1,000,000 in all") as caught:
            read([path], names=["theirs.npz"], max_pixels=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.where == "theirs.npz"


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2", "i2", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_other_numbers_are_converted_block_by_block(
    write_npz: Write, monkeypatch: pytest.MonkeyPatch, dtype: str, order: str
) -> None:
    monkeypatch.setattr(npz, "BLOCK_NUMBERS", 5)
    path = write_npz(rain_rate=np.asarray(RAIN, dtype, order=order), times=TIMES)
    np.testing.assert_array_equal(read([path]).rain_rate, RAIN)


def test_what_float32_cannot_hold_is_no_data(write_npz: Write) -> None:
    rain = RAIN.astype(np.float64)
    rain[0, 0, 0] = 1e300
    np.testing.assert_array_equal(read([write_npz(rain_rate=rain, times=TIMES)]).rain_rate[0, 0], [np.nan, 1, 2, 3])


def test_float64_does_not_lie_in_memory_twice(write_npz: Write) -> None:
    rain = np.zeros((2, 2000, 2000))
    path = write_npz(rain_rate=rain, times=TIMES)
    tracemalloc.start()
    try:
        read([path])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < rain.nbytes / 2 + npz.BLOCK_NUMBERS * 8 + 10_000_000


def test_a_truncated_archive_is_damaged(write_npz: Write) -> None:
    path = write_npz(rain_rate=RAIN, times=TIMES)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(NotARadarFile):
        read([path])
