"""Scores compared with counts by hand, with `scores` and with pysteps; start times; intervals."""

import numpy as np
import pytest
import xarray as xr

from model.core.bootstrap import block_weights, confidence_intervals, time_block
from model.core.contingency import contingency_score, fss
from model.core.errors import TooFewFrames
from model.runtime.baselines import Persistence
from model.verify.frames import FramePair, MaskedFrame
from model.verify.protocols import NOWCAST_60
from model.verify.run import verify
from model.verify.scores import contingency_tables
from model.verify.spectrum import rapsd, wavenumbers

THRESHOLDS = NOWCAST_60.thresholds_mm_h


def pair_of(forecast, truth, scored=None):
    scored = np.ones(truth.shape, bool) if scored is None else scored
    frames = {"forecast": forecast, "truth": truth}
    return FramePair(**{name: MaskedFrame.from_rain_rate(rain, scored) for name, rain in frames.items()}, scored=scored)


def sums_of(pair):
    accumulators = NOWCAST_60.accumulators((30.0,), pair.truth.rain.shape)
    sums = accumulators.zeros(1)
    accumulators.add(sums, 0, 0, pair)
    return accumulators, {name: values[0] for name, values in sums.items()}


def table_of(pair):
    accumulators, sums = sums_of(pair)
    return contingency_tables(sums["joint_histogram"], accumulators.threshold_indices)


@pytest.fixture
def fields():
    """Return two similar fields of rain, dry for 40 pixels from the edge, and a mask of missing data."""
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
    table = table_of(pair_of(forecast, truth, scored))
    # At 0.5: hits 1, 6, 6; miss 0.6. At 5: hit 7; false alarm 6 over 4.
    first, _, third, _ = (
        dict(zip(table, column, strict=True)) for column in np.transpose(list(table.values()), (1, 0, 2))
    )
    assert [int(count[0]) for count in first.values()] == [3, 1, 0, 0]
    assert [int(count[0]) for count in third.values()] == [1, 0, 1, 2]
    expected = {"csi": (0.75, 0.5), "pod": (0.75, 1.0), "far": (0.0, 0.5), "bias": (0.75, 2.0)}
    for name, values in expected.items():
        assert contingency_score(table, name)[[0, 2], 0] == pytest.approx(values)


def test_without_an_event_there_is_no_score():
    dry = np.zeros((7, 7), np.float32)  # 49 * 49 / 49 is not 49, in floats
    table = table_of(pair_of(dry, dry))
    for name in ("csi", "hss", "pod", "far", "bias"):
        assert np.isnan(contingency_score(table, name)).all()


def test_contingency_tables_equal_those_of_scores_and_pysteps(fields):
    from scores.categorical import ThresholdEventOperator

    forecast, truth, scored = fields
    table = table_of(pair_of(forecast, truth, scored))
    for row, threshold in enumerate(THRESHOLDS):
        masked = [xr.DataArray(np.where(scored, rain, np.nan), dims=["y", "x"]) for rain in (forecast, truth)]
        manager = ThresholdEventOperator(default_event_threshold=threshold).make_contingency_manager(*masked)
        assert {name: float(count) for name, count in manager.get_counts().items() if name != "total_count"} == {
            name: count[row, 0] for name, count in table.items()
        }
    detcat = pytest.importorskip("pysteps.verification.detcatscores")
    for row, threshold in enumerate(THRESHOLDS):
        reference = detcat.det_cat_fct(forecast[scored], truth[scored], threshold, ("CSI", "HSS", "POD", "FAR", "BIAS"))
        for name, value in reference.items():
            assert contingency_score(table, name.lower())[row, 0] == pytest.approx(value)


def test_fss_equals_that_of_scores(fields):
    from scores.spatial import fss_2d_single_field

    forecast, truth, _ = fields
    accumulators, sums = sums_of(pair_of(forecast, truth))
    result = fss(sums["fss"])
    for row, threshold in enumerate(THRESHOLDS):
        for column, side in enumerate(accumulators.fss_windows):
            reference = fss_2d_single_field(
                forecast,
                truth,
                event_threshold=threshold,
                window_size=(side, side),
                threshold_operator=np.greater_equal,
            )
            if (
                side <= 33
            ):  # scores leaves out windows that reach beyond the field, and wider ones are not within the dry margin
                assert result[row, column, 0] == pytest.approx(float(reference), rel=1e-5)


def test_fss_equals_that_of_pysteps_with_missing_data(fields):
    spatial = pytest.importorskip("pysteps.verification.spatialscores")
    forecast, truth, scored = fields
    forecast, truth = forecast[30:-30, 30:-30], truth[30:-30, 30:-30]  # rain at the edges
    scored = scored[30:-30, 30:-30]
    accumulators, sums = sums_of(pair_of(forecast, truth, scored))
    result = fss(sums["fss"])
    masked = [np.where(scored, rain, np.nan) for rain in (forecast, truth)]
    for row, threshold in enumerate(THRESHOLDS):
        for column, side in enumerate(accumulators.fss_windows):
            assert result[row, column, 0] == pytest.approx(spatial.fss(*masked, threshold, side), rel=1e-5)


def test_errors_equal_those_of_scores(fields):
    from scores.continuous import mae, mse

    forecast, truth, scored = fields
    _, sums = sums_of(pair_of(forecast, truth, scored))
    masked = [xr.DataArray(np.where(scored, rain, np.nan)) for rain in (forecast, truth)]
    assert sums["errors"][0, 0] / sums["pixels"][0] == pytest.approx(float(mse(*masked)), rel=1e-5)
    assert sums["errors"][1, 0] / sums["pixels"][0] == pytest.approx(float(mae(*masked)), rel=1e-5)


def test_spectrum_of_a_wave_is_in_its_ring():
    columns = np.arange(64, dtype=np.float32)
    power = rapsd(np.broadcast_to(np.cos(2 * np.pi * columns * 4 / 64), (48, 64)).astype(np.float32))
    assert np.argmax(power) == 4
    assert wavenumbers((48, 64))[4] == 4 / 64
    assert power[[0, 3, 5, 8]].max() < 1e-9 * power[4]


def test_spectrum_equals_that_of_pysteps():
    spectral = pytest.importorskip("pysteps.utils.spectral")
    field = np.random.default_rng(0).random((65, 65)).astype(np.float32)
    assert rapsd(field) == pytest.approx(spectral.rapsd(field.astype(float), fft_method=np.fft))


def test_start_times_step_by_the_stride_and_never_span_a_gap(band):
    cases = NOWCAST_60.selection.cases(band.times, band.step_minutes, 2)
    minutes = [int((case.start - band.times[0]) / np.timedelta64(10, "m")) for case in cases]
    # The archive has frames 0-11 and 13-19. 2 before and 6 after: starts 1 to 5 every 30 min -> 1, 4; no start after
    # the gap, which would need frames 13 .. 20.
    assert minutes == [1, 4]


def test_persistence_of_moving_rain_scores_as_computed_by_hand(band):
    verification = verify(band, [Persistence()], NOWCAST_60)
    # Three input frames, because extrapolation is always scored too: starts 2 and 5. A band 5 wide that moves 1 a
    # step overlaps itself in 4, 3, 2, 1, 0 of 6, 7, 8, 9, 10 columns.
    assert verification.models == ("persistence@1", "extrapolation@1")
    assert verification.starts == 2
    assert verification.csi("persistence@1")[0, :5] == pytest.approx([4 / 6, 3 / 7, 2 / 8, 1 / 9, 0.0])
    assert verification.days == ("2020-06-01",)


def test_an_archive_that_is_too_short_is_refused(band):
    from dataclasses import replace

    long = replace(NOWCAST_60, selection=replace(NOWCAST_60.selection, horizon_minutes=300))
    with pytest.raises(TooFewFrames, match="30 after"):
        verify(band, [Persistence()], long)


def test_blocks_are_days_or_three_hresult():
    start = np.datetime64("2020-06-01T05:30", "s")
    assert str(time_block(start, short=False)) == "2020-06-01"
    assert str(time_block(start, short=True)) == "2020-06-01T03"


def test_intervals_are_the_spread_of_the_blocks():
    # The mean of 100 blocks of variance 4: its standard error is 0.2, 95 % lie within 1.96 of them.
    values = np.random.default_rng(1).normal(5, 2, 100)
    samples = block_weights(100) @ values / 100
    interval = confidence_intervals(samples).at()
    assert interval.value == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.1)
    assert np.array_equal(block_weights(7), block_weights(7))


@pytest.mark.parametrize("blocks", [1, 2])
def test_fewer_than_three_blocks_have_no_interval(blocks):
    values = np.arange(1.0, 1 + blocks)
    interval = confidence_intervals(block_weights(blocks) @ values / blocks).at()
    assert interval.value == values.mean()
    assert np.isnan([interval.low, interval.high]).all()


def test_a_score_of_one_block_of_many_has_no_interval():
    def interval(*wet):
        hits = np.array([9.0 if block in wet else 0.0 for block in range(20)])
        resampled = block_weights(20) @ hits
        return confidence_intervals(np.where(resampled > 0, resampled / (resampled + 9), np.nan)).at()

    assert np.isnan([interval(4).low, interval(4).high]).all()
    assert interval(4).value == 0.5
    assert interval(4, 5, 6).low < interval(4, 5, 6).high


def test_models_are_compared_on_the_same_resamples():
    hits = np.array([[9.0], [1.0], [5.0], [8.0], [2.0]])  # days differ much; the second model has one hit more each
    one, other = block_weights(5) @ hits, block_weights(5) @ (hits + 1)
    difference = confidence_intervals((other - one)[:, 0] / 5).at()
    assert (difference.low, difference.value, difference.high) == (1.0, 1.0, 1.0)
