"""Neighbourhood probabilities: shares that can be counted by hand, edges, gaps, and what predictors make of them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pyproj import CRS

from model.core.errors import InputError
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.data.synthetic_storms import synthesise
from model.runtime.baselines import Extrapolation, Persistence
from model.runtime.neighbourhood import neighbourhood_probability, neighbourhood_px, neighbourhood_shares
from model.runtime.predictor import BasePredictor
from model.runtime.request import ForecastEvent, ForecastRequest
from tests.predictors import FailingPredictor

RD = CRS.from_epsg(28992)
THRESHOLDS = (0.1, 0.5, 2.0, 5.0, 10.0)


def grid(shape: tuple[int, int] = (5, 5), pixel_size: float = 1000.0) -> Grid:
    return Grid.regular(RD, shape=shape, pixel_size=pixel_size, centre=(0.0, 0.0))


def shares(frame: FloatArray, thresholds: tuple[float, ...] = (1.0,), size: tuple[int, int] = (3, 3)) -> FloatArray:
    return np.stack([*neighbourhood_shares(np.asarray(frame, np.float32), thresholds, size)])


def forecast(
    predictor: BasePredictor, sequence: FrameSequence, steps: int = 3, thresholds: tuple[float, ...] = THRESHOLDS
) -> list[ForecastEvent]:
    output = ForecastOutput(thresholds_mm_h=thresholds)
    return [*predictor.forecast([ForecastRequest.fit(sequence, predictor.info, steps, output=output)])]


def storms(**changes: int) -> FrameSequence:
    return synthesise(**({"frames": 4, "shape": (96, 120), "step_minutes": 5.0, "seed": 4} | changes))


def test_the_share_of_a_known_frame() -> None:
    frame = np.zeros((5, 5))
    frame[2, 2], frame[2, 3] = 1.0, 3.0
    light, heavy = shares(frame, (1.0, 2.0))
    assert light[2, 2] == pytest.approx(2 / 9)
    assert light[1, 1] == pytest.approx(1 / 9)
    assert light[0, 0] == 0
    assert heavy[2, 2] == pytest.approx(1 / 9)
    assert heavy[2, 1] == 0


def test_probabilities_of_a_continent_are_in_memory_once() -> None:
    rain = storms(shape=(200, 300))
    thresholds = tuple(np.geomspace(0.1, 50, 16).tolist())
    tracemalloc.start()
    found = neighbourhood_probability(rain.rain_rate[-1], rain.grid, thresholds, 30.0, Extrapolation().calibration)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * found.nbytes


def test_beyond_the_edge_there_is_nothing_to_count() -> None:
    frame = np.zeros((5, 5))
    frame[0, 0] = 1.0
    found = shares(frame)[0]
    assert found[0, 0] == pytest.approx(1 / 4)
    assert found[0, 1] == pytest.approx(1 / 6)
    assert found[1, 1] == pytest.approx(1 / 9)


def test_no_data_is_neither_dry_nor_a_low_probability() -> None:
    frame = np.full((5, 5), 4.0)
    frame[:, 3:] = np.nan
    found = shares(frame)[0]
    assert np.isnan(found[:, 3:]).all()
    assert (found[:, :3] == 1).all()


def test_a_box_larger_than_the_frame_counts_all_of_it() -> None:
    frame = np.zeros((4, 6))
    frame[:, :3] = 1.0
    assert shares(frame, size=(99, 101))[0] == pytest.approx(0.5)


def test_the_box_is_counted_as_by_hand() -> None:
    rng = np.random.default_rng(2)
    frame = rng.exponential(2.0, (17, 23)).astype(np.float32)
    frame[rng.random(frame.shape) < 0.2] = np.nan
    found = shares(frame, (0.5, 2.0), size=(5, 7))
    for (row, column), value in np.ndenumerate(frame):
        box = frame[max(0, row - 2) : row + 3, max(0, column - 3) : column + 4]
        known = box[np.isfinite(box)]
        for index, threshold in enumerate((0.5, 2.0)):
            counted = np.nan if np.isnan(value) else (known >= threshold).mean()
            assert found[index, row, column] == pytest.approx(counted, nan_ok=True)


def test_the_box_grows_with_the_lead_time_and_has_its_size_in_kilometres() -> None:
    assert neighbourhood_px(grid(), 1.0) == (1, 1)
    assert neighbourhood_px(grid(), 60.0) == (45, 45)
    assert neighbourhood_px(grid(pixel_size=2000.0), 60.0) == (23, 23)
    rows, columns = neighbourhood_px(
        Grid.regular(CRS.from_epsg(4326), shape=(50, 50), pixel_size=0.01, centre=(10.0, 60.0)), 60.0
    )
    assert rows == pytest.approx(45 / 1.112, abs=1)
    assert columns == pytest.approx(2 * rows, abs=2)


@pytest.mark.parametrize("calibrated", [False, True])
def test_heavier_rain_is_never_more_likely(calibrated: bool) -> None:
    rain = storms(shape=(90, 70))
    calibration = Extrapolation().calibration if calibrated else None
    thresholds = (0.1, 0.3, 0.5, 1.5, 2.0, 5.0, 12.0, 80.0)
    for lead in (2.0, 33.0, 100.0):
        found = neighbourhood_probability(rain.rain_rate[-1], rain.grid, thresholds, lead, calibration)
        assert (np.diff(found, axis=0) <= 0).all()
        assert found.min() >= 0
        assert found.max() <= 1


@pytest.mark.parametrize(
    ("predictor", "method"),
    [
        (Persistence(), "neighbourhood"),
        (Extrapolation(), "neighbourhood-calibrated"),
        (FailingPredictor(), "neighbourhood"),
    ],
    ids=["persistence", "extrapolation", "any other"],
)
def test_a_model_without_a_distribution_gives_probabilities_and_says_of_which_kind(
    predictor: BasePredictor, method: str
) -> None:
    rain = storms()
    events = [event for event in forecast(predictor, rain, steps=2) if event.frame is not None]
    assert len(events) == 2
    for event in events:
        assert event.frame is not None
        assert event.probability is not None
        assert event.probability.shape == (5, 96, 120)
        assert np.array_equal(np.isnan(event.probability[0]), np.isnan(event.frame))
        expected = neighbourhood_probability(
            event.frame, rain.grid, THRESHOLDS, 5.0 * event.step, predictor.calibration
        )
        assert np.array_equal(event.probability, expected, equal_nan=True)
    assert predictor.probability_method == method


def test_calibration_changes_the_probabilities() -> None:
    class Uncalibrated(Extrapolation):
        calibration = None  # type: ignore[assignment]

    rain = storms()
    plain, calibrated = (forecast(each, rain)[-1].probability for each in (Uncalibrated(), Extrapolation()))
    assert plain is not None
    assert calibrated is not None
    assert np.nanmax(np.abs(plain - calibrated)) > 0.05


def test_nothing_is_computed_that_is_not_asked_for() -> None:
    assert {event.probability is None for event in forecast(Extrapolation(), storms(), thresholds=())} == {True}


def test_dry_input_has_no_probability_of_rain_where_it_is_known() -> None:
    rain = np.zeros((3, 5, 5), np.float32)
    rain[:, :, 4] = np.nan
    times = np.datetime64("2020-01-01T00:00", "ns") + np.arange(3) * np.timedelta64(5, "m")
    event = forecast(Extrapolation(), FrameSequence(rain_rate=rain, times=times, grid=grid()))[-1]
    assert event.probability is not None
    assert event.probability.shape == (5, 5, 5)
    assert (event.probability[:, :, :4] == 0).all()
    assert np.isnan(event.probability[:, :, 4]).all()


def test_a_calibration_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from model.core.model_info import EXTRAPOLATION
    from model.runtime.load import load_predictor

    own = Extrapolation().calibration.model_copy(update={"protocol": "my own"})
    path = tmp_path / "own.json"
    path.write_text(own.model_dump_json())
    monkeypatch.setenv("ECHOCAST_CALIBRATION", str(path))
    loaded = load_predictor(EXTRAPOLATION)
    assert isinstance(loaded, Extrapolation)
    assert loaded.calibration.protocol == "my own"
    monkeypatch.setenv("ECHOCAST_CALIBRATION", str(tmp_path / "absent.json"))
    with pytest.raises(InputError, match=r"absent\.json"):
        load_predictor(EXTRAPOLATION)


def members(predictor: BasePredictor, sequence: FrameSequence, count: int, seed: int = 1, steps: int = 2) -> FloatArray:
    """Return members [lead, realization, y, x]."""
    request = ForecastRequest.fit(sequence, predictor.info, steps, output=ForecastOutput(members=count, seed=seed))
    events = [*predictor.forecast([request])]
    assert [event.error for event in events] == [None] * steps
    return np.stack([event.members for event in events if event.members is not None])


def test_members_of_extrapolation_agree_with_its_probabilities() -> None:
    rain = storms(frames=3, shape=(64, 64))
    drawn = members(Extrapolation(), rain, 40)
    for lead, event in enumerate(forecast(Extrapolation(), rain, steps=2)):
        assert event.probability is not None
        assert event.frame is not None
        for row, threshold in enumerate(THRESHOLDS[:4]):
            observed = np.where(np.isnan(drawn[lead]), np.nan, drawn[lead] >= threshold).mean(axis=0)
            assert np.array_equal(np.isnan(observed), np.isnan(event.frame))
            assert np.nanmean(observed) == pytest.approx(np.nanmean(event.probability[row]), abs=0.03)
            likely, unlikely = event.probability[row] > 0.7, event.probability[row] < 0.1
            assert not likely.any() or observed[likely].mean() > 0.6
            assert not unlikely.any() or observed[unlikely].mean() < 0.1
    assert np.nanmax(drawn) <= np.nanmax(rain.rain_rate)


def test_members_follow_their_seed() -> None:
    rain = storms(frames=3, shape=(48, 48))
    first, same, other = (members(Extrapolation(), rain, 3, seed, steps=1) for seed in (1, 1, 2))
    assert np.array_equal(first, same, equal_nan=True)
    assert not np.array_equal(first, other, equal_nan=True)


def test_dry_input_has_dry_members() -> None:
    rain = np.zeros((3, 5, 5), np.float32)
    rain[:, 0] = np.nan
    times = np.datetime64("2020-01-01T00:00", "ns") + np.arange(3) * np.timedelta64(5, "m")
    drawn = members(Extrapolation(), FrameSequence(rain_rate=rain, times=times, grid=grid()), 4)
    assert drawn.shape == (2, 4, 5, 5)
    assert np.isnan(drawn[:, :, 0]).all()
    assert (drawn[:, :, 1:] == 0).all()
