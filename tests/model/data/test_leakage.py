"""Which days of an archive weights have seen, however the archive is called by then."""

import shutil

import numpy as np
import pytest
from pyproj import CRS

from model.core.grid import Grid
from model.core.manifest import Training, TrainingArchive
from model.data.archive import Archive
from model.data.archive_writer import ArchiveWriter
from model.data.leakage import find_leakage, geographic_bounds, shared_frames, training_archive
from model.data.synthetic_storms import synthesise

AMSTERDAM, BRISBANE = (5.0, 52.0), (153.0, -27.5)


def archive(root, *, at=AMSTERDAM, days=(1, 2), source="", shape=(40, 40), rain=2.0):
    """Three frames on each of these days of June 2020, around a place."""
    x, y = (at[axis] + 0.02 * (np.arange(shape[1 - axis]) - shape[1 - axis] / 2) for axis in (0, 1))
    grid = Grid(crs=CRS(4326), x=x, y=y[::-1])
    with ArchiveWriter(root, grid, 5.0, {"source": source} if source else {}) as writer:
        for day in days:
            for index in range(3):
                time = np.datetime64(f"2020-06-{day:02d}T10:00") + np.timedelta64(5 * index, "m")
                writer.append(time, np.full(shape, rain * (1 + index), np.float32))
    return Archive(root)


def trained_on(*archives, **more):
    """The record of a training."""
    found = {"data_digest": "", "days": (), "sources": (), "iterations": 1, "recipe": {}, "software": ""}
    return Training(**{**found, "archives": tuple(training_archive(each) for each in archives), **more})


def test_days_are_recognised_in_a_renamed_copy(tmp_path):
    record = trained_on(archive(tmp_path / "radar"))
    shutil.copytree(tmp_path / "radar", tmp_path / "copy")
    for folder in ("radar", "copy"):
        found = find_leakage(record, Archive(tmp_path / folder))
        assert (found.trained, found.days) == (("2020-06-01", "2020-06-02"), 2)
        assert found.describe() == "it was trained on 2 of these 2 days"
    later = archive(tmp_path / "radar-in-autumn", days=(2, 3))
    assert find_leakage(record, later).describe("mine@1") == "mine@1 was trained on 1 of these 2 days"


def test_overlapping_areas_share_their_weather_and_other_places_do_not(tmp_path):
    record = trained_on(archive(tmp_path / "whole", source="composite"))
    assert find_leakage(record, archive(tmp_path / "part", shape=(12, 20), source="one radar")).found
    assert not find_leakage(record, archive(tmp_path / "elsewhere", at=BRISBANE, source="one radar")).found
    assert not find_leakage(record, archive(tmp_path / "next-door", at=(5.7, 52.0), source="one radar")).found


def test_an_area_across_the_date_line_is_one(tmp_path):
    crossing = archive(tmp_path / "fiji", at=(180.0, -18.0), source="a")
    west, _, east, _ = geographic_bounds(crossing.grid)
    assert east - west == pytest.approx(0.78)
    assert find_leakage(
        trained_on(crossing), archive(tmp_path / "counted-otherwise", at=(-180.0, -18.0), source="b")
    ).found


def test_days_of_checkpoint_selection_are_reported_separately(tmp_path):
    radar = archive(tmp_path / "radar", days=(1, 2, 3))
    parts = {"days": ("2020-06-01",), "held_out_days": ("2020-06-02",)}
    record = trained_on(archives=(TrainingArchive(name="radar", source="", **parts),))
    found = find_leakage(record, radar)
    assert (found.trained, found.selected, found.found) == (("2020-06-01",), ("2020-06-02",), True)
    assert "was trained on 1 of these 3 days and was selected by its scores on 1 of these 3 days" in found.describe()


def test_older_records_match_by_name_source_and_digest(tmp_path):
    radar = archive(tmp_path / "radar", source="a service")
    renamed = archive(tmp_path / "renamed", source="a service", days=(1, 3))
    labels = {"days": ("radar 2020-06-01", "radar 2020-06-02"), "sources": ("a service",)}
    assert find_leakage(trained_on(**labels), renamed).trained == ("2020-06-01",)
    assert not find_leakage(trained_on(**labels), archive(tmp_path / "other", source="another")).found
    assert find_leakage(trained_on(data_digest=f"0+{radar.digest()}"), radar).trained == ("2020-06-01", "2020-06-02")


def test_gaps_in_the_provenance_are_reported(tmp_path):
    radar = archive(tmp_path / "radar")
    assert "is not recorded" in find_leakage(None, radar).provenance_gaps
    begun = trained_on(recipe={"init": {"from": "runs/old", "weights_sha256": "0"}})
    assert "runs/old" in find_leakage(begun, radar).provenance_gaps
    assert find_leakage(trained_on(radar), radar).provenance_gaps == ""


def test_synthetic_storms_have_no_area(tmp_path):
    found = []
    for seed in (1, 2):
        storms = synthesise(frames=2, shape=(64, 64), step_minutes=10.0, seed=seed)
        with ArchiveWriter(tmp_path / f"storms-{seed}", storms.grid, 10.0, storms.attributes) as writer:
            writer.append(storms.times[0], storms.rain_rate[0])
        found.append(Archive(tmp_path / f"storms-{seed}"))
    one, other = found
    assert find_leakage(trained_on(one), one).found
    assert not find_leakage(trained_on(one), other).found


def test_shared_frames_are_counted_without_dry_ones(tmp_path):
    one = archive(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    assert shared_frames(one, [Archive(tmp_path / "copy")]) == 6
    assert shared_frames(one, [archive(tmp_path / "heavier", rain=20.0)]) == 0
    dry = [archive(tmp_path / name, rain=0.0) for name in ("dry", "also-dry")]
    assert shared_frames(dry[0], dry[1:]) == 0
