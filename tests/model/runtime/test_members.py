"""Members: they agree with the probabilities, look like the rain, and persist as long as rain of their scale does."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from model.core.forecast_output import ForecastOutput
from model.core.model_info import EXTRAPOLATION
from model.core.units import FloatArray
from model.data.synthetic_storms import synthesise
from model.runtime import members as members_module
from model.runtime.advection import advect, trajectories
from model.runtime.baselines import Extrapolation
from model.runtime.members import MemberGenerator
from model.runtime.noise import MAX_PERIOD_PX, GaussianFields, Lifetime, period, rain_spectrum
from model.runtime.request import ForecastRequest

THRESHOLDS = (0.1, 0.5, 2.0, 5.0, 10.0)
NY, NX = 90, 120


def showers(ny: int = NY, nx: int = NX, *, length_px: float = 6.0, stretch: float = 1.0) -> FloatArray:
    """Rain whose structures are `length_px` long, `stretch` times as long along x."""
    noise = np.random.default_rng(5).standard_normal((ny, nx), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigmaX=length_px * stretch, sigmaY=length_px)
    rain = np.exp(2 * smooth / smooth.std(), dtype=np.float32)
    return np.where(rain > 1, rain, np.float32(0))


def distributions(ny: int = NY, nx: int = NX) -> FloatArray:
    """P(rain >= threshold) [threshold, y, x]: certain rain in the west, none in the east, no data in the last rows."""
    median = np.exp(np.linspace(4, -8, nx, dtype=np.float32))
    steep = 1.2 * (np.log(median)[None] - np.log(np.array(THRESHOLDS, np.float32))[:, None])
    exceedance = np.repeat((1 / (1 + np.exp(-steep)))[:, None], ny, axis=1).astype(np.float32)
    exceedance[..., : nx // 8], exceedance[..., -nx // 8 :] = 1, 0
    exceedance[4, ..., : nx // 8] = 0.5
    exceedance[:, -10:] = np.nan
    return exceedance


def generator(count: int, *, seed: int = 1, newest: FloatArray | None = None, ceiling: float = 1e6) -> MemberGenerator:
    return MemberGenerator(
        showers() if newest is None else newest,
        count,
        seed,
        step_minutes=5,
        pixel_km=1.0,
        thresholds_mm_h=THRESHOLDS,
        tail_mm_h=15.0,
        ceiling_mm_h=ceiling,
    )


def test_members_exceed_each_threshold_as_often_as_forecast() -> None:
    exceedance, count = distributions(), 400
    found = np.zeros_like(exceedance)
    for member in generator(count).next_lead(exceedance):
        found += member >= np.array(THRESHOLDS, np.float32)[:, None, None]
    known = np.isfinite(exceedance[0])
    error = (found / count - exceedance)[:, known]
    expected = exceedance[:, known]
    sampling = np.sqrt(expected * (1 - expected) / count)
    assert np.abs(error).max() < 6 * sampling.max()
    assert np.sqrt(np.mean(error**2)) < 1.2 * np.sqrt(np.mean(sampling**2))
    assert np.abs(error.mean(axis=1)).max() < 0.01


def test_the_frequencies_hold_where_the_field_is_read_between_pixels() -> None:
    exceedance, count = distributions(), 300
    newest = np.random.default_rng(0).gamma(0.5, 4, (NY, NX)).astype(np.float32)  # interpolation matters most to it
    motion = np.broadcast_to(np.array([1.5, -0.5], np.float32), (NY, NX, 2))
    origins = next(trajectories(motion, 1))
    heavy = np.mean([member >= 10 for member in generator(count, newest=newest).next_lead(exceedance, origins)], axis=0)
    known = np.isfinite(exceedance[0])
    assert abs(heavy[known].mean() - exceedance[4][known].mean()) < 0.004


def test_no_data_stays_no_data_and_members_are_dry_where_rain_is_impossible() -> None:
    exceedance = distributions()
    for member in generator(3).next_lead(exceedance):
        assert np.array_equal(np.isnan(member), np.isnan(exceedance[0]))
        assert np.all(member[:-10, -NX // 8 :] == 0)
        assert np.all(member[:-10, : NX // 8] >= 5)


def test_no_member_exceeds_the_ceiling() -> None:
    free, bounded = (
        np.stack(list(generator(3, ceiling=ceiling).next_lead(distributions()))) for ceiling in (1e6, 12.0)
    )
    assert np.nanmax(free) > 12
    assert np.array_equal(bounded, np.minimum(free, np.float32(12)), equal_nan=True)


def test_a_member_depends_on_seed_and_number_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    exceedance = distributions()

    def two_leads(count: int, seed: int) -> list[FloatArray]:
        made = generator(count, seed=seed)
        return [np.stack(list(made.next_lead(exceedance))) for _ in range(2)]

    few = two_leads(2, 7)
    monkeypatch.setattr(members_module, "available_cores", lambda: 3)
    many, other = two_leads(5, 7), two_leads(2, 8)
    for lead in range(2):
        assert np.array_equal(few[lead], many[lead][:2], equal_nan=True)
        assert not np.array_equal(few[lead], other[lead], equal_nan=True)
        assert len({member.tobytes() for member in many[lead]}) == 5


def test_members_move_with_the_rain() -> None:
    exceedance = np.full((len(THRESHOLDS), NY, NX), 0.5, np.float32)
    motion = np.broadcast_to(np.array([4.0, 2.0], np.float32), (NY, NX, 2))
    origins = next(trajectories(motion, 1))
    [still] = generator(1).next_lead(exceedance)
    [moved] = generator(1).next_lead(exceedance, origins)
    wet = advect((still > 0).astype(np.float32), origins)
    inside = np.isfinite(wet)
    assert np.mean((moved > 0)[inside] == (wet > 0.5)[inside]) > 0.999


def test_members_are_as_coarse_and_as_stretched_as_the_rain() -> None:
    def correlation(field: FloatArray, down: int, right: int) -> float:
        return float(np.corrcoef(field[: NY - down, : NX - right].ravel(), field[down:, right:].ravel())[0, 1])

    for length, stretch in ((2.0, 1.0), (4.0, 3.0)):
        rain = showers(length_px=length, stretch=stretch)
        spectrum = rain_spectrum(rain, 1.0)
        fields = GaussianFields(spectrum, np.zeros_like(spectrum.amplitude), 40, seed=3)
        made = [fields.next_lead(index) for index in range(40)]
        wanted = np.log(np.maximum(rain, np.float32(0.1)))
        for lag in ((0, 4), (4, 0), (0, 10)):
            assert np.mean([correlation(field, *lag) for field in made]) == pytest.approx(
                correlation(wanted, *lag), abs=0.12
            )


def test_each_pixel_has_mean_0_and_the_same_variance() -> None:
    spectrum = rain_spectrum(showers(), 1.0)
    fields = GaussianFields(spectrum, np.full_like(spectrum.amplitude, 0.5), 500, seed=2)
    for lead in (1, 2):
        made = np.stack([fields.next_lead(index) for index in range(500)])
        expected = float(fields.covariance(lead)[0, 0])
        assert np.abs(made.mean(axis=0)).max() < 0.25
        assert made.var(axis=0).mean() == pytest.approx(expected, rel=0.02)
        assert made.var(axis=0).std() < 0.08
    assert fields.covariance(60)[0, 0] == pytest.approx(1, rel=1e-3)


def test_large_scales_persist_longer_and_open_later_than_small_ones() -> None:
    spectrum = rain_spectrum(np.zeros((128, 128), np.float32), 1.0)
    wavelength = spectrum.wavelength_px()
    decay = Lifetime(minutes_at_1_km=1.0, exponent=0.8).decay(wavelength, 5)
    fields = GaussianFields(spectrum, decay, 60, seed=2)
    leads = [[np.fft.rfft2(fields.next_lead(index), norm="forward") for index in range(60)] for _ in range(2)]
    shares, correlations = [], []
    for low, high in ((4, 6), (12, 18), (40, 64)):
        band = (wavelength >= low) & (wavelength < high)
        rho = np.average(decay[band], weights=np.square(spectrum.amplitude[band]))
        first, second = ([field[band] for field in lead] for lead in leads)
        power = [np.mean([np.vdot(field, field).real for field in lead]) for lead in (first, second)]
        shared = np.mean([np.vdot(*pair).real for pair in zip(first, second, strict=True)])
        shares.append(power[0] / np.square(spectrum.amplitude[band]).sum())
        correlations.append(shared / np.sqrt(power[0] * power[1]))
        assert shares[-1] == pytest.approx((1 - rho**2) ** 3 / (1 + rho**2), rel=0.25)
        assert correlations[-1] == pytest.approx(2 * rho / np.sqrt(1 + 4 * rho**2), abs=0.1)
    assert shares[0] > 2 * shares[1] > 4 * shares[2]
    assert correlations == sorted(correlations)


def test_a_dry_frame_has_the_spectrum_of_the_climate() -> None:
    rain = np.zeros((128, 128), np.float32)
    rain[:5, :5] = 3
    spectrum = rain_spectrum(rain, 2.0)
    along = spectrum.amplitude[0]
    assert np.allclose(along[8:64] / along[16:17], (np.arange(8, 64) / 16.0) ** -1.3, rtol=1e-3)
    assert along[1] == pytest.approx(spectrum.amplitude[1, 0])
    assert spectrum.amplitude[0, 0] == 0


def test_a_frame_without_data_and_one_with_gaps_have_a_spectrum() -> None:
    missing = np.full((64, 64), np.nan, np.float32)
    partly = showers(64, 64)
    partly[:30] = np.nan
    for rain in (missing, partly):
        amplitude = rain_spectrum(rain, 1.0).amplitude
        assert np.isfinite(amplitude).all()
        assert 2 * np.sum(amplitude**2) - np.sum(amplitude[:, [0, -1]] ** 2) == pytest.approx(1, rel=1e-4)


def test_uniform_rain_has_members_that_agree_with_the_probabilities() -> None:
    """It has no texture, and no spectrum of its own."""
    for newest in (np.full((NY, NX), 5, np.float32), np.full((NY, NX), 0.37, np.float32)):
        newest[:, :20] = np.nan
        exceedance = np.full((len(THRESHOLDS), NY, NX), 0.5, np.float32)
        assert (generator(20, newest=newest).all_at_next_lead(exceedance) > 0).mean() == pytest.approx(0.5, abs=0.05)
        assert np.array_equal(rain_spectrum(newest, 1.0).amplitude, rain_spectrum(newest * np.nan, 1.0).amplitude)


def test_members_of_the_smallest_grid_agree_with_the_probabilities_between_pixels_too() -> None:
    exceedance = np.full((len(THRESHOLDS), 2, 2), 0.5, np.float32)
    [origins] = trajectories(np.full((2, 2, 2), 0.5, np.float32), 1)
    members = generator(50, newest=np.ones((2, 2), np.float32)).all_at_next_lead(exceedance, origins)
    assert 0.2 < (members[:, 0, 0] > 0).mean() < 0.8


def test_members_of_two_start_times_err_independently() -> None:
    """The rain and the seed are the same."""
    storms = synthesise(frames=4, shape=(96, 120), step_minutes=5.0, seed=4)
    first = ForecastRequest.fit(storms, EXTRAPOLATION, 1, output=ForecastOutput(members=2))
    later = replace(first, sequence=replace(first.sequence, times=first.sequence.times + np.timedelta64(5, "m")))
    one, same, other = (next(iter(Extrapolation().forecast([request]))).members for request in (first, first, later))
    assert np.array_equal(one, same, equal_nan=True)
    assert not np.array_equal(one, other, equal_nan=True)


def test_a_large_domain_repeats_a_field_of_bounded_size() -> None:
    assert period((3500, 7000)) == (MAX_PERIOD_PX, MAX_PERIOD_PX)
    assert period((641, 2100)) == (648, MAX_PERIOD_PX)
    ny, nx = 24, MAX_PERIOD_PX + 300
    newest = showers(ny, nx, length_px=4)
    exceedance = np.full((len(THRESHOLDS), ny, nx), 0.5, np.float32)
    [member] = generator(1, newest=newest).next_lead(exceedance)
    assert np.array_equal(member[:, :300], member[:, MAX_PERIOD_PX:])
    assert 0.2 < (member > 0).mean() < 0.8
