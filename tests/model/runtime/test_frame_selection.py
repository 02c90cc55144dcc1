"""Contexts with gaps, outages and odd time steps: the model that runs, its input, and the notes of the forecast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pyproj import CRS

from model.core.catalog import Catalog
from model.core.errors import IrregularTimeStep, NoData, TooFewFrames
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from model.core.model_info import EXTRAPOLATION
from model.core.sequence import FrameSequence
from model.core.times import utc_text
from model.core.units import FloatArray
from model.data.synthetic_storms import synthesise
from model.readers import read
from model.runtime.frame_selection import newest_regular
from model.runtime.gap_filling import fill_frames, fill_warped_frames
from model.runtime.load import load_predictor
from model.runtime.model_selection import ModelSelection, select_model
from model.runtime.motion import estimate_motion
from model.runtime.request import ForecastRequest

START = np.datetime64("2024-06-01T00:00", "ns")
NETWORK = "rain-ms-predrnn"


def storms(frames: int = 4, step: float = 5.0, seed: int = 6) -> FrameSequence:
    return synthesise(frames=frames, shape=(160, 176), step_minutes=step, seed=seed)


def at(minutes: list[float], rain: float = 1.0) -> FrameSequence:
    grid = Grid.regular(CRS.from_epsg(28992), shape=(24, 20), pixel_size=1000.0, centre=(155_000.0, 463_000.0))
    frames = np.full((len(minutes), *grid.shape), rain, np.float32)
    frames += np.arange(len(minutes), dtype=np.float32)[:, None, None] / 64
    frames[:, :5] = 0
    times = START + np.array([round(minute * 60) for minute in minutes]).astype("timedelta64[s]")
    return FrameSequence(rain_rate=frames, times=times, grid=grid)


def lacking(
    sequence: FrameSequence, frames: list[int], fill: float = np.nan, where: object = np.s_[:]
) -> FrameSequence:
    rain = sequence.rain_rate.copy()
    for index in frames:
        rain[index][where] = np.where(np.isnan(rain[index][where]), np.nan, fill)
    return replace(sequence, rain_rate=rain)


def chosen(sequence: FrameSequence, reference: str = "auto") -> ModelSelection:
    return select_model(sequence, reference, Catalog())


def last_frame(choice: ModelSelection, steps: int = 12) -> FloatArray:
    """The field for totals, the mean, where there is one."""
    output = ForecastOutput(field="expected" if choice.info.distribution else None)
    request = ForecastRequest.for_context(choice.context, choice.info, steps, output=output)
    frames = [event.frame for event in load_predictor(choice.info).forecast([request]) if event.frame is not None]
    return frames[-1]


def ratio(cut: ModelSelection, whole: ModelSelection, steps: int = 12) -> float:
    """Rain of the last lead by one forecast to that by another, where both are known."""
    found, undisturbed = last_frame(cut, steps), last_frame(whole, steps)
    both = np.isfinite(found) & np.isfinite(undisturbed)
    return float(found[both].sum() / undisturbed[both].sum())


HALF = np.s_[:, :88]


@pytest.mark.parametrize("fill", [np.nan, 0.0], ids=["no data", "sent as dry"])
@pytest.mark.parametrize("where", [np.s_[:], HALF], ids=["whole", "half"])
@pytest.mark.parametrize("frames", [[0], [0, 1], [1], [1, 2]], ids=str)
def test_an_outage_in_older_frames_neither_makes_nor_takes_rain(frames: list[int], where: object, fill: float) -> None:
    whole, cut = chosen(storms()), chosen(lacking(storms(), frames, fill, where))
    assert (whole.info.name, whole.note, cut.info.name) == (NETWORK, "", NETWORK)
    assert 0.75 <= ratio(cut, whole) <= 1.25  # the worst of these sixteen: 0.776, with two frames lost wholly
    for index in frames:
        assert cut.note.count(utc_text(storms().times[index])) == 1
    assert cut.note.startswith("gaps of older frames were filled along the motion of the others")


def test_a_pixel_that_flickers_makes_no_difference() -> None:
    """Half of the context is known but for one pixel: the network runs."""
    flickers = lacking(lacking(storms(), [0, 1]), [2], np.nan, np.s_[7, 7])
    assert chosen(flickers).info.name == NETWORK


@pytest.mark.parametrize("fill", [np.nan, 0.0], ids=["no data", "sent as dry"])
def test_with_three_of_four_frames_missing_extrapolation_runs_and_notes_that_no_motion_is_known(fill: float) -> None:
    cut = chosen(lacking(storms(), [0, 1, 2], fill))
    assert cut.info is EXTRAPOLATION
    assert "the frames before the newest one hold too little data" in cut.note
    assert cut.note.startswith("no motion is known, and rain stays where it is")
    assert float(np.nansum(last_frame(cut))) == pytest.approx(float(np.nansum(storms().rain_rate[-1])), rel=1e-4)
    with pytest.raises(NoData, match="hold too little data"):
        chosen(lacking(storms(), [0, 1, 2], fill), NETWORK)


def test_a_newest_frame_that_is_suddenly_dry_is_no_forecast_of_dry_weather() -> None:
    with pytest.raises(NoData, match=r"the newest frame \(.*\) is suddenly dry"):
        chosen(lacking(storms(), [3], 0.0))


def test_a_newest_frame_without_data_is_refused_by_its_file() -> None:
    named = replace(lacking(storms(), [3]), attributes={"frames_without_data": "c.h5; a.h5"})
    with pytest.raises(NoData, match=r"^c\.h5: the newest frame \(.*\) is without data"):
        chosen(named)


@pytest.mark.parametrize("where", [np.s_[:], HALF], ids=["whole", "half"])
def test_the_observed_frames_stay_as_they_were(where: object) -> None:
    """Only the network reads filled frames: a frame without data is published without data."""
    context = chosen(lacking(storms(), [1], 0.0, where)).context
    rain = np.asarray(storms().rain_rate[1][where])
    assert np.isnan(np.asarray(context.rain_rate[1][where])[rain >= 1]).mean() > 0.95


def test_half_a_newest_frame_that_is_suddenly_dry_is_without_data() -> None:
    whole, cut = chosen(storms()), chosen(lacking(storms(), [3], 0.0, np.s_[:88]))
    assert utc_text(storms().times[3]) in cut.note
    found, undisturbed = last_frame(cut), last_frame(whole)
    rained = undisturbed > 2
    assert not (found[rained] < 0.1).any() or (found[rained] < 0.1).mean() < 0.02


def test_a_newest_frame_half_without_data_is_noted() -> None:
    note = chosen(lacking(storms(), [3], np.nan, np.s_[:88])).note
    assert "without data where other frames have some" in note


def line(position: float, *, width: float = 8.0, peak: float = 6.0) -> FloatArray:
    """A north-south line of rain at a column of a domain of 128 x 128."""
    columns = np.arange(128, dtype=np.float32)
    return np.broadcast_to(peak * np.exp(-(((columns - position) / width) ** 2)), (128, 128)).astype(np.float32)


@pytest.mark.parametrize(
    "frames",
    [
        [line(100 + 12 * step) for step in range(4)],
        [line(128 + 12 * (3 - step)) for step in range(4)],
        [line(64, peak=0.13 - 0.01 * step) for step in range(4)],
        [line(64, peak=6 * 0.27**step) for step in range(4)],
        [line(64, width=2 + 3 * step) for step in range(4)],
        [np.where(line(20) > 1, np.float32(5 * (step == 2)), line(64 + 5 * step)) for step in range(4)],
    ],
    ids=["leaves", "enters", "fades", "decays", "grows", "interference"],
)
def test_rain_that_leaves_enters_fades_or_grows_is_no_outage(frames: list[FloatArray]) -> None:
    rain = np.stack(frames).astype(np.float32)
    rain[rain < 0.05] = 0
    grid = Grid.regular(CRS.from_epsg(28992), shape=(128, 128), pixel_size=1000.0, centre=(155_000.0, 463_000.0))
    times = START + np.arange(4) * np.timedelta64(10, "m")
    choice = chosen(FrameSequence(rain_rate=rain, times=times, grid=grid))
    assert choice.info.name == NETWORK
    assert "suddenly dry" not in choice.note


def test_a_shorter_step_is_never_assumed_to_have_gaps() -> None:
    for minutes in ([0, 5, 10, 12], [0, 1, 16, 17], [0, 5, 9, 12]):
        with pytest.raises((IrregularTimeStep, TooFewFrames)):
            chosen(at(minutes), NETWORK)


def test_dry_weather_and_rain_that_grows_are_no_outage() -> None:
    dry = lacking(storms(), [0, 1, 2, 3], 0.0)
    assert chosen(dry).note == ""
    growing = storms()
    rain = growing.rain_rate * np.array([0.2, 0.4, 0.7, 1.0], np.float32)[:, None, None]
    assert chosen(replace(growing, rain_rate=rain)).note == ""


def test_frames_that_repeat_are_named() -> None:
    hung = storms()
    rain = hung.rain_rate.copy()
    rain[3] = rain[2]
    note = chosen(replace(hung, rain_rate=rain)).note
    assert note == f"repeated frames, identical to the one before: {utc_text(hung.times[3])}"
    assert chosen(lacking(hung, [0, 1, 2, 3], 0.0)).note == ""


def moving(shift: int = 6) -> FloatArray:
    """Four frames of a field that moves by `shift` columns a step and does not change."""
    field = synthesise(frames=1, shape=(128, 192), step_minutes=5.0, seed=7).rain_rate[0]
    return np.stack([np.roll(field, shift * index, axis=1) for index in range(4)]).astype(np.float32)


def test_a_gap_is_filled_with_the_rain_of_the_nearest_frame_where_it_was() -> None:
    rain = moving()
    cut = rain.copy()
    cut[1] = np.nan
    cut[2, :, 96:] = np.nan
    motion = np.zeros((128, 192, 2), np.float32) + np.float32([6, 0])
    inside = np.s_[:, 30:-30]
    for index, frame in fill_frames(cut, motion):
        np.testing.assert_allclose(frame[inside], rain[index][inside], atol=1e-3)
    for index, frame in fill_warped_frames(cut, motion):
        np.testing.assert_allclose(frame[inside], rain[3][inside], atol=1e-3)
        # Rain from beyond the edge was not observed.
        assert np.isnan(frame[:, : 6 * (3 - index)]).all()


@pytest.mark.parametrize("cut", [[0], [1], [2], [0, 1], [1, 2]], ids=str)
def test_motion_comes_from_the_frames_with_data(cut: list[int]) -> None:
    rain = moving()
    whole = estimate_motion(rain)
    rain[cut] = np.nan
    wet = rain[-1] >= 1
    found = estimate_motion(rain)[wet].mean(axis=0)
    assert found == pytest.approx(whole[wet].mean(axis=0), abs=0.7)
    assert found[0] == pytest.approx(6, abs=0.7)


def test_a_missing_frame_is_bridged_and_named() -> None:
    whole = storms(frames=6)
    choice = chosen(replace(whole, rain_rate=whole.rain_rate[[0, 1, 2, 3, 5]], times=whole.times[[0, 1, 2, 3, 5]]))
    assert choice.info.name == NETWORK
    assert np.array_equal(choice.context.times, whole.times[2:])
    assert np.isnan(choice.context.rain_rate[2]).all()
    assert f"missing among the frames: {utc_text(whole.times[4])}" in choice.note
    assert 0.8 <= ratio(choice, chosen(whole)) <= 1.25


def test_frames_every_minute_are_thinned_for_a_network_of_two_minutes() -> None:
    choice = chosen(storms(frames=9, step=1.0))
    assert (choice.info.name, choice.context.time_step_minutes()) == (NETWORK, 2)
    assert len(choice.context) == 4
    assert "frames 2 min apart were selected from frames every 1 min" in choice.note
    assert chosen(storms(frames=9, step=1.0), "extrapolation").context.time_step_minutes() == 1
    assert chosen(storms(frames=4, step=1.0)).info is EXTRAPOLATION  # they reach back for 3 min only


@pytest.mark.parametrize("minutes", [[0, 4.2, 9.0, 13.2], [0, 4.8, 9.9, 14.1], [0, 4, 10, 14]], ids=str)
def test_volume_scans_count_as_regular(minutes: list[float]) -> None:
    choice = chosen(at(minutes))
    assert choice.info.name == NETWORK, choice.note
    assert np.array_equal(choice.context.rain_rate, at(minutes).rain_rate)
    assert choice.context.time_step_minutes() == pytest.approx((minutes[-1] - minutes[0]) / 3, abs=0.02)
    assert choice.context.times[-1] == at(minutes).times[-1]
    assert "off a regular time step" in choice.note


def test_frames_in_no_order_of_time_are_refused_with_the_gap_named() -> None:
    with pytest.raises(IrregularTimeStep, match=r"min lie between 2024-06-01T00:\d\dZ and 2024-06-01T00:\d\dZ"):
        chosen(at([0, 1, 30, 33, 50]), NETWORK)


def test_a_gap_before_the_frames_needed_does_no_harm() -> None:
    choice = chosen(at([0, 30, 35, 40, 45]))
    assert (choice.context.time_step_minutes(), choice.note) == (5, "")


def test_newest_regular_takes_frames_at_any_step() -> None:
    assert newest_regular(at([0, 40, 80, 120]), 3).time_step_minutes() == 40
    with pytest.raises(TooFewFrames, match="needs 4 frames, the input has 2"):
        newest_regular(at([0, 5]), 4)


@pytest.mark.parametrize(("radar", "first", "half"), [("knmi", 12, 128), ("fmi", 12, 128), ("bom", 36, 256)])
def test_an_outage_on_a_real_radar(radar: str, first: int, half: int, real_data: object) -> None:
    folder = real_data / radar  # type: ignore[operator]
    files = sorted(path for path in folder.iterdir() if path.suffix in (".h5", ".nc", ".gz"))[first : first + 4]
    sequence = read(files)
    middle = [slice(side // 2 - half, side // 2 + half) for side in sequence.grid.shape]
    rows, columns = middle
    grid = replace(sequence.grid, x=sequence.grid.x[columns], y=sequence.grid.y[rows])
    cut = replace(sequence, rain_rate=sequence.rain_rate[:, rows, columns], grid=grid)
    whole = chosen(cut)
    steps = round(60 / cut.time_step_minutes())
    for frames in ([0], [0, 1]):
        for fill in (np.nan, 0.0):
            found = chosen(lacking(cut, frames, fill))
            assert 0.8 <= ratio(found, whole, steps) <= 1.25
            assert found.note
