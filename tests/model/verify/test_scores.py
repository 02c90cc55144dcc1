"""Scores against counts worked out by hand, and the protocol's start times."""

import numpy as np
import pytest
from pyproj import CRS

from model.core.errors import TooFewFrames
from model.core.grid import Grid
from model.data.archive import Archive, ArchiveWriter
from model.runtime.baselines import Persistence
from model.verify.protocol import NOWCAST_60, start_indices, verify
from model.verify.scores import Contingency


def test_counts_by_hand():
    counts = Contingency.empty((0.5, 5.0), 1)
    forecast = np.array([[1.0, 6.0, 0.0, 6.0, 9.0]], np.float32)
    truth = np.array([[1.0, 4.0, 0.6, 7.0, 0.0]], np.float32)
    scored = np.array([[True, True, True, True, False]])
    counts.add(0, forecast, truth, scored)
    # At 0.5: hits 1, 6, 6; miss 0.6. At 5: hit 7; false alarm 6 over 4.
    assert (counts.hits[:, 0].tolist(), counts.misses[:, 0].tolist()) == ([3, 1], [1, 0])
    assert counts.false_alarms[:, 0].tolist() == [0, 1]
    assert counts.csi[:, 0] == pytest.approx([0.75, 0.5])
    assert counts.pod[:, 0] == pytest.approx([0.75, 1.0])
    assert counts.far[:, 0] == pytest.approx([0.0, 0.5])
    assert counts.bias[:, 0] == pytest.approx([0.75, 2.0])


def test_nothing_to_count_is_not_a_score():
    assert np.isnan(Contingency.empty((0.5,), 2).csi).all()


@pytest.fixture
def archive(tmp_path):
    grid = Grid.regular(CRS.from_epsg(32650), shape=(20, 30), pixel_size=1000.0, centre=(0.0, 0.0))
    start = np.datetime64("2020-06-01T00:00")
    with ArchiveWriter(tmp_path / "a", grid, 10.0, {}) as writer:
        for index in range(20):
            if index != 12:
                rain = np.zeros(grid.shape, np.float32)
                rain[:, index : index + 5] = 8.0
                writer.append(start + np.timedelta64(10 * index, "m"), rain)
    return Archive(tmp_path / "a")


def test_start_times_step_by_the_stride_and_never_span_a_gap(archive):
    starts = [before[-1] for before, after in start_indices(archive, NOWCAST_60, 2)]
    # Frames 0-11 and 13-19 are there. 2 before and 6 after: starts 1 to 5 every 30 min -> 1, 4; none after the gap
    # (it would need frames 13 .. 20).
    assert starts == [1, 4]


def test_persistence_of_moving_rain_scores_what_its_geometry_says(archive):
    counts, starts = verify(archive, [Persistence()], NOWCAST_60)
    csi = counts["persistence@1"].csi[0]
    # A band 5 wide that moves 1 a step overlaps itself in 4, 3, 2, 1, 0 of 6, 7, 8, 9, 10 columns.
    assert starts == 2
    assert csi[:5] == pytest.approx([4 / 6, 3 / 7, 2 / 8, 1 / 9, 0.0])


def test_an_archive_that_is_too_short_is_refused(tmp_path, archive):
    short = NOWCAST_60.__class__(
        name="x", horizon_minutes=300, stride_minutes=30, thresholds_mm_h=(0.5,), description=""
    )
    with pytest.raises(TooFewFrames, match="30 after"):
        verify(archive, [Persistence()], short)
