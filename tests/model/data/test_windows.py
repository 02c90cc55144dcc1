"""Training windows: found by time stamps, never across a gap, and seen along the motion."""

import numpy as np
import pytest
from pyproj import CRS

from model.core.errors import TooFewFrames
from model.core.grid import Grid
from model.core.units import hko7_rain_rate_mm_h
from model.data.archive import Archive, ArchiveWriter
from model.data.windows import FrameCache, Region, WindowConfig, lagrangian_window

CONFIG = WindowConfig(crop=48, margin=16, leads=6, step_minutes=(5, 10), coarsen_chance=0, scale_db=0)
SHAPE = (96, 128)
START = np.datetime64("2020-06-01T00:00")


def moving(frames, speed=3):
    """Blobs that move `speed` pixels east a frame, with a growing one if asked."""
    rng = np.random.default_rng(2)
    import cv2

    field = cv2.GaussianBlur(rng.standard_normal(SHAPE).astype(np.float32), (0, 0), 4)
    field = np.maximum(field / field.std(), 0) * 5
    return np.stack([np.roll(field, speed * i, 1) for i in range(frames)])


def archive(root, minutes):
    grid = Grid.regular(CRS.from_epsg(32650), shape=SHAPE, pixel_size=1000.0, centre=(0.0, 0.0))
    frames = moving(len(minutes))
    with ArchiveWriter(root, grid, 5.0, {}) as writer:
        for minute, frame in zip(minutes, frames, strict=True):
            writer.append(START + np.timedelta64(minute, "m"), frame)
    return Archive(root)


def test_windows_are_runs_of_time_stamps(tmp_path):
    cache = FrameCache(archive(tmp_path / "a", range(0, 60, 5)), tmp_path / "cache")
    region = Region(cache, CONFIG)
    # 12 frames at 5 min: full windows of 4 + 6 start at 0, 5, 10; shorter ones down to 4 + 3 at 15, 20, 25.
    assert [len(run) for run in region.runs[5]] == [10, 10, 10, 9, 8, 7]
    assert [run[0] for run in region.runs[5]] == [0, 1, 2, 3, 4, 5]
    # Every other frame: 4 + 3 frames span 60 min, and 55 are there.
    assert 10 not in region.runs


def test_a_gap_breaks_a_window(tmp_path):
    minutes = [*range(0, 30, 5), *range(35, 65, 5)]  # 30 is missing
    cache = FrameCache(archive(tmp_path / "a", minutes), tmp_path / "cache")
    with pytest.raises(TooFewFrames):
        Region(cache, WindowConfig(step_minutes=(5,), context=4, min_leads=3, leads=6))


def test_held_out_times_and_columns_are_never_drawn(tmp_path):
    cache = FrameCache(archive(tmp_path / "a", range(0, 200, 5)), tmp_path / "cache")
    early, late = Region(cache, CONFIG, minutes=(0, 100)), Region(cache, CONFIG, minutes=(100, 1e9))
    assert max(max(run) for runs in early.runs.values() for run in runs) < 20
    assert min(min(run) for runs in late.runs.values() for run in runs) >= 20


def test_held_out_columns_are_never_seen_not_even_across_the_border(tmp_path):
    cache = FrameCache(archive(tmp_path / "a", range(0, 200, 5)), tmp_path / "cache")
    cache.pixels = cache.pixels.copy()
    cache.pixels[:, :, 64:] = 200  # 71 mm/h, which nothing west of it has
    west = Region(cache, CONFIG, columns=(0, 64))
    rng = np.random.default_rng(0)
    drawn = [west.draw(rng, 5) for _ in range(100)]
    assert any(np.isnan(window.target[0]).any() for window in drawn)
    assert max(np.nanmax(array) for window in drawn for array in (window.context, window.target)) < 190 / 255


def test_in_the_lagrangian_frame_moving_rain_stands_still():
    window = lagrangian_window(moving(10), 5.0, WindowConfig(crop=32, margin=32, leads=6))
    newest = hko7_rain_rate_mm_h(window.context[-1])
    for frame in [*window.context[:-1], *window.target]:
        known = np.isfinite(frame)
        assert known.mean() > 0.5
        difference = np.abs(hko7_rain_rate_mm_h(frame) - newest)[known]
        assert difference.mean() < 0.25 * newest.mean()


def test_a_draw_has_the_shapes_asked_for_and_no_data_beyond_the_grid(tmp_path):
    region = Region(FrameCache(archive(tmp_path / "a", range(0, 120, 5)), tmp_path / "cache"), CONFIG)
    window = region.draw(np.random.default_rng(0), 5)
    assert window.context.shape == (4, 1, 48, 48)
    assert window.target.shape == (6, 1, 48, 48)
    again = region.draw(np.random.default_rng(0), 5)
    assert np.array_equal(window.target, again.target, equal_nan=True)
