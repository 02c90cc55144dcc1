"""The colour scales: ordered without hue, classes apart under colour vision deficiency, no data unlike any."""

import itertools

import numpy as np
import pytest

from model.core.colour_scale import DRY_INDEX, GROUND, NO_DATA
from model.core.packing import PROBABILITY_RESOLUTION, quantize_probability
from model.core.probability_scale import PROBABILITY_SCALE
from model.core.rain_scale import NO_DATA_INDEX, PALETTE, RAIN_SCALE, class_index, rain_colormap

SCALES = pytest.mark.parametrize("scale", [RAIN_SCALE, PROBABILITY_SCALE], ids=["rain", "probability"])
# Machado, Oliveira and Fernandes (2009), severity 1.0.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def lab(colour, deficiency):
    """CIE L*a*b* (D65) of an sRGB colour as somebody with the deficiency sees it."""
    srgb = np.array(colour) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(DEFICIENCIES[deficiency] @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@SCALES
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_what_is_more_is_darker_and_neighbours_differ(scale, deficiency):
    seen = [lab(colour, deficiency) for colour in (GROUND, *(item.colour for item in scale.classes))]
    for lighter, darker in itertools.pairwise(seen):
        assert darker[0] < lighter[0] + 2
        assert np.linalg.norm(darker - lighter) > 6
    assert seen[-1][0] < seen[1][0] - 50


@SCALES
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_no_data_is_unlike_dry_ground_and_every_class(scale, deficiency):
    dark = lab(NO_DATA[0], deficiency)
    for item in scale.classes:
        assert np.linalg.norm(dark - lab(item.colour, deficiency)) > 10, item
    assert np.linalg.norm(dark - lab(GROUND, deficiency)) > 25


def test_a_class_begins_at_its_lower_end():
    rain = np.array([np.nan, 0, 0.09, 0.1, 0.5, 99.9, 100, 1000], np.float32)
    assert class_index(rain).tolist() == [NO_DATA_INDEX, DRY_INDEX, DRY_INDEX, 1, 2, 9, 10, 10]


def test_a_probability_as_stored_lies_in_its_class():
    """Also one at the lower end of a class, which unpacking may leave a rounding below it."""
    percent = np.arange(0, 100.1, 0.5)
    stored = quantize_probability((percent / 100).astype(np.float32))
    unpacked = np.rint(percent / 0.5).astype(np.uint8) * np.float32(PROBABILITY_RESOLUTION)
    expected = np.searchsorted([item.lower for item in PROBABILITY_SCALE.classes], percent, side="right")
    for values in (stored, unpacked, np.float64(0.01) * percent):
        assert PROBABILITY_SCALE.class_index(values).tolist() == expected.tolist()
    assert PROBABILITY_SCALE.class_index(np.array([np.nan])) == PROBABILITY_SCALE.no_data_index


def test_matplotlib_draws_the_same_classes():
    colours, norm = rain_colormap()
    rain = np.array([0.05, 0.1, 0.49, 0.5, 99.9, 100, 1000], np.float32)
    drawn = colours(norm(rain), bytes=True)
    assert drawn[0, 3] == 0
    assert drawn[1:, :3].tolist() == [list(PALETTE[index]) for index in class_index(rain)[1:]]
