"""The sentence for a place, in each language: minutes or clock times, and never dry where data are missing."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from model.core.point_sentence import LANGUAGES, SentenceStyle, messages, no_coverage, sentence
from tests.model.core.test_point_outlook import NO_DATA, NOW, of, starting_at

HELSINKI = ZoneInfo("Europe/Helsinki")
FORECAST = [0, 0, 3, 4, 3, *[0] * 7]
MEMBERS = starting_at(*[2] * 12, *[4] * 5, *[None] * 3)


def told(outlook, language="en", zone=None, **style):
    return sentence(outlook, NOW, SentenceStyle(language=language, zone=zone, **style))


@pytest.mark.parametrize(
    ("rain", "now_mm_h", "text"),
    [
        ((0, 0, 1, 1, 0), 0, "light precipitation in 10 to 15 min, over in 25 min; how sure is not known"),
        ((4, 0), 0, "moderate precipitation within 5 min, over in 10 min; how sure is not known"),
        ((0, 20), 0, "heavy precipitation in 5 to 10 min, lasting beyond the next 10 min; how sure is not known"),
        ((0, 1, NO_DATA), 0, "light precipitation in 5 to 10 min; its end is not known; how sure is not known"),
        ((0, 0, 0), 0, "no precipitation in the next 15 min; how sure is not known"),
        ((0, NO_DATA, 0), 0, "no precipitation in the 2 of 3 frames with data; the others are not known"),
        ((NO_DATA, NO_DATA), NO_DATA, "no data at this place: whether there will be precipitation is not known"),
        (
            (NO_DATA, NO_DATA, 1, 0),
            0,
            "light precipitation in 15 min or earlier (data are missing before), over in 20 min; how sure is not known",
        ),
        ((1, 0), 1, "light precipitation now, over in 10 min"),
        (
            (1, 60),
            1,
            "light precipitation now, lasting beyond the next 10 min; later violent precipitation, in about 10 min",
        ),
        ((1, NO_DATA), 1, "light precipitation now; its end is not known"),
        ((0, 0), 1, "light precipitation now, over in 5 min"),
        (
            (0.5, 0, 0, 0, 20),
            0,
            "light precipitation within 5 min, over in 10 min; later heavy precipitation, in about 25 min; "
            "how sure is not known",
        ),
        ((), 0, "no forecast reaches beyond now"),
    ],
)
def test_the_field_alone(rain, now_mm_h, text):
    assert told(of(rain, now_mm_h=now_mm_h)) == text


def test_members_by_the_clock_of_the_place_and_in_minutes():
    outlook = of(FORECAST, members=MEMBERS)
    assert told(outlook, zone=HELSINKI) == (
        "moderate precipitation in 10 to 25 min, heaviest around 15:20, likely over by 15:40; 85 % sure"
    )
    assert told(outlook, zone=HELSINKI, start_in_minutes=False).startswith(
        "moderate precipitation starting between 15:10 and 15:25, heaviest"
    )
    assert told(outlook) == (
        "moderate precipitation in 10 to 25 min, heaviest in about 20 min, likely over in 40 min; 85 % sure"
    )
    assert told(outlook, "de", HELSINKI) == (
        "mäßiger Niederschlag in 10 bis 25 min, am stärksten gegen 15:20 Uhr, wahrscheinlich vorbei bis 15:40 Uhr; "
        "zu 85 % sicher"
    )


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([None] * 20, "no precipitation in the next 60 min; more than 95 % sure"),
        ([2, *[None] * 19], "no precipitation in the next 60 min; 95 % sure"),
        (
            [*[2] * 3, *[None] * 17],
            "precipitation possible, if so in 10 to 15 min, likely over in 30 min; 15 % chance",
        ),
    ],
)
def test_all_members_are_no_certainty_and_none_no_impossibility(steps, text):
    assert told(of([0] * 12, members=starting_at(*steps))) == text


@pytest.mark.parametrize(
    ("rain", "probability", "text"),
    [
        (
            (0, 3, 0),
            (0.02, 0.97, 0.1),
            "moderate precipitation (may be heavy) in 5 to 10 min, likely over in 15 min; at least 97 % sure",
        ),
        (
            (0, 3, 0),
            (1, 1, 0),
            "moderate precipitation (may be heavy) within 5 min, likely over in 15 min; at least 99 % sure",
        ),
        ((0, 0, 0), (0, 0.3, 0), "precipitation possible, most likely in about 10 min; 30 % chance then"),
        ((0, 0, 0), (0, 0.04, 0), "no precipitation in the next 15 min; at most 4 % chance at any one time"),
        ((0, 0, 0), (0, 0, 0), "no precipitation in the next 15 min; at most 1 % chance at any one time"),
    ],
)
def test_probabilities_of_single_times(rain, probability, text):
    assert told(of(rain, probability=list(probability))) == text


def test_a_second_spell_is_told():
    outlook = of([3, *[0] * 9, 3, 3], now_mm_h=3, probability=[0.9, *[0.1] * 9, 0.6, 0.6])
    assert told(outlook) == (
        "moderate precipitation (may be heavy) now, likely over in 10 min, likely again in about 55 min"
    )
    assert told(outlook, "de", HELSINKI).endswith(
        "wahrscheinlich vorbei bis 15:10 Uhr, wahrscheinlich erneut gegen 15:55 Uhr"
    )
    assert told(of([0, 3, 0, 0, 1, 0])) == (
        "moderate precipitation in 5 to 10 min, over in 15 min, again in about 25 min; how sure is not known"
    )


def test_rain_is_called_rain_where_the_source_says_so():
    outlook = of(FORECAST).model_copy(update={"precipitation": "rain"})
    assert told(outlook).startswith("moderate rain in 10 to 15 min")
    assert told(outlook.model_copy(update={"precipitation": "snow"}), "de").startswith("mäßiger Schneefall in")


def test_every_language_has_the_same_messages_with_the_same_values():
    folder = files("model.core").joinpath("sentences")
    assert {f"{language}.json" for language in LANGUAGES} == {path.name for path in folder.iterdir()}
    english = messages("en")
    for language in LANGUAGES:
        of_language = json.loads(folder.joinpath(f"{language}.json").read_text(encoding="utf-8"))
        assert list(of_language) == sorted(english)
        for key, text in of_language.items():
            assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", english[key])), (language, key)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_outlook_can_be_told(language):
    outlooks = [
        of(FORECAST), of([0] * 3), of([0, NO_DATA, 0]), of([NO_DATA]), of([]), of([1, 60], now_mm_h=1),
        of([NO_DATA, 1]),
        of(FORECAST, members=MEMBERS), of(FORECAST, probability=[0.7] * 12), of([0] * 3, probability=[0.3] * 3),
        of([0] * 12, members=starting_at(*[2] * 3, *[None] * 17)), of([0] * 12, members=starting_at(*[None] * 20)),
        of([0, 1, 0], members=starting_at(*[None] * 20, of_steps=3)), of([0] * 3, probability=[0.0] * 3),
        of([0, 3, 3], members=np.where(np.arange(10)[:, None] < 6, [[0, 3, 0]], [[0, 3, 3]])),
        of([1, 1], now_mm_h=1),
    ]  # fmt: skip
    for outlook in outlooks:
        for zone in (None, HELSINKI):
            text = told(outlook, language, zone)
            assert text
            assert "{" not in text
    assert no_coverage(language)
