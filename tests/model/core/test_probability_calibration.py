"""The calibration of neighbourhood probabilities: interpolation, order, files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model.core.errors import InputError
from model.core.probability_calibration import CalibrationArchive, ProbabilityCalibration, read_calibration
from model.runtime.baselines import SHIPPED_CALIBRATION

FIELDS = {
    "protocol": "by hand",
    "archives": [{"name": "a", "digest": "0" * 64, "days": ["2020-01-01"], "starts": 3}],
    "thresholds_mm_h": [1.0, 4.0],
    "lead_minutes": [10.0, 30.0],
    "shares": [0.0, 0.5, 1.0],
    "probabilities": [[[0.1, 0.6, 0.9], [0.2, 0.4, 0.7]], [[0.0, 0.3, 0.8], [0.1, 0.2, 0.5]]],
}


def calibration(**changes: object) -> ProbabilityCalibration:
    return ProbabilityCalibration.model_validate(FIELDS | changes)


def at(share: float, threshold: float, lead: float) -> float:
    return float(calibration().calibrate(np.array([[share]], np.float32), [threshold], lead)[0, 0])


@pytest.mark.parametrize(
    ("share", "threshold", "lead", "probability"),
    [
        (0.5, 1.0, 10.0, 0.6),
        (0.25, 1.0, 10.0, 0.35),
        (0.5, 1.0, 20.0, 0.5),
        (0.5, 2.0, 10.0, 0.45),
        (0.5, 1.0, 5.0, 0.6),
        (1.0, 1.0, 90.0, 0.7),
        (1.0, 20.0, 30.0, 0.5),
        (0.0, 0.5, 30.0, 0.2),
    ],
    ids=["knot", "share", "lead", "threshold", "before", "after", "heavier", "lighter"],
)
def test_between_the_knots_it_is_linear_and_beyond_them_constant(
    share: float, threshold: float, lead: float, probability: float
) -> None:
    assert at(share, threshold, lead) == pytest.approx(probability, abs=1e-6)


def test_no_data_stays_no_data() -> None:
    shares = np.array([[0.0, np.nan, 0.5]] * 2, np.float32)
    calibrated = calibration().calibrate(shares, [1.0, 4.0], 10.0)
    assert np.isnan(calibrated).tolist() == [[False, True, False]] * 2


def test_probabilities_keep_their_order() -> None:
    rng = np.random.default_rng(5)
    shares = np.sort(rng.random((6, 400), np.float32), axis=0)[::-1].copy()
    shares[3] = shares[2]
    calibrated = calibration().calibrate(shares, [0.5, 1.0, 1.5, 3.0, 4.0, 9.0], 17.0)
    assert (np.diff(calibrated, axis=0) <= 0).all()
    assert calibrated.min() >= 0
    assert calibrated.max() <= 1


def test_a_heavier_threshold_is_lowered_to_the_lighter_one() -> None:
    crossing = calibration(probabilities=[[[0.1, 0.2, 0.3]] * 2, [[0.0, 0.5, 0.8]] * 2])
    shares = np.array([[1.0, 0.5], [0.5, 0.0]], np.float32)
    assert crossing.calibrate(shares, [1.0, 4.0], 10.0) == pytest.approx(np.array([[0.3, 0.2], [0.3, 0.0]]))


def test_it_survives_a_file(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(calibration().model_dump_json())
    read = read_calibration(path)
    assert read == calibration()
    assert read.archives == (CalibrationArchive(name="a", digest="0" * 64, days=("2020-01-01",), starts=3),)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"shares": [0.0, 1.0, 0.5]}, "shares must ascend"),
        ({"probabilities": FIELDS["probabilities"][:1]}, "must hold 2 x 2 x 3 numbers"),
        ({"probabilities": [[[0.5, 0.4, 0.9]] * 2] * 2}, "must not decrease with the share"),
        ({"probabilities": [[[0.5, 0.6, 1.9]] * 2] * 2}, "less than or equal to 1"),
        ({"bias": 1}, "bias"),
    ],
    ids=["axis", "shape", "share", "range", "unknown"],
)
def test_a_file_that_is_none_says_why(changes: dict[str, object], what: str, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(FIELDS | changes))
    with pytest.raises(InputError, match="models calibrate") as refused:
        read_calibration(path)
    assert what in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("content", [None, "{"], ids=["absent", "damaged"])
def test_a_file_that_cannot_be_read_says_which(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"calibration\.json"):
        read_calibration(path)


def test_the_shipped_one_knows_what_it_was_fitted_on() -> None:
    shipped = read_calibration(SHIPPED_CALIBRATION)
    names = [archive.name for archive in shipped.archives]
    assert "knmi" in names
    assert not {"bom", "opera"} & set(names)
    assert shipped.lead_minutes[-1] == 60
    assert all(archive.digest and archive.days and archive.starts for archive in shipped.archives)
