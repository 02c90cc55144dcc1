"""Fitting the calibration of neighbourhood probabilities: isotonic, on the training part, better than none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.scores.neighbourhood import brier_scores
from model.core.errors import InputError
from model.core.probability_calibration import KNOTS
from model.data.archive import Archive
from model.runtime.baselines import Extrapolation
from model.verify.calibration import CalibrationSums, fit_calibration, forecast_pairs, isotonic_curve
from tests.archives import storm_archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Eight hours of storms every 15 min."""
    folder = tmp_path_factory.mktemp("archives") / "storms"
    return Archive(storm_archive(folder, frames=32, shape=(96, 96), step_minutes=15.0, seed=5))


def test_the_curve_is_the_isotonic_regression() -> None:
    rng = np.random.default_rng(1)
    weight = rng.random(len(KNOTS)) + 0.1
    rates = np.clip(np.array(KNOTS) + rng.normal(0, 0.3, len(KNOTS)), 0, 1)

    def mean(first: int, last: int) -> float:
        return float(np.average(rates[first : last + 1], weights=weight[first : last + 1]))

    # The formula of Barlow et al. (1972): the largest of the smallest means of blocks around each point.
    count = len(KNOTS)
    expected = [max(min(mean(a, b) for b in range(k, count)) for a in range(k + 1)) for k in range(count)]
    assert isotonic_curve(rates * weight, weight) == pytest.approx(np.array(expected))


def test_knots_without_pixels_are_interpolated() -> None:
    weight, events = np.zeros(len(KNOTS)), np.zeros(len(KNOTS))
    weight[[0, -1]] = 1.0
    events[-1] = 0.8
    assert isotonic_curve(events, weight) == pytest.approx(0.8 * np.array(KNOTS))


def test_a_reliable_forecast_stays_as_it_is() -> None:
    rng = np.random.default_rng(3)
    sums = CalibrationSums()
    for row in range(sums.weight.shape[0]):
        shares = rng.random(200_000, np.float32)
        sums.add(row, 30.0, shares, rng.random(shares.size) < shares, 1.0)
    fitted = sums.calibration([])
    assert fitted.lead_minutes == (30.0,)
    assert fitted.table[:, 0] == pytest.approx(np.tile(KNOTS, (len(fitted.table), 1)), abs=0.03)


def test_it_is_fitted_before_the_held_out_part_and_makes_the_brier_score_smaller(archive: Archive) -> None:
    predictor = Extrapolation()
    starts = {part: {pair.start for pair in forecast_pairs(predictor, archive, part)} for part in ("train", "held-out")}
    assert max(starts["train"]) + np.timedelta64(60, "m") < min(starts["held-out"])
    fitted = fit_calibration(predictor, [archive])
    assert fitted.archives[0].starts == len(starts["train"])
    assert fitted.archives[0].digest == archive.digest()
    assert fitted.lead_minutes == (15.0, 30.0, 40.0, 50.0, 60.0)
    count, (certain, shares, calibrated) = brier_scores(predictor, fitted, archive, "train")
    assert count == len(starts["train"])
    assert (shares < certain).all()
    assert (calibrated < shares).all()


def test_an_archive_without_an_hour_to_forecast_is_refused(tmp_path: Path) -> None:
    short = storm_archive(tmp_path / "short", frames=5, shape=(32, 32), step_minutes=15.0, seed=5)
    with pytest.raises(InputError, match="Give longer archives"):
        fit_calibration(Extrapolation(), [Archive(short)])
