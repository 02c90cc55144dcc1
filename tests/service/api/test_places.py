"""Search of places as somebody types it, and the place that a point is near to."""

import pytest


@pytest.fixture(scope="module")
def find(gateway):
    """The places that the route returns."""

    def found(**query):
        response = gateway.get("/v1/places", params=query)
        assert response.status_code == 200, response.text
        assert response.json()["attribution"] == "Places: GeoNames (CC BY 4.0)"
        return response.json()["places"]

    return found


@pytest.mark.parametrize(
    ("text", "name", "country"),
    [
        ("Utrecht", "Utrecht", "NL"),
        ("utr", "Utrecht", "NL"),
        ("den haag", "The Hague", "NL"),
        ("'s-gravenhage", "The Hague", "NL"),
        ("The Hague", "The Hague", "NL"),
        ("wien", "Vienna", "AT"),
        ("Vienna", "Vienna", "AT"),
        ("MÜNCHEN", "Munich", "DE"),
        ("Muenchen", "Munich", "DE"),
        ("zurich", "Zürich", "CH"),
        ("goteborg", "Gothenburg", "SE"),
        ("aarhus", "Århus", "DK"),
        ("lodz", "Łódź", "PL"),
        ("москва", "Moscow", "RU"),
        ("東京", "Tokyo", "JP"),
        ("vienna, us", "Vienna", "US"),
        ("portland, maine", "Portland", "US"),
        ("são pau", "São Paulo", "BR"),
    ],
)
def test_a_town_by_any_of_its_names(find, text, name, country):
    first = find(q=text)[0]
    assert (first["name"], first["country"]) == (name, country)


def test_another_name_is_told(find):
    assert find(q="Den Haag")[0]["matched"] == "Den Haag"
    assert find(q="the hague")[0]["matched"] is None


def test_what_is_found_has_its_place(find):
    utrecht = find(q="Utrecht")[0]
    assert (utrecht["latitude"], utrecht["longitude"]) == pytest.approx((52.0908, 5.1222), abs=0.01)
    assert utrecht["population"] > 200_000
    assert utrecht["distance_km"] is None
    assert find(q="Utrecht", lat=52.37, lon=4.89)[0]["distance_km"] == pytest.approx(34.6, abs=2)


def test_near_towns_come_first_where_somebody_is(find):
    assert find(q="Bergen")[0]["country"] == "NO"
    here = find(q="Bergen", lat=51.5, lon=4.4)
    assert (here[0]["name"], here[0]["country"]) == ("Bergen op Zoom", "NL")


def test_a_list_has_each_place_once_and_no_more_than_asked_for(find):
    found = find(q="s", limit=20)
    assert len(found) == 20
    assert len({(place["latitude"], place["longitude"]) for place in found}) == 20


def test_coordinates_are_a_place(find):
    [place] = find(q="52°5'24\"N 5°7'12\"E")
    assert (place["kind"], place["latitude"], place["longitude"]) == ("coordinates", 52.09, 5.12)
    assert place["name"] == "52.0900° N, 5.1200° E"


@pytest.mark.parametrize(
    ("point", "name"),
    [
        ((52.09, 5.12), "Utrecht"),
        ((52.065, 5.19), "Bunnik"),
        ((52.373, 4.89), "Amsterdam"),
        ((48.2, 16.37), "Vienna"),
        ((-27.47, 153.03), "Brisbane"),
        ((-16.5, -179.9), "Labasa"),
    ],
)
def test_the_place_that_a_point_is_near_to(find, point, name):
    lat, lon = point
    assert find(lat=lat, lon=lon, limit=5)[0]["name"] == name


def test_nothing_is_near_the_open_sea_and_no_town_has_that_name(find):
    assert find(lat=0, lon=-140) == []
    assert find(q="qqqqqq") == []
    assert find(q="...") == []


@pytest.mark.parametrize(
    "query", [{}, {"lat": 52}, {"q": "Utrecht", "lon": 5}, {"lat": 91, "lon": 0}, {"q": "a", "limit": 0}]
)
def test_what_cannot_be_asked_is_a_problem(gateway, query):
    response = gateway.get("/v1/places", params=query)
    assert response.status_code == 422
    assert response.json()["type"].endswith("/invalid-parameter")
