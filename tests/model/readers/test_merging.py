"""Frames of several files as one sequence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.core.errors import DuplicateTimes, MixedGrids, TooLarge
from model.readers import read
from model.readers.merging import describe_gaps

Write = Callable[..., Path]


def knmi(write_knmi: Write, minute: int, value: int = 0, shape: tuple[int, int] = (4, 3)) -> Path:
    pixels = np.full(shape, value, np.uint16)
    end = f"26-AUG-2010;00:{minute:02}:00.000"
    start = f"26-AUG-2010;00:{minute - 5:02}:00.000"
    return write_knmi(f"{minute:02}-{value}-{shape[0]}.h5", pixels=pixels, start=start, end=end)


def test_frames_are_sorted_by_valid_time(write_knmi: Write) -> None:
    sequence = read([knmi(write_knmi, minute, minute) for minute in (15, 5, 10)])
    assert [str(time)[14:16] for time in sequence.times] == ["05", "10", "15"]
    np.testing.assert_allclose(sequence.rain_rate[:, 0, 0], [0.6, 1.2, 1.8], rtol=1e-5)
    assert "gaps" not in sequence.attributes


def test_two_files_of_one_time_are_both_named(write_knmi: Write) -> None:
    one, other = knmi(write_knmi, 5, 1), knmi(write_knmi, 5, 2)
    with pytest.raises(DuplicateTimes, match=r"first\.h5 and second\.h5 both hold 2010-08-26T00:05Z"):
        read([one, other], names=["first.h5", "second.h5"])


def test_another_grid_is_named_with_both_shapes(write_knmi: Write) -> None:
    one, other = knmi(write_knmi, 5), knmi(write_knmi, 10, shape=(6, 5))
    with pytest.raises(MixedGrids, match=r"b\.h5: the grid is 6 x 5 .*, the grid of a\.h5 is 4 x 3") as caught:
        read([one, other], names=["a.h5", "b.h5"])
    assert caught.value.where == "b.h5"


def test_gaps_are_named(write_knmi: Write) -> None:
    sequence = read([knmi(write_knmi, minute) for minute in (5, 10, 25, 30)])
    assert sequence.attributes["gaps"] == "2010-08-26T00:15Z 2010-08-26T00:20Z"


def test_many_gaps_are_counted() -> None:
    times = np.array([0, 5, 10, 500], "datetime64[m]").astype("datetime64[ns]")
    text = describe_gaps(times)
    assert text.startswith("1970-01-01T00:15Z ")
    assert text.endswith("and 77 more")


def test_formats_may_differ_where_the_grid_does_not(write_knmi: Write, write_npz: Write) -> None:
    one = knmi(write_knmi, 5)
    grid = read([one]).grid
    other = write_npz(
        rain_rate=np.ones((1, 4, 3), np.float32),
        times=np.array(["2010-08-26T00:10"], "datetime64[s]"),
        x=grid.x,
        y=grid.y,
        crs=grid.crs.to_wkt(),
    )
    sequence = read([other, one])
    assert len(sequence) == 2
    assert set(sequence.attributes["radar_format"].split("; ")) == {"KNMI HDF5", "NumPy npz"}


def test_too_much_together_is_refused(write_knmi: Write) -> None:
    paths = [knmi(write_knmi, 5), knmi(write_knmi, 10)]
    assert len(read(paths, max_pixels=24)) == 2
    with pytest.raises(TooLarge, match=r"1 x 4 x 3 pixels after 12 of earlier files, the limit is .* 23 in all"):
        read(paths, max_pixels=23)


def test_frames_without_data_are_named_newest_first(write_knmi: Write, write_npz: Write) -> None:
    one, two, three = (knmi(write_knmi, minute, value) for minute, value in ((5, 65535), (10, 0), (15, 65535)))
    sequence = read([one, two, three], names=["a.h5", "b.h5", "c.h5"])
    assert len(sequence) == 3
    assert sequence.attributes["frames_without_data"] == "c.h5; a.h5"
    assert "frames_without_data" not in read([two]).attributes

    rain = np.full((2, 40, 40), np.nan, np.float32)
    rain[0, 3, 5] = 1.0  # between the points of any sample
    times = np.array(["2010-08-26T00:05", "2010-08-26T00:10"], "datetime64[s]")
    several = read([write_npz(rain_rate=rain, times=times)], names=["n.npz"])
    assert several.attributes["frames_without_data"] == "n.npz at 2010-08-26T00:10Z"


def test_frames_without_data_are_counted_again_when_read_again(write_knmi: Write, tmp_path: Path) -> None:
    read([knmi(write_knmi, 5, 65535), knmi(write_knmi, 10)]).to_dataset().to_netcdf(tmp_path / "own.nc")
    again = read([tmp_path / "own.nc"], names=["own.nc"])
    assert again.attributes["frames_without_data"] == "own.nc at 2010-08-26T00:05Z"
