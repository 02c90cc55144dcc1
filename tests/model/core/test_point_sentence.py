"""The sentence for a place: minutes from now, and never dry where data are missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from model.core.point_sentence import intensity, sentence
from model.core.point_summary import summarize_point

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NO_DATA = np.nan


def of(*rain_mm_h: float, now_mm_h: float = 0.0) -> str:
    """The sentence for rain rates every 5 minutes from now on."""
    times = [NOW + timedelta(minutes=5 * (step + 1)) for step in range(len(rain_mm_h))]
    return sentence(summarize_point(np.array(rain_mm_h), times, now_mm_h=now_mm_h), rain_mm_h, times, NOW)


@pytest.mark.parametrize(
    ("rain", "now_mm_h", "text"),
    [
        ((0, 0, 1, 1, 0), 0, "light rain in 10 to 15 min, for about 10 min"),
        ((4, 0), 0, "moderate rain within 5 min, for about 5 min"),
        ((0, 0, 20), 0, "heavy rain in 10 to 15 min, to the end of the forecast"),
        ((0, 1, NO_DATA), 0, "light rain in 5 to 10 min; its end is not known"),
        ((0, 0, 0), 0, "no rain in the next 15 min"),
        ((0, NO_DATA, 0), 0, "no rain in the 2 of 3 frames with data; the others are not known"),
        ((NO_DATA, NO_DATA), NO_DATA, "no data at this place: whether it will rain is not known"),
        ((NO_DATA, NO_DATA, 1, 0), 0, "light rain by 15 min from now, before which there are no data, for about 5 min"),
        ((1, 0), 1, "light rain now, ending in about 10 min"),
        ((1, 60), 1, "violent rain now, for at least 10 min"),
        ((1, NO_DATA), 1, "light rain now; its end is not known"),
        ((0, 0), 1, "rain now, ending in about 5 min"),
        ((0.5, 0, 0, 0, 20), 0, "light rain within 5 min, for about 5 min; later heavy rain, in about 25 min"),
        ((0, 0, 0, 30), 1, "rain now, ending in about 5 min; later heavy rain, in about 20 min"),
        ((), 0, "no forecast reaches beyond now"),
    ],
)
def test_sentences(rain: tuple[float, ...], now_mm_h: float, text: str) -> None:
    assert of(*rain, now_mm_h=now_mm_h) == text


def test_intensities_have_the_limits_of_the_wmo() -> None:
    assert [intensity(rate) for rate in (0.1, 2.4, 2.5, 9.9, 10, 49, 50, 300)] == [
        *["light"] * 2,
        *["moderate"] * 2,
        *["heavy"] * 2,
        *["violent"] * 2,
    ]


@pytest.mark.parametrize(
    ("chance", "text"),
    [
        (None, "no rain in the next 10 min"),
        (0.04, "no rain in the next 10 min"),
        (0.4, "no rain in the next 10 min, but a chance of it of up to 40 % at a time"),
    ],
)
def test_a_dry_field_hides_no_chance_of_rain(chance, text):
    times = [NOW + timedelta(minutes=5), NOW + timedelta(minutes=10)]
    assert sentence(summarize_point([0, 0], times), [0, 0], times, NOW, chance=chance) == text
