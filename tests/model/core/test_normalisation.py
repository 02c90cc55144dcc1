"""The HKO-7 scale, compared with values computed by hand from the paper."""

import numpy as np
import pytest

from model.core.normalisation import hko7_fraction, hko7_rain_rate_mm_h
from model.core.zr import HKO7


def test_hko7_pixels_follow_the_paper():
    # dBZ = 10 log10(58.53) + 15.6 log10(R), pixel = 255 (dBZ + 10) / 70: 10 mm/h is 33.27 dBZ, pixel 157.6.
    assert HKO7.reflectivity_dbz(np.array([10.0])) == pytest.approx([33.2738], abs=1e-3)
    assert 255 * hko7_fraction(np.array([10.0])) == pytest.approx([157.64], abs=0.05)


def test_hko7_pixels_are_those_of_the_two_laws_to_a_millionth():
    rain = np.geomspace(0.02, 400, 10_001)
    dbz = 10 * np.log10(58.53) + 15.6 * np.log10(rain)
    assert hko7_fraction(rain) == pytest.approx((dbz + 10) / 70, abs=1e-6)
    fraction = np.linspace(1e-6, 1, 10_001)
    assert hko7_rain_rate_mm_h(fraction) == pytest.approx(
        10 ** ((70 * fraction - 10 - 10 * np.log10(58.53)) / 15.6), rel=2e-6
    )
    assert np.array_equal(hko7_fraction(np.array([-1.0, 1e-9, 1e9, np.inf])), [0, 0, 1, 1])


@pytest.mark.parametrize("rain", [0.05, 0.5, 2.0, 5.0, 10.0, 30.0, 100.0])
def test_fraction_and_rain_rate_are_inverse(rain):
    assert hko7_rain_rate_mm_h(hko7_fraction(np.array([rain]))) == pytest.approx([rain], rel=1e-4)


def test_no_rain_is_zero_and_no_data_stays_no_data():
    fraction = hko7_fraction(np.array([0.0, np.nan]))
    assert fraction[0] == 0
    assert np.isnan(fraction[1])
    rain = hko7_rain_rate_mm_h(fraction)
    assert rain[0] == 0
    assert np.isnan(rain[1])
