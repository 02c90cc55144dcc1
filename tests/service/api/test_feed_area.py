"""Rain over areas of a feed: the netCDF's numbers, and a problem for everything that is no area."""

import json

import netCDF4
import numpy as np
import pytest
import shapely
from pyproj import CRS

from model.core.grid import Grid

GRID = Grid.regular(CRS.from_epsg(3035), shape=(20, 40), pixel_size=1000.0, centre=(4_000_000.0, 3_000_000.0))
"""That of the nowcast: rain of 3 mm/h in the western half at the second and third lead step, no data in the east."""


def on_earth(shape):
    """An area in degrees, of one in columns and rows from the corner of the first pixel."""

    def to_lon_lat(pixels):
        x = GRID.x[0] + (pixels[:, 0] - 0.5) * 1000
        return np.column_stack(GRID.lon_lat(x, GRID.y[0] - (pixels[:, 1] - 0.5) * 1000))

    return shapely.geometry.mapping(shapely.transform(shapely.segmentize(shape, 0.5), to_lon_lat))


def ask(gateway, body, **headers):
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    headers = {"Content-Type": "application/geo+json", **headers}
    response = gateway.post("/v1/feeds/north/area", content=content, headers=headers)
    if response.is_success:
        assert response.headers["cache-control"] == "no-store"
    return response.status_code, response.json()


def test_the_numbers_of_an_area_are_those_of_the_netcdf(gateway, context, publish, uncertain):
    publish(uncertain)
    shape = shapely.from_wkt("POLYGON((3.5 2.5, 27.25 4.5, 22.5 16.5, 3.5 2.5),(16 7, 18 7, 18 9.5, 16 7))")
    status, area = ask(gateway, on_earth(shape))
    assert (status, area["coverage"], area["share_inside"]) == (200, "ok", 1.0)
    pixels = [
        [shape.intersection(shapely.box(column, row, column + 1, row + 1)).area for column in range(40)]
        for row in range(20)
    ]
    weight, touched = np.array(pixels), np.array(pixels) > 0
    with netCDF4.Dataset(context.store.folder / uncertain.result_key) as file:
        rain = file["rainfall_rate_sharp"][:].filled(np.nan)
        members = file["rainfall_rate"][:].filled(np.nan)
        probability = file["probability_of_exceedance"][:].filled(np.nan)

    def mean(field):
        return np.average(field[touched], weights=weight[touched])

    assert [value["mean"] for value in area["forecast"]] == pytest.approx([mean(field) for field in rain], abs=2e-3)
    assert [value["max"] for value in area["forecast"]] == pytest.approx([field[touched].max() for field in rain])
    for lead, value in enumerate(area["forecast"]):
        assert value["probability"] == pytest.approx([mean(field) for field in probability[:, lead]], abs=2e-3)
        highest = [field[touched].max() for field in probability[:, lead]]
        assert value["highest_probability"] == pytest.approx(highest, abs=6e-4)
        of_members = [mean(field) for field in members[:, lead]]
        assert value["mean_range"]["p90"] == pytest.approx(max(of_members), abs=2e-2)
    total = sum(mean(field) for field in rain) * 5 / 60
    assert area["total_mm"]["mean"] == pytest.approx(total, abs=1e-3)
    assert area["total_mm"]["max"] == pytest.approx(2 * 3 * 5 / 60, abs=1e-3)
    assert area["total_mm"]["mean_range"]["p90"] == pytest.approx(10 * total, rel=1e-2)
    assert area["total_mm"]["volume_m3"] == pytest.approx(total * area["area_km2"] * 1000, rel=5e-3)
    assert area["area_km2"] == pytest.approx(shape.area, rel=0.05)
    assert [value["valid_time"][11:16] for value in area["past"]] == ["11:50", "11:55", "12:00"]
    assert (area["summary"]["state"], area["summary"]["starts"]) == ("rain-coming", "2026-06-01T12:10:00Z")


def test_an_area_across_the_border_tells_how_much_of_it_has_data(gateway, published):
    status, area = ask(gateway, on_earth(shapely.box(-10, 0, 40, 20)))
    assert (status, area["coverage"], area["pixels"]) == (200, "ok", 800)
    assert area["share_inside"] == pytest.approx(0.8, abs=1e-3)
    assert area["forecast"][1]["share_with_data"] == pytest.approx(0.6, abs=1e-3)
    assert area["forecast"][1]["mean"] == pytest.approx(2.0, abs=2e-3)
    assert area["total_mm"]["volume_m3"] is None


def test_missing_data_is_never_dry(gateway, published):
    without = ask(gateway, on_earth(shapely.box(32, 3, 38, 9)))[1]
    assert (without["coverage"], without["summary"]["state"]) == ("no_data", "no-data")
    assert (without["forecast"][0]["mean"], without["forecast"][0]["share_with_data"]) == (None, 0)
    assert without["total_mm"]["mean"] is None
    outside = ask(gateway, on_earth(shapely.box(60, 3, 70, 9)))[1]
    assert (outside["coverage"], outside["share_inside"], outside["forecast"]) == ("no_coverage", 0, [])


def test_a_feature_and_a_multipolygon_are_areas_too(gateway, published):
    shape = shapely.MultiPolygon([shapely.box(1, 1, 3.5, 3), shapely.box(10, 10, 12, 12.25)])
    feature = {"type": "Feature", "properties": {"name": "Vecht"}, "geometry": on_earth(shape)}
    status, area = ask(gateway, feature, **{"Content-Type": "application/json"})
    assert (status, area["pixels"]) == (200, 6 + 6)
    assert area["area_km2"] == pytest.approx(9.5, rel=0.05)


BOX = [[5.3, 50.0], [5.4, 50.0], [5.4, 50.1], [5.3, 50.1], [5.3, 50.0]]
OLD_CRS = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3067"}}


@pytest.mark.parametrize(
    ("body", "status", "code", "where", "what"),
    [
        ("{", 415, "not-json", "body", "no JSON"),
        ("[]", 422, "bad-geometry", "body", "no GeoJSON"),
        ({"type": "Point", "coordinates": [5, 50]}, 422, "bad-geometry", "body.type", "Point"),
        ({"type": "FeatureCollection", "features": []}, 422, "bad-geometry", "body.type", "FeatureCollection"),
        ({"type": "Feature", "geometry": None}, 422, "bad-geometry", "geometry.type", "not an area"),
        ({"type": "Polygon"}, 422, "bad-geometry", "coordinates", "no coordinates"),
        ({"type": "Polygon", "coordinates": []}, 422, "bad-geometry", "coordinates", "no coordinates"),
        ({"type": "Polygon", "coordinates": [BOX[:3]]}, 422, "bad-geometry", "coordinates[0]", "four positions"),
        ({"type": "Polygon", "coordinates": [BOX[:-1]]}, 422, "bad-geometry", "coordinates[0]", "not closed"),
        (
            {"type": "Polygon", "coordinates": [BOX, [1, 2, 3, 4]]},
            422,
            "bad-geometry",
            "coordinates[1]",
            "two or three",
        ),
        ({"type": "Polygon", "coordinates": [[["5", "50"]] * 4]}, 422, "bad-geometry", "coordinates[0]", "numbers"),
        ({"type": "MultiPolygon", "coordinates": [BOX]}, 422, "bad-geometry", "coordinates[0][0]", "four positions"),
        (
            {"type": "Polygon", "coordinates": [[BOX[0], BOX[2], BOX[1], BOX[3], BOX[0]]]},
            422,
            "bad-geometry",
            "coordinates",
            "Self-intersection",
        ),
        (
            {
                "type": "Polygon",
                "coordinates": [[[385000, 6672000], [386000, 6672000], [386000, 6673000], [385000, 6672000]]],
            },
            422,
            "wrong-crs",
            "coordinates",
            "386000",
        ),
        ({"type": "Polygon", "coordinates": [BOX], "crs": OLD_CRS}, 422, "wrong-crs", "crs", "EPSG::3067"),
        ({"type": "Polygon", "coordinates": [BOX * 10_001]}, 413, "too-large", "coordinates", "50,000"),
        (" " * 4_000_001, 413, "too-large", "body", "4 MB"),
    ],
    ids=lambda value: None if isinstance(value, dict | str) and len(str(value)) > 30 else value,
)
def test_what_is_no_area_is_told(gateway, published, body, status, code, where, what):
    found, problem = ask(gateway, body)
    assert (found, problem["type"], problem["where"]) == (status, f"/problems/{code}", where)
    assert what in problem["what"]
    assert problem["hint"]


def test_other_media_other_feeds_and_old_names_of_longitude_and_latitude(gateway, published):
    assert ask(gateway, "<gml/>", **{"Content-Type": "text/xml"})[1]["type"] == "/problems/not-json"
    polygon = {"type": "Polygon", "coordinates": [BOX]}
    response = gateway.post("/v1/feeds/atlantis/area", json=polygon)
    assert (response.status_code, response.json()["type"]) == (404, "/problems/no-such-feed")
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    assert ask(gateway, {**polygon, "crs": crs})[0] == 200
