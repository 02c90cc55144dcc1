"""Every predictor, run as a user would: any grid, dry input, missing data, the wrong input."""

from dataclasses import replace

import numpy as np
import pytest
from pyproj import CRS

from model.core.catalog import Catalog
from model.core.errors import StepsOutOfRange
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.data.synthetic_storms import synthesise
from model.runtime.load import load_predictor
from model.runtime.nowcast import nowcast
from model.runtime.request import ForecastRequest
from tests.predictors import FailingPredictor

MODELS = ("persistence", "extrapolation", "rain-ms-predrnn")


def predictor(name):
    return load_predictor(Catalog().find(name))


def storms(shape=(96, 130), frames=5, step=5.0, seed=4):
    return synthesise(frames=frames, shape=shape, step_minutes=step, seed=seed)


def still(rain, minutes=(0, 5, 10, 15)):
    grid = Grid.regular(CRS.from_epsg(28992), shape=rain.shape[1:], pixel_size=1000.0, centre=(0.0, 0.0))
    times = np.datetime64("2020-01-01T00:00", "ns") + np.array(minutes).astype("timedelta64[m]")
    return FrameSequence(rain_rate=rain, times=times, grid=grid)


@pytest.mark.parametrize("name", MODELS)
def test_any_grid_gives_that_grid_and_the_lead_times_of_the_input(name):
    sequence = storms(shape=(97, 133))
    forecast = nowcast(sequence, predictor(name), 4)
    assert forecast.rain_rate.shape == (4, 97, 133)
    assert list(forecast.lead_minutes) == [5, 10, 15, 20]
    assert forecast.times[0] == sequence.times[-1] + np.timedelta64(5, "m")
    assert np.nanmin(forecast.rain_rate) >= 0
    assert forecast.attributes["model"] == name


@pytest.mark.parametrize("name", MODELS)
def test_the_same_input_gives_the_same_output_twice(name):
    ready, sequence = predictor(name), storms()
    first, second = nowcast(sequence, ready, 3), nowcast(sequence, ready, 3)
    assert np.array_equal(first.rain_rate, second.rain_rate, equal_nan=True)


@pytest.mark.parametrize("name", MODELS)
def test_dry_input_gives_a_dry_forecast_and_keeps_missing_data(name):
    rain = np.zeros((4, 40, 50), np.float32)
    rain[:, :10] = np.nan
    forecast = nowcast(still(rain), predictor(name), 2).rain_rate
    assert np.isnan(forecast[:, :10]).all()
    assert (forecast[:, 10:] == 0).all()


@pytest.mark.parametrize("name", ["extrapolation", "rain-ms-predrnn"])
def test_a_region_without_data_is_never_forecast_dry(name):
    sequence = storms(shape=(128, 128))
    rain = sequence.rain_rate.copy()
    rain[:, 50:80, 50:80] = np.nan
    holed = FrameSequence(rain_rate=rain, times=sequence.times, grid=sequence.grid)
    forecast = nowcast(holed, predictor(name), 1).rain_rate[0]
    assert np.isnan(forecast[58:72, 58:72]).all()
    assert np.isfinite(forecast[100:110, 100:110]).all()


def test_the_network_uses_the_whole_context():
    rain = np.zeros((4, 64, 64), np.float32)
    rain[:, 20:44, 20:44] = 4.0
    growing = rain * np.array([0.25, 0.5, 0.75, 1.0], np.float32)[:, None, None]
    forecasts = [nowcast(still(frames), predictor("rain-ms-predrnn"), 3).rain_rate for frames in (rain, growing)]
    assert np.nanmax(np.abs(forecasts[0] - forecasts[1])) > 0.05


def test_a_hail_core_does_not_grow_without_end():
    rows, columns = np.mgrid[:96, :96]
    core = 80 * np.exp(-((rows - 48) ** 2 + (columns - 48) ** 2) / 200).astype(np.float32)
    growing = core * np.array([0.4, 0.6, 0.8, 1.0], np.float32)[:, None, None]
    forecast = nowcast(still(growing, minutes=(0, 10, 20, 30)), predictor("rain-ms-predrnn"), 12).rain_rate
    assert 5 < np.nanmax(forecast) <= 80.1


def test_the_network_beats_persistence_on_moving_storms():
    sequence = storms(shape=(192, 192), frames=10, seed=11)
    seen, truth = sequence.last(10), sequence.rain_rate[4:]
    past = FrameSequence(rain_rate=seen.rain_rate[:4], times=seen.times[:4], grid=seen.grid)
    error = {}
    for name in ("persistence", "rain-ms-predrnn"):
        forecast = nowcast(past, predictor(name), 6).rain_rate
        known = np.isfinite(forecast)
        error[name] = np.abs(np.log1p(forecast[known]) - np.log1p(truth[known])).mean()
    assert error["rain-ms-predrnn"] < error["persistence"]


def test_progress_is_reported_step_by_step_and_a_cancelled_forecast_ends_alone():
    model = predictor("extrapolation")
    cancelled, other = (ForecastRequest.fit(storms(), model.info, 6) for _ in range(2))
    steps = {cancelled: [], other: []}
    for event in model.forecast([cancelled, other]):
        steps[event.request].append(event.step)
        if event.step == 2:
            cancelled.cancellation.cancel()
    assert list(steps.values()) == [[1, 2], [1, 2, 3, 4, 5, 6]]


def test_an_error_ends_one_forecast_and_dry_input_needs_no_model():
    dry = replace(storms(), rain_rate=np.zeros_like(storms().rain_rate))
    model = FailingPredictor()
    failing, short, without_rain = (
        ForecastRequest.fit(sequence, model.info, steps) for sequence, steps in ((storms(), 4), (storms(), 2), (dry, 4))
    )
    ended = {event.request: (event.step, str(event.error)) for event in model.forecast([failing, short, without_rain])}
    assert ended == {failing: (0, "no third step"), short: (2, "None"), without_rain: (4, "None")}


def test_steps_out_of_range_are_refused():
    with pytest.raises(StepsOutOfRange):
        nowcast(storms(), predictor("extrapolation"), 1000)


def test_a_lead_time_beyond_the_models_limit_is_refused():
    with pytest.raises(StepsOutOfRange, match=r"13 steps of 15 min are 195 min.*at most 12 steps"):
        nowcast(storms(step=15.0), predictor("rain-ms-predrnn"), 13)
