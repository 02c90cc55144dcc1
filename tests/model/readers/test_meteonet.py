"""MeteoNet npz to rain rate, grid and time; no code in the file runs."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.core.errors import InputError, NotARadarFile, TooLarge, UnknownVariable
from model.readers import read

NY, NX = 4, 6
LONS, LATS = np.meshgrid(-5.837 + 0.01 * np.arange(NX), 51.891 - 0.01 * np.arange(NY))
COUNTS = np.full((3, NY, NX), -1, np.int16)
COUNTS[:, 1:] = 0
COUNTS[1, 2] = [0, 1, 5, 100, 254, 255]


def dates(count: int = 3) -> np.ndarray[Any, Any]:
    start = datetime(2016, 8, 21)  # noqa: DTZ001  (as published)
    return np.array([start + timedelta(minutes=5 * step) for step in range(count)], dtype=object)


def coordinates(folder: Path, zone: str = "NW", lats: Any = LATS, lons: Any = LONS) -> Path:
    path = folder / f"radar_coords_{zone}.npz"
    np.savez(path, lats=lats, lons=lons)
    return path


def rainfall(folder: Path, name: str = "rainfall_NW_2016_08.3.npz", **changes: Any) -> Path:
    arrays = {"data": COUNTS, "dates": dates(), "miss_dates": np.array([], dtype=object)} | changes
    path = folder / name
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("flat", [True, False], ids=["axes", "whole grids"])
def test_counts_become_rain_on_the_zones_grid(tmp_path: Path, beside: bool, flat: bool) -> None:
    coords = coordinates(tmp_path, **({"lats": LATS[:, 0], "lons": LONS[0]} if flat else {}))
    path = rainfall(tmp_path)
    coordinates(tmp_path, "SE", LATS - 5, LONS + 8)
    sequence = read([path]) if beside else read([path, coords], names=[path.name, coords.name])
    assert np.isnan(sequence.rain_rate[:, 0]).all()
    np.testing.assert_allclose(sequence.rain_rate[1, 2], [0, 0.12, 0.6, 12, 30.48, 30.6], rtol=1e-6)
    np.testing.assert_allclose(sequence.grid.x, LONS[0])
    np.testing.assert_allclose(sequence.grid.y, LATS[:, 0])
    assert [str(time)[:16] for time in sequence.times] == ["2016-08-21T00:00", "2016-08-21T00:05", "2016-08-21T00:10"]
    assert sequence.attributes["quantity"] == "accumulation over 5 min"


def test_dates_out_of_order_are_put_in_order_and_datetime64_will_do(tmp_path: Path) -> None:
    coordinates(tmp_path)
    turned = rainfall(tmp_path, data=COUNTS[[1, 0, 2]], dates=dates()[[1, 0, 2]])
    assert np.nanmax(read([turned]).rain_rate[1]) == pytest.approx(30.6)
    rainfall(tmp_path, dates=dates().astype("datetime64[s]"))
    assert str(read([turned]).times[2])[:16] == "2016-08-21T00:10"


def test_reflectivity_and_quality_codes_are_not_rain(tmp_path: Path) -> None:
    coordinates(tmp_path)
    other = np.where(COUNTS < 0, 255, COUNTS).astype(np.int16)
    for name in ("reflectivity_old_NW_2016_08.3.npz", "rainfall_mean_quality-code_NW_2016_08.3.npz", "renamed.npz"):
        with pytest.raises(NotARadarFile, match="reflectivity or quality code, not rainfall"):
            read([rainfall(tmp_path, name, data=other)])


def test_missing_coordinates_are_requested(tmp_path: Path) -> None:
    path = rainfall(tmp_path)
    with pytest.raises(NotARadarFile, match=r"does not hold its grid\. Give radar_coords_ZONE\.npz"):
        read([path])
    coords = coordinates(tmp_path)
    with pytest.raises(NotARadarFile, match="does not hold its grid"):  # files of other users are not opened
        read([path], names=[path.name])
    with pytest.raises(NotARadarFile, match="no file holds a radar frame"):
        read([coords])
    coordinates(tmp_path, "XX")
    path = rainfall(tmp_path, "mine.npz")
    with pytest.raises(NotARadarFile, match="2 files of coordinates"):
        read([path])


class Mischief:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("mischief"),))


@pytest.mark.parametrize(
    "pickled", [Mischief(), date(2016, 8, 21), "2016", [1, 2, 3]], ids=["mischief", "date", "text", "list"]
)
def test_nothing_but_datetimes_is_made_of_a_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pickled: object
) -> None:
    monkeypatch.chdir(tmp_path)
    coordinates(tmp_path)
    bad = np.empty(3, dtype=object)
    bad[:] = [pickled] * 3
    with pytest.raises(NotARadarFile, match=r"dates|times"):
        read([rainfall(tmp_path, dates=bad)])
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"shape": (3,), "fortran_order": False, "descr": "|O"})
    path = rainfall(tmp_path, "bare.npz")
    with zipfile.ZipFile(path, "w") as archive:
        whole = io.BytesIO()
        np.save(whole, COUNTS)
        archive.writestr("data.npy", whole.getvalue())
        archive.writestr("dates.npy", header.getvalue() + pickle.dumps(pickled))
    with pytest.raises(NotARadarFile, match=r"dates|times"):
        read([path])
    assert not (tmp_path / "mischief").exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dates": dates(2)}, NotARadarFile, "3 frames and 2 times"),
        ({"data": COUNTS[:, :2]}, NotARadarFile, "frames are 2 x 6, the coordinates 4 x 6"),
        ({"data": COUNTS.astype(np.float32)}, NotARadarFile, "float32 in 3 dimensions"),
        ({"data": COUNTS[0]}, NotARadarFile, "int16 in 2 dimensions"),
    ],
)
def test_contradictions_are_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    coordinates(tmp_path)
    with pytest.raises(error, match=message):
        read([rainfall(tmp_path, **changes)])


def test_uneven_coordinates_are_refused(tmp_path: Path) -> None:
    lats = LATS.copy()
    lats[2, 3] += 0.007
    coordinates(tmp_path, lats=lats)
    with pytest.raises(NotARadarFile, match="the lats are not evenly spaced"):
        read([rainfall(tmp_path)])


def test_limits_and_variables(tmp_path: Path) -> None:
    coordinates(tmp_path)
    path = rainfall(tmp_path)
    assert len(read([path], variable="data", max_pixels=72)) == 3
    with pytest.raises(TooLarge, match="3 x 4 x 6"):
        read([path], max_pixels=71)
    with pytest.raises(UnknownVariable, match="no variable 'rain'"):
        read([path], variable="rain")


def test_a_number_in_the_pickle_takes_no_memory(tmp_path: Path) -> None:
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117).encode() + b"\n"
    put_at = b"\x80\x04K\x00r" + (1 << 26).to_bytes(4, "little") + b"."
    coords, path = coordinates(tmp_path), rainfall(tmp_path)
    with zipfile.ZipFile(path, "w") as archive, io.BytesIO() as data:
        np.save(data, COUNTS)
        archive.writestr("data.npy", data.getvalue())
        archive.writestr("dates.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + put_at)
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read([path, coords])
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
