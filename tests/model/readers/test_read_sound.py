"""Reading what can be read of several files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.core.errors import InputError, NotARadarFile, TooLarge
from model.readers import read, read_sound

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
    sequence = read_sound(frames)
    assert [str(time)[14:16] for time in sequence.times] == ["05", "15", "20"]
    (note,) = sequence.notes
    assert note.startswith(f"left out: {frames[1]} (")
    with pytest.raises(NotARadarFile):
        read(frames)


def test_a_file_on_another_grid_is_left_out_and_named(frames: list[Path], write_knmi: Write) -> None:
    other = frame(write_knmi, 25, shape=(6, 5))
    sequence = read_sound([*frames, other])
    assert len(sequence) == 4
    assert sequence.notes == (f"left out: {other} (it lies on another grid)",)


def test_whole_files_need_no_note(frames: list[Path]) -> None:
    assert read_sound(frames).notes == ()


def test_of_two_files_neither_is_left_out(frames: list[Path]) -> None:
    frames[0].write_bytes(b"GIF89a")
    with pytest.raises(NotARadarFile, match=str(frames[0])):
        read_sound(frames[:2])


def test_a_path_without_a_file_and_too_many_pixels_stay_errors(frames: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.h5: there is no such file"):
        read_sound([*frames, tmp_path / "absent.h5"])
    with pytest.raises(TooLarge):
        read_sound(frames, max_pixels=20)
