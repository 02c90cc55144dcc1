"""A radar archive as a source of windows, and data sets by name."""

from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS

from model.core.errors import InputError, TooFewFrames
from model.core.grid import Grid
from model.core.normalisation import hko7_rain_rate_mm_h
from model.data.archive import Archive
from model.data.archive_writer import ArchiveWriter
from model.data.datasets import open_dataset
from model.data.frame_cache import FrameCache
from model.data.radar_dataset import Holdout, RadarDataset
from model.data.region_sampler import ABSENT, RegionSampler
from model.data.split import write_split
from model.data.windows import WindowConfig

CONFIG = WindowConfig(crop=32, margin=8, context=3, leads=4, step_minutes=(5,), coarsen_chance=0.5, scale_db=0)
START = np.datetime64("2020-06-01T23:00")
SHAPE = (80, 96)


def archive(root, frames, rain=None):
    grid = Grid.regular(CRS.from_epsg(32650), shape=SHAPE, pixel_size=1000.0, centre=(500.0, 900.0))
    rng = np.random.default_rng(1)
    with ArchiveWriter(root, grid, 5.0, {"source": "a test", "licence": "none"}) as writer:
        for index in range(frames):
            field = rng.gamma(0.5, 4, SHAPE).astype(np.float32) if rain is None else rain(index, grid)
            writer.append(START + np.timedelta64(5 * index, "m"), field)
    return Archive(root)


def test_held_out_windows_are_the_same_for_the_same_seed_and_of_every_archive(tmp_path):
    source = RadarDataset(
        [archive(tmp_path / "a", 40), archive(tmp_path / "b", 12)], CONFIG, Holdout(), tmp_path / "cache"
    )
    once, again = source.held_out(3, 2, 6), source.held_out(3, 2, 6)
    assert [len(batch) for batch in once] == [2, 2, 2, 2]
    for one, other in zip(np.ravel(np.array(once, object)), np.ravel(np.array(again, object)), strict=True):
        assert np.array_equal(one.context, other.context, equal_nan=True)
        assert np.array_equal(one.target, other.target, equal_nan=True)
    different = source.held_out(4, 2, 6)[0][0]
    assert not np.array_equal(different.context, once[0][0].context, equal_nan=True)


def test_a_long_archive_holds_out_its_end_and_a_short_one_its_east(tmp_path):
    long, short = archive(tmp_path / "a", 40), archive(tmp_path / "b", 12)
    source = RadarDataset([long, short], CONFIG, Holdout(), tmp_path / "cache")
    trained = set(source.train_regions[0].runs[5].ravel()) - {ABSENT}
    unseen = set(source.held_out_regions[0].runs[5].ravel()) - {ABSENT}
    assert max(trained) < min(unseen)
    assert min(unseen) == 30
    assert source.train_regions[1].columns == (0, 77)
    assert source.held_out_regions[1].columns == (77, 96)


def test_training_and_held_out_windows_are_of_their_own_part(tmp_path):
    def rain(index, grid):  # 1 mm/h in the part that trains, and 40 in the last quarter
        return np.full(SHAPE, 1 if index < 30 else 40, np.float32)

    source = RadarDataset([archive(tmp_path / "a", 40, rain)], CONFIG, Holdout(), tmp_path / "cache")
    stream = source.training(np.random.default_rng(0), 4)
    trained = [window for _ in range(5) for window in next(stream)]
    held_out = [window for batch in source.held_out(0, 4, 20) for window in batch]
    assert max(np.nanmax(hko7_rain_rate_mm_h(window.target)) for window in trained) < 2
    assert min(np.nanmin(hko7_rain_rate_mm_h(window.context)) for window in held_out) > 30


def test_the_name_of_an_archive_is_that_of_its_resolved_folder(tmp_path, monkeypatch):
    named = RadarDataset([archive(tmp_path / "a", 40)], CONFIG, Holdout(), tmp_path / "cache").provenance()
    monkeypatch.chdir(tmp_path / "a")
    here = RadarDataset([Archive(Path())], CONFIG, Holdout(), tmp_path / "cache").provenance()
    assert here.days == named.days == ("a 2020-06-01", "a 2020-06-02")


def test_provenance_names_archives_days_and_licence(tmp_path):
    kept = archive(tmp_path / "a", 20)
    provenance = RadarDataset([kept], CONFIG, Holdout(), tmp_path / "cache").provenance()
    assert provenance.digest == kept.digest()
    assert provenance.days == ("a 2020-06-01", "a 2020-06-02")
    assert provenance.sources == ("a test (none)",)


def days(root):
    """Four days of two hours each: 1, 2, 4 and 8 mm/h; the first two train, the third is valid, the last test."""
    grid = Grid.regular(CRS.from_epsg(32650), shape=SHAPE, pixel_size=1000.0, centre=(500.0, 900.0))
    with ArchiveWriter(root, grid, 5.0, {"source": "a test"}) as writer:
        for day in range(4):
            for index in range(24):
                time = np.datetime64("2020-06-01T10:00") + np.timedelta64(1440 * day + 5 * index, "m")
                writer.append(time, np.full(SHAPE, 2.0**day, np.float32))
    june = [np.datetime64("2020-06-01") + day for day in range(5)]
    write_split(
        root, {"train": {june[0]: "1", june[1]: "2"}, "valid": {june[2]: "4"}, "test": {june[3]: "8", june[4]: ""}}
    )
    return Archive(root)


def test_a_split_archive_trains_on_train_holds_out_valid_and_never_sees_test(tmp_path):
    source = RadarDataset([days(tmp_path / "a")], CONFIG, Holdout(), tmp_path / "cache")
    stream = source.training(np.random.default_rng(0), 4)
    trained = [window for _ in range(5) for window in next(stream)]
    held_out = [window for batch in source.held_out(0, 4, 20) for window in batch]
    rain = [
        {round(float(rate)) for window in windows for rate in hko7_rain_rate_mm_h(window.context)[window.context > 0]}
        for windows in (trained, held_out)
    ]
    assert rain == [{1, 2}, {4}]
    assert source.train_regions[0].cache is source.held_out_regions[0].cache


def test_provenance_has_the_days_of_a_split_and_the_digest_depends_on_it(tmp_path):
    kept = days(tmp_path / "a")
    provenance = RadarDataset([kept], CONFIG, Holdout(), tmp_path / "cache").provenance()
    assert provenance.days == ("a 2020-06-01", "a 2020-06-02")
    assert provenance.held_out_days == ("a 2020-06-03",)
    parts = kept.parts()
    write_split(kept.root, {**parts, "valid": parts["test"], "test": parts["valid"]})
    changed = RadarDataset([Archive(kept.root)], CONFIG, Holdout(), tmp_path / "cache").provenance()
    assert changed.digest != provenance.digest
    assert changed.held_out_days == ("a 2020-06-04",)


def test_an_archive_that_is_too_short_is_named(tmp_path):
    with pytest.raises(TooFewFrames, match=str(tmp_path / "a")):
        RadarDataset([archive(tmp_path / "a", 5)], CONFIG, Holdout(), tmp_path / "cache")


def test_without_the_lagrangian_frame_the_rain_is_where_it_was(tmp_path):
    # A single bright column that moves east by one pixel a frame: in an Eulerian window it moves.
    def rain(index, grid):
        field = np.zeros(SHAPE, np.float32)
        field[:, 40 + index] = 20
        return field

    config = WindowConfig(
        crop=64, margin=0, context=3, leads=4, min_leads=4, step_minutes=(5,), coarsen_chance=0, lagrangian=False
    )
    region = RegionSampler(FrameCache(archive(tmp_path / "a", 12, rain), tmp_path / "cache"), config)
    window = region.draw(np.random.default_rng(0), 5)
    frames = np.nan_to_num(hko7_rain_rate_mm_h(np.concatenate([window.context, window.target])[:, 0]))
    corners = np.array([np.argwhere(frame > 10).min(axis=0) for frame in frames])
    steps = np.diff(corners, axis=0)
    assert (np.abs(steps).sum(axis=1) == 1).all()
    assert (steps == steps[0]).all()


def test_fields_lie_where_the_rain_lies_at_its_times(tmp_path):
    def coordinates(times, grid):
        """A field that grows eastwards, northwards and with time (mm/h), of the archive's extent and no further."""
        assert np.abs(grid.x - 500).max() <= 47500
        assert np.abs(grid.y - 900).max() <= 39500
        hours = (times - START).astype("timedelta64[s]").astype(float) / 300
        place = (grid.x[None] + 60000) / 2500 + (grid.y[:, None] + 60000) / 4000
        return np.stack([(place + hour)[None] for hour in hours]).astype(np.float32)

    def rain(index, grid):
        return coordinates(np.array([START + np.timedelta64(5 * index, "m")]), grid)[0, 0]

    config = WindowConfig(
        crop=32, margin=8, context=3, leads=4, step_minutes=(5, 10), coarsen_chance=0.5, scale_db=0, lagrangian=False
    )
    cache = FrameCache(archive(tmp_path / "a", 20, rain), tmp_path / "cache")
    region = RegionSampler(cache, config, read_fields=coordinates)
    rng = np.random.default_rng(5)
    for _ in range(40):  # every turn, mirroring, resolution and step, across the border too
        (window,) = region.batch(rng, 1, list(region.runs))
        assert window.fields.shape == (7, 1, 32, 32)
        assert np.isfinite(window.fields).all()
        frames = hko7_rain_rate_mm_h(np.concatenate([window.context, window.target]))
        known = np.isfinite(frames)
        assert known.any()
        difference = (frames - window.fields)[known]  # a pixel is 0.4 and 0.25, a frame 1; an archive has 8 bits
        assert abs(difference.mean()) < 0.05
        assert np.abs(difference).max() < 2


def test_fields_with_lagrangian_windows_are_refused(tmp_path):
    with pytest.raises(InputError, match="lagrangian=False"):
        RadarDataset([archive(tmp_path / "a", 20)], CONFIG, Holdout(), tmp_path / "cache", fields=("solar-time",))


def test_fields_are_read_by_name_and_unknown_ones_are_refused(tmp_path):
    config = WindowConfig(crop=32, margin=0, context=3, leads=4, step_minutes=(5,), lagrangian=False)
    source = RadarDataset(
        [archive(tmp_path / "a", 40)], config, Holdout(), tmp_path / "cache", fields=("solar-time", "season")
    )
    for batch in (next(source.training(np.random.default_rng(0), 2)), source.held_out(0, 2, 2)[0]):
        assert [window.fields.shape for window in batch] == [(7, 4, 32, 32)] * 2
    with pytest.raises(InputError, match=r"wind\.nc"):
        next(
            RadarDataset(
                [archive(tmp_path / "b", 40)],
                config,
                Holdout(),
                tmp_path / "cache",
                fields=("wind",),
                fields_folder=tmp_path,
            ).training(np.random.default_rng(0), 1)
        )


@pytest.mark.parametrize("text", ["mnist", "kth", "kth:", "taxibj", "moving-mnist:"])
def test_an_unknown_data_set_is_refused_with_the_known_ones(text, tmp_path):
    with pytest.raises(InputError, match="moving-mnist:PATH, kth:DIR, taxibj:PATH or frames:PATH"):
        open_dataset(text, cache_folder=tmp_path)


@pytest.mark.parametrize("name", ["moving-mnist", "kth", "taxibj"])
def test_missing_files_are_named_with_their_download_site(name, tmp_path):
    where = tmp_path / "nowhere"
    with pytest.raises(InputError, match=r"Download it from .*docs/datasets\.md") as caught:
        open_dataset(f"{name}:{where}", cache_folder=tmp_path)
    assert Path(caught.value.where) == where
