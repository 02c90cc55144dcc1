"""Training windows: found by time stamps, never across a gap, and seen along the motion."""

from dataclasses import replace

import numpy as np
import pytest
from pyproj import CRS

from model.core.errors import InputError, NoData, TooFewFrames
from model.core.grid import Grid
from model.core.normalisation import hko7_rain_rate_mm_h
from model.data.archive import Archive
from model.data.archive_paths import frame_path
from model.data.archive_writer import ArchiveWriter, encode_frame
from model.data.frame_cache import FrameCache
from model.data.radar_dataset import Holdout, RadarDataset
from model.data.region_sampler import ABSENT, RegionSampler
from model.data.windows import QUANTA_MM_H, WindowConfig, lagrangian_window, lose_frames, quantise

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
    region = RegionSampler(cache, CONFIG)
    # 12 frames at 5 min: full windows of 4 + 6 start at 0, 5, 10; shorter ones down to 4 + 3 at 15, 20, 25.
    assert [int((run != ABSENT).sum()) for run in region.runs[5]] == [10, 10, 10, 9, 8, 7]
    assert [int(run[0]) for run in region.runs[5]] == [0, 1, 2, 3, 4, 5]
    # Every other frame: 4 + 3 frames span 60 min, and 55 are there.
    assert 10 not in region.runs


def test_a_gap_breaks_a_window(tmp_path):
    minutes = [*range(0, 30, 5), *range(35, 65, 5)]  # 30 is missing
    cache = FrameCache(archive(tmp_path / "a", minutes), tmp_path / "cache")
    with pytest.raises(TooFewFrames):
        RegionSampler(cache, WindowConfig(step_minutes=(5,), context=4, min_leads=3, leads=6))


def test_at_most_max_missing_frames_in_a_row_may_be_missing(tmp_path):
    # Frames at 0, 5, 20, 25, 30, 35 min: 10 and 15 are missing, and 40 and all after it.
    minutes = [0, 5, 20, 25, 30, 35]
    cache = FrameCache(archive(tmp_path / "a", minutes), tmp_path / "cache")
    config = WindowConfig(
        crop=48, margin=0, step_minutes=(5,), context=2, leads=4, min_leads=1, lagrangian=False, coarsen_chance=0
    )
    # Runs that break at a gap: 20-25-30-35, 25-30-35; each start needs two frames and one more: 20, 25.
    assert RegionSampler(cache, config).runs[5].tolist() == [[2, 3, 4, 5, -1, -1], [3, 4, 5, -1, -1, -1]]
    # One in a row is not enough for two that are missing.
    assert len(RegionSampler(cache, replace(config, max_missing=1)).runs[5]) == 2
    # Two: 0-5-x-x-20-25 is one window more. From 5 the newest context frame, at 10, would be a missing one. Windows
    # from 30 and 35 have no lead left.
    region = RegionSampler(cache, replace(config, max_missing=2))
    assert region.runs[5].tolist() == [[0, 1, -1, -1, 2, 3], [2, 3, 4, 5, -1, -1], [3, 4, 5, -1, -1, -1]]
    region.runs[5] = region.runs[5][:1]
    window = region.draw(np.random.default_rng(0), 5)
    known = np.isfinite(np.concatenate([window.context, window.target])).any(axis=(1, 2, 3))
    assert known.tolist() == [True, True, False, False, True, True]


def test_lagrangian_windows_need_every_frame(tmp_path):
    cache = FrameCache(archive(tmp_path / "a", range(0, 60, 5)), tmp_path / "cache")
    with pytest.raises(InputError, match="lagrangian=False"):
        RegionSampler(cache, replace(CONFIG, max_missing=2))


def test_times_outside_the_region_are_never_in_a_window(tmp_path):
    cache = FrameCache(archive(tmp_path / "a", range(0, 200, 5)), tmp_path / "cache")
    early, late = (RegionSampler(cache, CONFIG, times=cache.times[part]) for part in (slice(20), slice(20, None)))
    assert max(runs.max() for runs in early.runs.values()) < 20
    assert min(runs[runs != ABSENT].min() for runs in late.runs.values()) >= 20


def test_held_out_columns_are_never_seen_not_even_across_the_border(tmp_path):
    grid = Grid.regular(CRS.from_epsg(32650), shape=SHAPE, pixel_size=1000.0, centre=(0.0, 0.0))
    frames = moving(12)
    frames[:, :, 64:] = 71.0  # mm/h, which nothing west of it has
    with ArchiveWriter(tmp_path / "a", grid, 5.0, {}) as writer:
        for index, frame in enumerate(frames):
            writer.append(START + np.timedelta64(5 * index, "m"), frame)
    west = RegionSampler(FrameCache(Archive(tmp_path / "a"), tmp_path / "cache"), CONFIG, columns=(0, 64))
    rng = np.random.default_rng(0)
    drawn = [west.draw(rng, 5) for _ in range(60)]
    assert any(np.isnan(window.target[0]).any() for window in drawn)
    assert max(np.nanmax(array) for window in drawn for array in (window.context, window.target)) < 190 / 255


def halves(root, dry_share=0.5, frames=4):
    """An archive that is dry, but for 5 mm/h in the eastern part; its crops are 16 pixels wide."""
    grid = Grid.regular(CRS.from_epsg(32650), shape=(64, 128), pixel_size=1000.0, centre=(0.0, 0.0))
    rain = np.zeros(grid.shape, np.float32)
    rain[:, round(128 * dry_share) :] = 5
    with ArchiveWriter(root, grid, 5.0, {}) as writer:
        for index in range(frames):
            writer.append(START + np.timedelta64(5 * index, "m"), rain)
    return Archive(root)


NARROW = WindowConfig(
    crop=16,
    margin=0,
    context=2,
    leads=2,
    min_leads=2,
    step_minutes=(5,),
    coarsen_chance=0,
    scale_db=0,
    lagrangian=False,
    draw_floor=0.05,
)


def test_the_probability_of_a_window_is_that_of_its_rain(tmp_path):
    region = RegionSampler(FrameCache(halves(tmp_path / "a"), tmp_path / "cache"), NARROW)
    run = region.runs[5][0]
    assert region.probability(run, (32, 24), 1) == pytest.approx(0.05)
    # 5 mm/h is pixel 140, which is 4.96 mm/h: 1 - exp(-4.96) = 0.993, and the floor, are more than 1.
    assert region.probability(run, (32, 100), 1) == 1
    assert region.probability(run, (32, 64), 1) == pytest.approx(0.05 + 0.993 / 2, abs=1e-3)
    # A quarter of this crop lies in the grid, and is dry.
    assert region.probability(run, (0, 0), 1) == pytest.approx(0.05 / 4)
    # Of this one, half lies beyond the border of what may be seen, where it rains.
    west = RegionSampler(region.cache, NARROW, columns=(0, 64))
    assert west.probability(run, (32, 64), 1) == pytest.approx(0.05 / 2)


def test_wet_windows_are_drawn_more_often_and_weights_correct_for_it(tmp_path):
    # Seven eighths of the columns are dry.
    region = RegionSampler(FrameCache(halves(tmp_path / "a", 0.875), tmp_path / "cache"), NARROW)
    rng = np.random.default_rng(0)
    drawn = [region.draw(rng, 5) for _ in range(500)]
    wet = np.array([np.nanmean(window.context > 0) for window in drawn])
    weights = np.array([window.weight for window in drawn])
    assert wet.mean() > 0.4
    every = [np.mean(np.arange(x - 8, x + 8) >= 112) for x in range(8, 121)]  # centres of crops that lie in the grid
    assert np.average(wet, weights=weights) == pytest.approx(np.mean(every), abs=0.04)
    assert weights.min() >= 1


def test_a_damaged_frame_is_named_once_and_breaks_windows(tmp_path, caplog):
    kept = halves(tmp_path / "a", frames=12)
    path = frame_path(kept.root, kept.times[5])
    path.write_bytes(path.read_bytes()[:50])
    region = RegionSampler(FrameCache(kept, tmp_path / "cache"), NARROW)
    rng = np.random.default_rng(0)
    for _ in range(100):
        assert np.isfinite(region.draw(rng, 5).context).any()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert f"1 so far: {path}: it is truncated, after 50 bytes. Import its file again" in told[0]
    assert list(region.cache.damaged) == [5]


def test_what_is_drawn_does_not_depend_on_what_was_drawn_before(tmp_path):
    kept = halves(tmp_path / "a", frames=12)
    path = frame_path(kept.root, kept.times[5])
    path.write_bytes(path.read_bytes()[:50])
    used, fresh = (RegionSampler(FrameCache(kept, tmp_path / "cache"), NARROW) for _ in range(2))
    for seed in range(20):
        used.draw(np.random.default_rng(seed), 5)
    one, other = (region.draw(np.random.default_rng(7), 5) for region in (used, fresh))
    assert np.array_equal(one.context, other.context, equal_nan=True)
    assert one.weight == other.weight


def test_an_archive_without_data_is_exhausted(tmp_path, monkeypatch):
    monkeypatch.setattr("model.data.region_sampler.MAX_CANDIDATES", 100)
    grid = Grid.regular(CRS.from_epsg(32650), shape=(64, 64), pixel_size=1000.0, centre=(0.0, 0.0))
    with ArchiveWriter(tmp_path / "a", grid, 5.0, {}) as writer:
        for index in range(4):
            writer.append(START + np.timedelta64(5 * index, "m"), np.full((64, 64), np.nan, np.float32))
    region = RegionSampler(FrameCache(Archive(tmp_path / "a"), tmp_path / "cache"), NARROW)
    with pytest.raises(NoData, match="hardly any pixel holds data"):
        region.draw(np.random.default_rng(0), 5)


def test_a_damaged_frame_shortens_windows_that_stay_long_enough(tmp_path):
    kept = halves(tmp_path / "a", frames=4)
    path = frame_path(kept.root, kept.times[3])
    path.write_bytes(path.read_bytes()[:50])
    region = RegionSampler(FrameCache(kept, tmp_path / "cache"), replace(NARROW, min_leads=1))
    drawn = [region.draw(np.random.default_rng(seed), 5) for seed in range(40)]
    # From 0: both leads less the damaged one; from 1 as well: none of its leads is left.
    assert {int(np.isfinite(window.target).any(axis=(1, 2, 3)).sum()) for window in drawn} == {1}


def test_a_time_step_with_damaged_windows_only_is_exhausted(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("model.data.region_sampler.MAX_CANDIDATES", 200)
    kept = halves(tmp_path / "a", frames=9)
    for index in (2, 3):  # every second frame from any: one of these is in the way
        path = frame_path(kept.root, kept.times[index])
        path.write_bytes(path.read_bytes()[:50])
    region = RegionSampler(FrameCache(kept, tmp_path / "cache"), replace(NARROW, step_minutes=(5, 10)))
    region.runs[10] = region.runs[10][:2]
    windows = region.batch(np.random.default_rng(0), 3, [10, 5])
    assert {window.step_minutes for window in windows} == {5}
    region.runs[5] = region.runs[5][:3]
    with pytest.raises(NoData, match=r"2 of the frames are damaged\. Inspect it with: echocast archive info --check"):
        region.batch(np.random.default_rng(0), 3, [10, 5])


def test_a_crop_as_large_as_the_grid_is_the_grid(tmp_path):
    region = RegionSampler(FrameCache(halves(tmp_path / "a"), tmp_path / "cache"), replace(NARROW, crop=64))
    narrow = RegionSampler(region.cache, replace(NARROW, crop=64), columns=(0, 40))
    for seed in range(10):
        window = region.draw(np.random.default_rng(seed), 5)
        assert np.isfinite(window.context).all()
        assert np.isfinite(narrow.draw(np.random.default_rng(seed), 5).context).mean() == 40 / 64


def test_frames_are_decoded_on_first_use_and_cached(tmp_path):
    kept = halves(tmp_path / "a", frames=3)
    cache = FrameCache(kept, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.u8"))
    first = np.array(cache.frame(0))
    assert np.array_equal(first, kept.read_pixels(kept.times[0])[0])
    assert len(list((tmp_path / "cache").rglob("*.u8"))) == 1
    # Kept frames need no archive; and a frame that is imported anew is decoded anew.
    assert np.array_equal(FrameCache(kept, tmp_path / "cache").frame(0), first)
    with ArchiveWriter(kept.root, kept.grid, 5.0, {}) as writer:
        writer.put(encode_frame(kept.times[0], np.full(kept.grid.shape, 20, np.float32)))
    assert (cache.frame(0) == 175).all()  # 20 mm/h: 255 (10 log10 58.53 + 15.6 log10 20 + 10) / 70


def test_frames_are_not_cached_on_a_nearly_full_disk(tmp_path, monkeypatch):
    kept = halves(tmp_path / "a", frames=3)
    monkeypatch.setattr("model.data.frame_cache.FREE_SHARE", 1.0)
    cache = FrameCache(kept, tmp_path / "cache")
    assert np.array_equal(cache.frame(1), kept.read_pixels(kept.times[1])[0])
    assert not list((tmp_path / "cache").rglob("*.u8"))


def test_in_the_lagrangian_frame_moving_rain_stands_still():
    window = lagrangian_window(moving(10), 5.0, WindowConfig(crop=32, margin=32, leads=6))
    newest = hko7_rain_rate_mm_h(window.context[-1])
    for frame in [*window.context[:-1], *window.target]:
        known = np.isfinite(frame)
        assert known.mean() > 0.5
        difference = np.abs(hko7_rain_rate_mm_h(frame) - newest)[known]
        assert difference.mean() < 0.25 * newest.mean()


def test_a_draw_has_the_configured_shapes_and_no_data_beyond_the_grid(tmp_path):
    region = RegionSampler(FrameCache(archive(tmp_path / "a", range(0, 120, 5)), tmp_path / "cache"), CONFIG)
    window = region.draw(np.random.default_rng(0), 5)
    assert window.context.shape == (4, 1, 48, 48)
    assert window.target.shape == (6, 1, 48, 48)
    again = region.draw(np.random.default_rng(0), 5)
    assert np.array_equal(window.target, again.target, equal_nan=True)


def test_a_window_drawn_by_its_context_does_not_depend_on_the_future(tmp_path):
    """Rain that only the last frame holds makes a window likelier, unless the context alone decides."""
    grid = Grid.regular(CRS.from_epsg(32650), shape=SHAPE, pixel_size=1000.0, centre=(0.0, 0.0))
    chances = {}
    for name, future in (("dry", 0.0), ("wet", 5.0)):
        with ArchiveWriter(tmp_path / name, grid, 5.0, {}) as writer:
            for index in range(10):
                rain = np.full(SHAPE, future if index > 3 else 0.0, np.float32)
                writer.append(START + np.timedelta64(5 * index, "m"), rain)
        cache = FrameCache(Archive(tmp_path / name), tmp_path / "cache")
        for draw_by in ("window", "context"):
            region = RegionSampler(cache, replace(CONFIG, draw_by=draw_by))
            chances[draw_by, name] = region.probability(region.runs[5][0], (48, 64), 1)
    assert chances["window", "wet"] > 10 * chances["window", "dry"]
    assert chances["context", "wet"] == chances["context", "dry"]


def test_an_outage_loses_frames_before_the_newest_and_a_window_fills_them():
    config = replace(CONFIG, outage_chance=1.0)
    rain = moving(10)
    lost_frames = set()
    for seed in range(20):
        lost = lose_frames(rain[:4], np.random.default_rng(seed))
        assert np.array_equal(lost[3], rain[3])
        missing = np.isnan(lost[:3]).mean(axis=(1, 2))
        assert set(missing) <= {0.0, 0.5, 1.0}
        assert 1 <= (missing > 0).sum() <= 2
        lost_frames |= set(np.flatnonzero(missing))
    assert lost_frames == {0, 1, 2}
    lost = lose_frames(rain[:4], np.random.default_rng(1))
    window = lagrangian_window(np.concatenate([lost, rain[4:]]), 5.0, config)
    whole = lagrangian_window(rain, 5.0, config)
    assert np.isfinite(window.context).mean() > 0.95
    assert np.nanmean(np.abs(window.context - whole.context)) < 0.05


def test_outages_need_frames_to_lose():
    with pytest.raises(ValueError, match="outage_chance needs"):
        WindowConfig(context=2, outage_chance=0.1)


def growing(root, frames=24):
    """An archive of uniform rain that grows by 1 mm/h every 5 min."""
    grid = Grid.regular(CRS.from_epsg(32650), shape=SHAPE, pixel_size=1000.0, centre=(0.0, 0.0))
    with ArchiveWriter(root, grid, 5.0, {}) as writer:
        for index in range(frames):
            writer.append(START + np.timedelta64(5 * index, "m"), np.full(SHAPE, 2.0 + index, np.float32))
    return Archive(root)


def levels(window):
    """The rain (mm/h) of each frame of a window of uniform rain."""
    frames = np.concatenate([window.context, window.target])[:, 0]
    frames = frames[np.isfinite(frames).any(axis=(1, 2))]  # windows near the end have fewer leads
    return np.nanmedian(hko7_rain_rate_mm_h(frames), axis=(1, 2))


@pytest.mark.parametrize(
    ("changes", "step", "expected"),
    [
        ({"reverse_chance": 1.0}, 5.0, -1.0),
        ({}, 5.0, 1.0),
        ({"accumulate_chance": 1.0}, 10.0, 2.0),
        ({"accumulate_chance": 1.0, "reverse_chance": 1.0}, 10.0, -2.0),
    ],
    ids=["backwards", "forwards", "accumulated", "accumulated backwards"],
)
def test_variations_of_a_window(changes, step, expected, tmp_path):
    config = replace(CONFIG, leads=4, lagrangian=False, **changes)
    region = RegionSampler(FrameCache(growing(tmp_path / "a"), tmp_path / "cache"), config)
    accumulated = 0
    for seed in range(6):
        found = levels(region.draw(np.random.default_rng(seed), step))
        assert np.diff(found) == pytest.approx(expected, abs=0.6)
        # A mean of two frames lies half way between whole numbers of mm/h.
        accumulated += abs(found[0] % 1 - 0.5) < 0.25
    assert accumulated >= 4 if "accumulate_chance" in changes else accumulated == 0


def test_rain_of_a_quantised_window_has_few_values():
    rain = np.random.default_rng(1).gamma(0.5, 3.0, (8, 40, 40)).astype(np.float32)
    rain[:, :5] = np.nan
    lightest = set()
    for seed in range(20):
        quantised = quantise(rain, np.random.default_rng(seed))
        assert np.array_equal(np.isnan(quantised), np.isnan(rain))
        values = np.unique(quantised[np.isfinite(quantised)])
        quantum = values[1]
        assert values[0] == 0
        assert QUANTA_MM_H[0] <= quantum <= QUANTA_MM_H[1] + 1e-6
        assert values / quantum == pytest.approx(np.rint(values / quantum), rel=1e-5)
        assert np.nanmax(np.abs(quantised - rain)) <= quantum * 1.001
        lightest.add(round(float(rain[quantised > 0].min() / quantum), 1))
    assert lightest == {0.5, 1.0}, "rounded to the nearest, or down"


def test_drawn_windows_are_quantised(tmp_path):
    cache = FrameCache(growing(tmp_path / "a"), tmp_path / "cache")
    config = replace(CONFIG, leads=4, lagrangian=False)
    observed = levels(RegionSampler(cache, config).draw(np.random.default_rng(3), 5.0))
    quantised = levels(RegionSampler(cache, replace(config, quantise_chance=1.0)).draw(np.random.default_rng(3), 5.0))
    assert 0.02 < np.abs(quantised - observed).max() <= QUANTA_MM_H[1] + 0.05


def test_held_out_windows_are_as_observed(tmp_path):
    varied = {"reverse_chance": 1.0, "accumulate_chance": 1.0, "quantise_chance": 1.0}
    config = replace(CONFIG, leads=4, exponent_spread=0.4, scale_db=5.0, **varied)
    data = RadarDataset([growing(tmp_path / "a", frames=60)], replace(config, lagrangian=False), Holdout(), tmp_path)
    for batch in data.held_out(1, 4, 4):
        for window in batch:
            found = levels(window)
            assert np.diff(found).min() >= 0
            assert found[-1] - found[0] == pytest.approx(len(found) - 1, abs=2.5)  # pixels of 8 bits
