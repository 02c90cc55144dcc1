"""Coordinates as people write them."""

import pytest

from service.places.coordinates import coordinates_text, parse_coordinates


@pytest.mark.parametrize(
    "text",
    [
        "52.09, 5.12",
        "52.09 5.12",
        " 52.09;5.12 ",
        "52.09°, 5.12°",
        "52.09N 5.12E",
        "N52.09, E5.12",
        "5.12° E, 52.09° N",
        "52,09 N 5,12 E",
        "52°5'24\"N 5°7'12\"E",
        "52° 5′ 24″ N, 5° 7′ 12″ E",
        "N 52 05 24, E 5 07 12",
        "52 5.4 N 5 7.2 E",
        "52°5.4'n 5°7.2'o",
    ],
)
def test_a_place_in_many_spellings(text):
    assert parse_coordinates(text) == pytest.approx((52.09, 5.12), abs=1e-9)


def test_south_and_west_are_negative():
    assert parse_coordinates("27°28'S 153°2'W") == pytest.approx((-27.46667, -153.03333), abs=1e-5)
    assert parse_coordinates("-27.47, −153.03") == pytest.approx((-27.47, -153.03))
    assert coordinates_text(-27.47, -153.03) == "27.4700° S, 153.0300° W"


@pytest.mark.parametrize(
    "text",
    [
        "Utrecht",
        "",
        "52",
        "100, 5",
        "52, 181",
        "52°N",
        "52°N 5°N",
        "1 2 3",
        "12 Oaks",
        "52°75'N 5°7'E",
        "52.09, 5.12, 8",
    ],
)
def test_what_is_no_place(text):
    assert parse_coordinates(text) is None
