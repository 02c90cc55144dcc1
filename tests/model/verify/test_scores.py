"""Scores against counts worked out by hand, against `scores` and against pysteps; start times; intervals."""

import numpy as np
import pytest
import xarray as xr

from model.core.errors import TooFewFrames
from model.runtime.baselines import Persistence
from model.verify.bootstrap import block_of, draws, interval_of
from model.verify.pair import Frame, Pair
from model.verify.protocol import NOWCAST_60, verify
from model.verify.scores import contingency, fss, tables
from model.verify.spectrum import power_by_wavenumber, wavenumbers

THRESHOLDS = NOWCAST_60.thresholds_mm_h


def pair_of(forecast, truth, scored=None):
    scored = np.ones(truth.shape, bool) if scored is None else scored
    return Pair(forecast=Frame.of_rain(forecast, scored), truth=Frame.of_rain(truth, scored), scored=scored)


def sums_of(pair):
    layout = NOWCAST_60.layout((30.0,), pair.truth.rain.shape)
    sums = layout.empty(1)
    layout.add(sums, 0, 0, pair)
    return layout, {name: values[0] for name, values in sums.items()}


def table_of(pair):
    layout, sums = sums_of(pair)
    return tables(sums["classes"], layout.events)


@pytest.fixture
def fields():
    """Two fields of rain that resemble each other, dry for 40 pixels from the edge; and where data are missing."""
    rng = np.random.default_rng(3)
    forecast, truth = np.zeros((2, 160, 130), np.float32)
    inner = (slice(40, -40), slice(40, -40))
    truth[inner] = rng.gamma(0.4, 8, truth[inner].shape)
    forecast[inner] = truth[inner] * rng.lognormal(0, 0.8, truth[inner].shape)
    return forecast, truth, rng.random(truth.shape) < 0.8


def test_counts_by_hand():
    forecast = np.array([[1.0, 6.0, 0.0, 6.0, 9.0]], np.float32).repeat(11, 0)
    truth = np.array([[1.0, 4.0, 0.6, 7.0, 0.0]], np.float32).repeat(11, 0)
    scored = np.zeros(truth.shape, bool)
    scored[0] = True, True, True, True, False
    cells = table_of(pair_of(forecast, truth, scored))
    # At 0.5: hits 1, 6, 6; miss 0.6. At 5: hit 7; false alarm 6 over 4.
    first, _, third, _ = (
        dict(zip(cells, column, strict=True)) for column in np.transpose(list(cells.values()), (1, 0, 2))
    )
    assert [int(count[0]) for count in first.values()] == [3, 1, 0, 0]
    assert [int(count[0]) for count in third.values()] == [1, 0, 1, 2]
    expected = {"csi": (0.75, 0.5), "pod": (0.75, 1.0), "far": (0.0, 0.5), "bias": (0.75, 2.0)}
    for name, values in expected.items():
        assert contingency(cells, name)[[0, 2], 0] == pytest.approx(values)


def test_nothing_to_count_is_not_a_score():
    dry = np.zeros((7, 7), np.float32)  # 49 * 49 / 49 is not 49, in floats
    cells = table_of(pair_of(dry, dry))
    for name in ("csi", "hss", "pod", "far", "bias"):
        assert np.isnan(contingency(cells, name)).all()


def test_contingency_tables_are_those_of_scores_and_pysteps(fields):
    from scores.categorical import ThresholdEventOperator

    forecast, truth, scored = fields
    cells = table_of(pair_of(forecast, truth, scored))
    for row, threshold in enumerate(THRESHOLDS):
        hidden = [xr.DataArray(np.where(scored, rain, np.nan), dims=["y", "x"]) for rain in (forecast, truth)]
        manager = ThresholdEventOperator(default_event_threshold=threshold).make_contingency_manager(*hidden)
        assert {name: float(count) for name, count in manager.get_counts().items() if name != "total_count"} == {
            name: count[row, 0] for name, count in cells.items()
        }
    detcat = pytest.importorskip("pysteps.verification.detcatscores")
    for row, threshold in enumerate(THRESHOLDS):
        theirs = detcat.det_cat_fct(forecast[scored], truth[scored], threshold, ("CSI", "HSS", "POD", "FAR", "BIAS"))
        for name, value in theirs.items():
            assert contingency(cells, name.lower())[row, 0] == pytest.approx(value)


def test_fss_is_that_of_scores(fields):
    from scores.spatial import fss_2d_single_field

    forecast, truth, _ = fields
    layout, sums = sums_of(pair_of(forecast, truth))
    ours = fss(sums["fss"])
    for row, threshold in enumerate(THRESHOLDS):
        for column, side in enumerate(layout.windows):
            theirs = fss_2d_single_field(
                forecast,
                truth,
                event_threshold=threshold,
                window_size=(side, side),
                threshold_operator=np.greater_equal,
            )
            if side <= 33:  # a wider window is not within the dry margin, and scores leaves it out
                assert ours[row, column, 0] == pytest.approx(float(theirs), rel=1e-5)


def test_fss_is_that_of_pysteps_where_data_are_missing(fields):
    spatial = pytest.importorskip("pysteps.verification.spatialscores")
    forecast, truth, scored = fields
    forecast, truth = forecast[30:-30, 30:-30], truth[30:-30, 30:-30]  # rain at the edges
    scored = scored[30:-30, 30:-30]
    layout, sums = sums_of(pair_of(forecast, truth, scored))
    ours = fss(sums["fss"])
    hidden = [np.where(scored, rain, np.nan) for rain in (forecast, truth)]
    for row, threshold in enumerate(THRESHOLDS):
        for column, side in enumerate(layout.windows):
            assert ours[row, column, 0] == pytest.approx(spatial.fss(*hidden, threshold, side), rel=1e-5)


def test_errors_are_those_of_scores(fields):
    from scores.continuous import mae, mse

    forecast, truth, scored = fields
    _, sums = sums_of(pair_of(forecast, truth, scored))
    hidden = [xr.DataArray(np.where(scored, rain, np.nan)) for rain in (forecast, truth)]
    assert sums["errors"][0, 0] / sums["pixels"][0] == pytest.approx(float(mse(*hidden)), rel=1e-5)
    assert sums["errors"][1, 0] / sums["pixels"][0] == pytest.approx(float(mae(*hidden)), rel=1e-5)


def test_spectrum_of_a_wave_is_in_its_ring():
    columns = np.arange(64, dtype=np.float32)
    power = power_by_wavenumber(np.broadcast_to(np.cos(2 * np.pi * columns * 4 / 64), (48, 64)).astype(np.float32))
    assert np.argmax(power) == 4
    assert wavenumbers((48, 64))[4] == 4 / 64
    assert power[[0, 3, 5, 8]].max() < 1e-9 * power[4]


def test_spectrum_is_that_of_pysteps():
    spectral = pytest.importorskip("pysteps.utils.spectral")
    field = np.random.default_rng(0).random((65, 65)).astype(np.float32)
    assert power_by_wavenumber(field) == pytest.approx(spectral.rapsd(field.astype(float), fft_method=np.fft))


def test_start_times_step_by_the_stride_and_never_span_a_gap(band):
    windows = NOWCAST_60.windows.of(band.times, band.step_minutes, 2)
    minutes = [int((window.start - band.times[0]) / np.timedelta64(10, "m")) for window in windows]
    # Frames 0-11 and 13-19 are there. 2 before and 6 after: starts 1 to 5 every 30 min -> 1, 4; none after the gap
    # (it would need frames 13 .. 20).
    assert minutes == [1, 4]


def test_persistence_of_moving_rain_scores_what_its_geometry_says(band):
    found = verify(band, [Persistence()], NOWCAST_60)
    # Three frames are read, for extrapolation is always scored beside: starts 2 and 5. A band 5 wide that moves 1 a
    # step overlaps itself in 4, 3, 2, 1, 0 of 6, 7, 8, 9, 10 columns.
    assert found.models == ("persistence@1", "extrapolation@1")
    assert found.starts == 2
    assert found.csi("persistence@1")[0, :5] == pytest.approx([4 / 6, 3 / 7, 2 / 8, 1 / 9, 0.0])
    assert found.days == ("2020-06-01",)


def test_an_archive_that_is_too_short_is_refused(band):
    from dataclasses import replace

    long = replace(NOWCAST_60, windows=replace(NOWCAST_60.windows, horizon_minutes=300))
    with pytest.raises(TooFewFrames, match="30 after"):
        verify(band, [Persistence()], long)


def test_blocks_are_days_or_three_hours():
    start = np.datetime64("2020-06-01T05:30", "s")
    assert str(block_of(start, short=False)) == "2020-06-01"
    assert str(block_of(start, short=True)) == "2020-06-01T03"


def test_intervals_are_the_spread_of_the_blocks():
    # The mean of 100 blocks of variance 4: its standard error is 0.2, 95 % lie within 1.96 of them.
    values = np.random.default_rng(1).normal(5, 2, 100)
    samples = draws(100) @ values / 100
    found = interval_of(samples).at()
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.1)
    assert np.array_equal(draws(7), draws(7))


@pytest.mark.parametrize("blocks", [1, 2])
def test_fewer_than_three_blocks_have_no_interval(blocks):
    values = np.arange(1.0, 1 + blocks)
    found = interval_of(draws(blocks) @ values / blocks).at()
    assert found.value == values.mean()
    assert np.isnan([found.low, found.high]).all()


def test_a_score_of_one_block_of_many_has_no_interval():
    def interval(*told):
        hits = np.array([9.0 if block in told else 0.0 for block in range(20)])
        drawn = draws(20) @ hits
        return interval_of(np.where(drawn > 0, drawn / (drawn + 9), np.nan)).at()

    assert np.isnan([interval(4).low, interval(4).high]).all()
    assert interval(4).value == 0.5
    assert interval(4, 5, 6).low < interval(4, 5, 6).high


def test_models_are_compared_on_the_same_draws():
    hits = np.array([[9.0], [1.0], [5.0], [8.0], [2.0]])  # days differ much; the second model has one hit more each
    one, other = draws(5) @ hits, draws(5) @ (hits + 1)
    difference = interval_of((other - one)[:, 0] / 5).at()
    assert (difference.low, difference.value, difference.high) == (1.0, 1.0, 1.0)
