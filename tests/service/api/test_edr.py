"""OGC API - EDR: feeds as collections, with the numbers of the netCDF; held to the schemas where they are at hand."""

import json
import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from pyproj import CRS

from model.core.grid import Grid
from service.jobs.job import Job

GRID = Grid.regular(CRS.from_epsg(3035), shape=(20, 40), pixel_size=1000.0, centre=(4_000_000.0, 3_000_000.0))
NORTH = "/edr/collections/north"
NOON = "2026-06-01T12:00:00Z"
PARAMETERS = ["rainfall_rate", "probability_of_exceedance_0.1", "probability_of_exceedance_2", "rainfall_rate_member"]


@pytest.fixture
def nowcast(context, feed, publish, uncertain):
    """A published run with probabilities and members; its variables, and the feed with a place."""
    feed(locations={"town": [5.4, 50.02]})
    publish(uncertain)
    with netCDF4.Dataset(context.store.folder / uncertain.result_key) as file:
        names = ("rainfall_rate_sharp", "rainfall_rate", "probability_of_exceedance")
        return {name: file[name][:].filled(np.nan) for name in names}


def get(gateway, path, **params):
    response = gateway.get(path, params={name.replace("_", "-"): value for name, value in params.items()})
    return response.status_code, response.json()


def of_pixel(row, column):
    return tuple(float(degrees) for degrees in GRID.lon_lat(GRID.x[column] + 200, GRID.y[row] + 200))


def numbers(array):
    return [np.nan if value is None else value for value in array["values"]]


def test_the_landing_pages_lead_to_every_part(gateway, nowcast):
    links = {link["rel"]: link["href"] for link in get(gateway, "/edr")[1]["links"]}
    assert {"self", "service-desc", "service-doc", "conformance", "data"} == links.keys()
    for href in links.values():
        assert gateway.get(href).status_code == 200
    assert (
        "http://www.opengis.net/spec/ogcapi-edr-1/1.1/conf/core" in get(gateway, links["conformance"])[1]["conformsTo"]
    )
    assert "/edr" in [link["href"] for link in gateway.get("/").json()["links"]]


CHANNEL = {"url": "wss://echocast:secret@mqtt.example.org/mqtt", "public_url": "https://nowcasts.example.org"}


def test_where_new_instances_are_announced_is_told_where_they_are(gateway, feed, nowcast):
    assert get(gateway, "/edr/asyncapi")[1]["channels"] == {}
    feed(edr=CHANNEL)
    described = [link for link in get(gateway, "/edr")[1]["links"] if "asyncapi" in link["type"]]
    assert [(link["rel"], link["href"]) for link in described] == [("service-desc", "/edr/asyncapi")]
    classes = get(gateway, "/edr/conformance")[1]["conformsTo"]
    assert "http://www.opengis.net/spec/ogcapi-edr-2/1.0/conf/pubsub" in classes
    response = gateway.get("/edr/asyncapi")
    assert response.headers["content-type"] == "application/vnd.aai.asyncapi+json;version=3.0.0"
    assert "secret" not in response.text
    document = response.json()
    assert (document["asyncapi"], document["channels"]["north"]["address"]) == ("3.0.0", "collections/north/instances")
    [server] = document["servers"].values()
    assert (server["host"], server["pathname"], server["protocol"]) == ("mqtt.example.org:443", "/mqtt", "wss")
    [hub] = [link for link in get(gateway, NORTH)[1]["links"] if link["rel"] == "hub"]
    assert (hub["href"], hub["channel"]) == ("wss://mqtt.example.org:443/mqtt", "collections/north/instances")
    if path := os.environ.get("ECHOCAST_ASYNCAPI_SCHEMA"):
        import jsonschema

        jsonschema.Draft7Validator(json.loads(Path(path).read_text())).validate(document)


def test_a_collection_describes_what_its_queries_take(gateway, nowcast):
    [listed] = get(gateway, "/edr/collections")[1]["collections"]
    status, collection = get(gateway, NORTH)
    assert (status, collection) == (200, listed)
    assert list(collection["parameter_names"]) == PARAMETERS
    assert collection["extent"]["temporal"]["interval"] == [["2026-06-01T12:05:00Z", "2026-06-01T12:20:00Z"]]
    west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
    assert (west < 5.4 < east, south < 50 < north) == (True, True)
    assert {"position", "area", "cube", "locations", "instances"} == collection["data_queries"].keys()
    for query in collection["data_queries"].values():
        assert gateway.get(query["link"]["href"]).status_code in (200, 400)


def test_a_position_has_the_series_of_its_pixel_and_each_member_is_a_coverage(gateway, nowcast):
    lon, lat = of_pixel(9, 12)
    response = gateway.get(f"{NORTH}/position", params={"coords": f"POINT({lon} {lat})"})
    assert response.headers["content-type"] == "application/prs.coverage+json"
    collection = response.json()
    field, *members = collection["coverages"]
    assert (collection["type"], field["domain"]["domainType"], len(members)) == ("CoverageCollection", "PointSeries", 4)
    assert list(collection["parameters"]) == PARAMETERS
    assert numbers(field["ranges"]["rainfall_rate"]) == pytest.approx(nowcast["rainfall_rate_sharp"][:, 9, 12].tolist())
    probability = numbers(field["ranges"]["probability_of_exceedance_2"])
    assert probability == pytest.approx(nowcast["probability_of_exceedance"][1, :, 9, 12].tolist(), abs=6e-4)
    for number, member in enumerate(members):
        expected = nowcast["rainfall_rate"][number, :, 9, 12].tolist()
        assert numbers(member["ranges"]["rainfall_rate_member"]) == pytest.approx(expected)
    assert field["domain"]["axes"]["t"]["values"][0] == "2026-06-01T12:05:00Z"


def test_parameters_and_times_are_chosen(gateway, nowcast):
    lon, lat = of_pixel(9, 12)
    ask = {"coords": f"POINT({lon} {lat})", "parameter-name": "rainfall_rate", "f": "CoverageJSON", "z": "0"}
    for datetime, hours in {
        "2026-06-01T12:10:00Z": [10],
        "2026-06-01T12:10:00Z/..": [10, 15, 20],
        "../2026-06-01T12:10Z": [5, 10],
        "2026-06-01T14:10:00+02:00/2026-06-01T12:15:00Z": [10, 15],
    }.items():
        coverage = gateway.get(f"{NORTH}/position", params={**ask, "datetime": datetime}).json()
        assert (coverage["type"], list(coverage["ranges"])) == ("Coverage", ["rainfall_rate"])
        assert [int(time[14:16]) for time in coverage["domain"]["axes"]["t"]["values"]] == hours


def test_steps_that_have_passed_are_of_the_instance_alone(gateway, context, nowcast, arrive):
    arrive(12)  # the clock of the feed is that of its frames
    lon, lat = of_pixel(9, 12)
    times = []
    for path in (NORTH, f"{NORTH}/instances/{NOON}"):
        coverage = get(gateway, f"{path}/position", coords=f"POINT({lon} {lat})", parameter_name="rainfall_rate")[1]
        times.append([time[11:16] for time in coverage["domain"]["axes"]["t"]["values"]])
    assert times == [["12:15", "12:20"], ["12:05", "12:10", "12:15", "12:20"]]


def test_several_positions_are_a_collection(gateway, nowcast):
    places = ", ".join(f"({lon} {lat})" for lon, lat in (of_pixel(9, 12), of_pixel(2, 30)))
    coverages = get(gateway, f"{NORTH}/position", coords=f"MULTIPOINT({places})", parameter_name="rainfall_rate")[1]
    first, second = coverages["coverages"]
    assert numbers(first["ranges"]["rainfall_rate"]) == pytest.approx([0, 3, 3, 0])
    assert second["ranges"]["rainfall_rate"]["values"] == [None] * 4


def test_an_area_has_the_values_of_the_pixels_that_it_touches(gateway, nowcast):
    corners = [of_pixel(*pixel) for pixel in ((2, 17), (2, 22), (6, 22), (6, 17), (2, 17))]
    wkt = f"POLYGON(({','.join(f'{lon} {lat}' for lon, lat in corners)}))"
    coverage = get(gateway, f"{NORTH}/area", coords=wkt, parameter_name="rainfall_rate")[1]
    places = coverage["domain"]["axes"]["composite"]["values"]
    assert (coverage["domain"]["domainType"], len(places)) == ("MultiPointSeries", 30)
    array = coverage["ranges"]["rainfall_rate"]
    assert (array["axisNames"], array["shape"]) == (["t", "composite"], [4, 30])
    expected = nowcast["rainfall_rate_sharp"][:, 2:7, 17:23].reshape(4, -1)
    found = np.reshape(numbers(array), (4, 30))
    np.testing.assert_allclose(np.sort(found), np.sort(expected), atol=1e-3)
    row, column = GRID.row_column(*GRID.x_y(*np.transpose(places)))
    np.testing.assert_allclose(
        found, nowcast["rainfall_rate_sharp"][:, row.round().astype(int), column.round().astype(int)], atol=1e-3
    )


def test_a_cube_in_the_grids_own_system_is_a_part_of_the_grid(gateway, nowcast):
    box = f"{GRID.x[17] - 1},{GRID.y[6] - 1},{GRID.x[22] + 1},{GRID.y[2] + 1}"
    ask = {"bbox": box, "crs": "native", "z": "0/0", "parameter-name": "rainfall_rate,probability_of_exceedance_2"}
    coverage = gateway.get(f"{NORTH}/cube", params=ask).json()
    axes, array = coverage["domain"]["axes"], coverage["ranges"]["rainfall_rate"]
    assert (axes["x"]["values"], axes["y"]["values"]) == (GRID.x[17:23].tolist(), GRID.y[2:7].tolist())
    assert (array["axisNames"], array["shape"]) == (["t", "y", "x"], [4, 5, 6])
    np.testing.assert_allclose(
        np.reshape(numbers(array), (4, 5, 6)), nowcast["rainfall_rate_sharp"][:, 2:7, 17:23], atol=1e-3
    )
    assert coverage["domain"]["referencing"][0]["system"]["id"] == "http://www.opengis.net/def/crs/EPSG/0/3035"


def test_a_cube_in_degrees_has_the_pixel_at_each_place(gateway, nowcast):
    coverage = get(gateway, f"{NORTH}/cube", bbox="5.3,49.95,5.75,50.02", parameter_name="rainfall_rate")[1]
    axes, array = coverage["domain"]["axes"], coverage["ranges"]["rainfall_rate"]
    lon, lat = np.meshgrid(axes["x"]["values"], axes["y"]["values"])
    assert (lon > 5.3).all()
    assert np.diff(axes["x"]["values"]).mean() == pytest.approx(1 / 111.2 / np.cos(np.deg2rad(50)), rel=0.1)
    row, column = (np.rint(index).astype(int) for index in GRID.row_column(*GRID.x_y(lon, lat)))
    inside = (row >= 0) & (row < 20) & (column >= 0) & (column < 40)
    found = np.reshape(numbers(array), array["shape"])
    np.testing.assert_allclose(
        found[:, inside], nowcast["rainfall_rate_sharp"][:, row[inside], column[inside]], atol=1e-3
    )
    assert np.isnan(found[:, ~inside]).all()


def test_instances_are_the_nowcasts_by_reference_time(gateway, nowcast):
    instances = get(gateway, f"{NORTH}/instances")[1]["instances"]
    assert [instance["id"] for instance in instances] == [NOON]
    assert get(gateway, f"{NORTH}/instances/{NOON}") == (200, instances[0])
    assert get(gateway, f"{NORTH}/instances/2026-06-01T11:00:00Z")[1]["code"] == "no-such-run"
    assert get(gateway, f"{NORTH}/instances/noon")[0] == 400


def test_locations_are_the_places_of_the_configuration(gateway, nowcast):
    response = gateway.get(f"{NORTH}/locations")
    assert response.headers["content-type"] == "application/geo+json"
    [feature] = response.json()["features"]
    assert (feature["id"], feature["geometry"]["coordinates"]) == ("town", [5.4, 50.02])
    series = get(gateway, feature["properties"]["edrqueryendpoint"], parameter_name="rainfall_rate")[1]
    position = get(gateway, f"{NORTH}/position", coords="POINT(5.4 50.02)", parameter_name="rainfall_rate")[1]
    assert series == position
    assert get(gateway, f"{NORTH}/locations/atlantis")[1]["code"] == "no-such-location"


POLYGON = "POLYGON((5.3 50, 5.4 50, 5.4 50.1, 5.3 50))"


@pytest.mark.parametrize(
    ("path", "params", "status", "code", "where"),
    [
        ("position", {}, 400, "invalid-parameter", "coords"),
        ("position", {"coords": "POINT(5"}, 400, "bad-geometry", "coords"),
        ("position", {"coords": POLYGON}, 400, "bad-geometry", "coords"),
        ("position", {"coords": "POINT(5 95)"}, 400, "bad-geometry", "coords"),
        ("position", {"coords": "POINT EMPTY"}, 400, "bad-geometry", "coords"),
        ("position", {"coords": "POINT(-30 10)"}, 404, "outside-grid", "coords"),
        ("position", {"coords": "POINT(5.4 50)", "f": "GRIB"}, 400, "invalid-parameter", "f"),
        ("position", {"coords": "POINT(5.4 50)", "crs": "EPSG:3067"}, 400, "invalid-parameter", "crs"),
        ("position", {"coords": "POINT(5.4 50)", "parameter-name": "snow"}, 400, "invalid-parameter", "parameter-name"),
        ("position", {"coords": "POINT(5.4 50)", "datetime": "noon"}, 400, "invalid-parameter", "datetime"),
        (
            "position",
            {"coords": "POINT(5.4 50)", "datetime": "2020-01-01T00:00Z"},
            400,
            "invalid-parameter",
            "datetime",
        ),
        ("area", {}, 400, "invalid-parameter", "coords"),
        ("area", {"coords": "POINT(5 50)"}, 400, "bad-geometry", "coords"),
        (
            "area",
            {"coords": "POLYGON((5.3 50, 5.4 50.1, 5.4 50, 5.3 50.1, 5.3 50))"},
            400,
            "bad-geometry",
            "coordinates",
        ),
        (
            "area",
            {"coords": "POLYGON((385000 6672000, 386000 6672000, 386000 6673000, 385000 6672000))"},
            400,
            "wrong-crs",
            "coordinates",
        ),
        ("area", {"coords": "POLYGON((-30 10, -29 10, -29 11, -30 10))"}, 404, "outside-grid", "coords"),
        ("cube", {}, 400, "invalid-parameter", "bbox"),
        ("cube", {"bbox": "5,50"}, 400, "invalid-parameter", "bbox"),
        ("cube", {"bbox": "6,50,5,51"}, 400, "invalid-parameter", "bbox"),
        ("cube", {"bbox": "-30,10,-29,11"}, 404, "outside-grid", "bbox"),
        ("cube", {"bbox": "-30,10,60,80"}, 413, "too-large", "query"),
    ],
    ids=str,
)
def test_what_cannot_be_answered_is_told_as_the_standard_has_it(gateway, nowcast, path, params, status, code, where):
    response = gateway.get(f"{NORTH}/{path}", params=params)
    problem = response.json()
    assert (response.status_code, problem["code"], problem["where"]) == (status, code, where)
    assert (problem["type"], problem["description"]) == (f"/problems/{code}", problem["detail"])


def test_feeds_without_a_nowcast_are_no_collections(gateway, feed):
    assert get(gateway, "/edr/collections")[1]["collections"] == []
    assert get(gateway, NORTH)[1]["code"] == "no-nowcast"
    assert get(gateway, "/edr/collections/atlantis")[1]["code"] == "no-such-feed"


def test_large_queries_are_refused_before_they_are_read(gateway, nowcast, monkeypatch):
    monkeypatch.setattr("service.api.feeds.edr.coverages.MAX_VALUES", 1000)
    problem = get(gateway, f"{NORTH}/cube", bbox="5.3,49.95,5.75,50.02")[1]
    assert (problem["code"], problem["status"]) == ("too-large", 413)


def test_instances_whose_nowcast_was_deleted_are_left_out(gateway, context, nowcast, arrive):
    job = Job(kind="feed", model="auto", steps=4, inputs=[], feed="north")
    context.feed_ledger.submit(job, arrive(5), model="auto")
    context.ledger.succeed(context.ledger.claim(job.id, 60), result_key="gone", input_key="")
    assert [each["id"] for each in get(gateway, f"{NORTH}/instances")[1].get("instances", [])] in ([NOON], [])


@pytest.mark.skipif("ECHOCAST_EDR_SCHEMAS" not in os.environ, reason="the schemas of OGC are not in this repository")
def test_every_document_is_valid_by_the_schemas_of_the_standard(gateway, nowcast):
    valid = validator(Path(os.environ["ECHOCAST_EDR_SCHEMAS"]))
    valid(gateway.get("/edr").json(), "core/landingPage.yaml")
    valid(gateway.get("/edr/conformance").json(), "core/confClasses.yaml")
    valid(gateway.get("/edr/collections").json(), "collections/collections.yaml")
    valid(gateway.get(NORTH).json(), "collections/collection.yaml")
    valid(gateway.get(f"{NORTH}/instances").json(), "queries/instances.yaml")
    valid(gateway.get(f"{NORTH}/locations").json(), "edr-geojson/edrFeatureCollectionGeoJSON.yaml")
    valid(gateway.get(f"{NORTH}/position").json(), "core/exception.yaml")
    with pytest.raises(Exception, match="links"):
        valid({"id": "north"}, "collections/collection.yaml")


@pytest.mark.skipif(
    "ECHOCAST_COVJSON_SCHEMA" not in os.environ, reason="the schema of CoverageJSON is not in this repository"
)
@pytest.mark.parametrize(
    "query",
    [
        "position?coords=POINT(5.4 50.02)",
        "position?coords=POINT(5.4 50.02)&parameter-name=rainfall_rate",
        f"area?coords={POLYGON}",
        "cube?bbox=5.3,49.95,5.75,50.02",
        "cube?crs=native&bbox=3990000,2995000,4010000,3005000",
        "locations/town",
    ],
)
def test_every_coverage_is_valid_by_the_schema_of_coveragejson(gateway, nowcast, query):
    from jsonschema import Draft7Validator

    schema = json.loads(Path(os.environ["ECHOCAST_COVJSON_SCHEMA"]).read_text())
    Draft7Validator(schema).validate(gateway.get(f"{NORTH}/{query}").json())


def validator(folder):
    """Validates a document by one of the standard's schemas, of OpenAPI 3.0: that is JSON Schema draft 4."""
    import yaml
    from jsonschema import Draft4Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    base = "https://schemas.example/schemas/"
    schemas = {
        base + str(path.relative_to(folder)): Resource(yaml.safe_load(path.read_text()), DRAFT4)
        for path in folder.rglob("*.yaml")
    }
    registry = Registry().with_resources(schemas.items())

    def valid(document, name):
        Draft4Validator({"$ref": base + name}, registry=registry).validate(document)

    return valid
