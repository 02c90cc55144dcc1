"""Reading several files, some of them unreadable."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.core.errors import InputError, NotARadarFile, TooLarge
from model.readers import read

Write = Callable[..., Path]


def frame(write_knmi: Write, minute: int, shape: tuple[int, int] = (4, 3)) -> Path:
    pixels = np.full(shape, minute, np.uint16)
    end, start = (f"26-AUG-2010;00:{at:02}:00.000" for at in (minute, minute - 5))
    return write_knmi(f"{minute:02}-{shape[0]}.h5", pixels=pixels, start=start, end=end)


@pytest.fixture
def frames(write_knmi: Write) -> list[Path]:
    return [frame(write_knmi, minute) for minute in (5, 10, 15, 20)]


def test_a_broken_file_among_good_ones_is_left_out_and_named(frames: list[Path]) -> None:
    frames[1].write_bytes(frames[1].read_bytes()[:700])
    sequence = read(frames, skip_unreadable=True)
    assert [str(time)[14:16] for time in sequence.times] == ["05", "15", "20"]
    (note,) = sequence.notes
    assert note.startswith(f"left out: {frames[1]} (")
    with pytest.raises(NotARadarFile):
        read(frames)


def test_a_file_on_another_grid_is_left_out_and_named(frames: list[Path], write_knmi: Write) -> None:
    other = frame(write_knmi, 25, shape=(6, 5))
    sequence = read([*frames, other], skip_unreadable=True)
    assert len(sequence) == 4
    assert sequence.notes == (f"left out: {other} (it lies on another grid)",)


def test_whole_files_need_no_note(frames: list[Path]) -> None:
    assert read(frames, skip_unreadable=True).notes == ()


def test_of_two_files_neither_is_left_out(frames: list[Path]) -> None:
    frames[0].write_bytes(b"GIF89a")
    with pytest.raises(NotARadarFile, match=str(frames[0])):
        read(frames[:2], skip_unreadable=True)


def test_a_path_without_a_file_and_too_many_pixels_stay_errors(frames: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.h5: no such file"):
        read([*frames, tmp_path / "absent.h5"], skip_unreadable=True)
    with pytest.raises(TooLarge):
        read(frames, max_pixels=20, skip_unreadable=True)


def test_a_file_that_repeats_a_valid_time_is_left_out_and_named(frames: list[Path], write_knmi: Write) -> None:
    again = frames[2].rename(frames[2].with_name("again.h5"))
    twice = frame(write_knmi, 15)
    sequence = read([*frames[:2], again, twice, frames[3]], skip_unreadable=True)
    assert len(sequence) == 4
    assert sequence.notes == (f"left out: {twice} ({again} has the same valid time)",)


@pytest.mark.parametrize("first", [True, False])
def test_of_two_grids_with_as_many_frames_the_newer_one_counts(write_knmi: Write, first: bool) -> None:
    old = [frame(write_knmi, minute) for minute in (5, 10)]
    new = [frame(write_knmi, minute, shape=(6, 5)) for minute in (15, 20)]
    assert read([*old, *new] if first else [*new, *old], skip_unreadable=True).grid.shape == (6, 5)


def test_masks_stay_with_their_frames_where_another_file_is_broken(tmp_path: Path) -> None:
    flags = np.arange(480)[:, None] < np.full(480, 400)
    files = []
    for minute in (0, 6, 12):
        files += [tmp_path / f"RAD15060712{minute:02}00.{kind}" for kind in ("png", "mask")]
        Image.fromarray(np.full((480, 480), 90, np.uint8)).save(files[-2])
        files[-1].write_bytes(zlib.compress(flags.tobytes()))
    files[0].write_bytes(files[0].read_bytes()[:60])
    sequence = read(files, names=[path.name for path in files], skip_unreadable=True)
    assert len(sequence) == 2
    assert np.isnan(sequence.rain_rate[:, 400:]).all()
    assert not np.isnan(sequence.rain_rate[:, :400]).any()


def test_a_wrong_unit_is_no_fill_value(tmp_path: Path) -> None:
    rain = np.random.default_rng(1).uniform(0.5, 40, (1, 20, 20)).astype(np.float32) * 3600
    np.savez(tmp_path / "a.npz", rain_rate=rain, times=np.array([np.datetime64("2024-06-01T00:00")]))
    with pytest.raises(NotARadarFile, match="hold more rain than any record"):
        read([tmp_path / "a.npz"])
    rain[0, 5:] = 3
    rain[0, :5] = 9999
    np.savez(tmp_path / "a.npz", rain_rate=rain, times=np.array([np.datetime64("2024-06-01T00:00")]))
    assert np.isnan(read([tmp_path / "a.npz"]).rain_rate[0, :5]).all()
