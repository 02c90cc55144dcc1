"""STAC 1.1: a feed as a collection, its runs as items; held to the official schemas where they are at hand."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.feeds.arrivals import DecodedFrame
from service.feeds.follow_up import FollowUps
from service.feeds.products import ProductFile
from service.feeds.tables import ArrivedFile
from service.jobs.job import Job

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
RUN = "/v1/feeds/north/runs/2026-06-01T12:00:00Z"


@pytest.fixture
def published(settings, context, finished):
    """A run of the feed `north` from noon, whose nowcast is that of `finished`, with a product."""
    settings.feeds_path.write_text('[[feed]]\nname = "north"\nfolder = "/radar"\nclock = "frames"\n')
    frame = DecodedFrame(valid_time=NOON, key="k", digest="a", grid="g", pixels=4, size=1, coverage=1.0)
    context.feed_ledger.record_frames("north", ArrivedFile(name="a", size=1, modified_ns=1), [frame])
    job = Job(kind="feed", model="auto", steps=4, inputs=[], feed="north")
    [stored] = context.feed_ledger.frames("north")
    assert context.feed_ledger.submit(job, stored, model="auto")
    claimed = context.ledger.claim(job.id, 60)
    context.ledger.record_model(claimed, model_used="persistence@1", note="")
    context.ledger.succeed(claimed, result_key=finished.result_key, input_key=finished.input_key)
    context.feed_ledger.record_published(job.id)
    file = ProductFile(
        product="cog", name="cog.1.tif", title="GeoTIFF", key="k", media_type="image/tiff", size=7, digest="ab" * 32
    )
    FollowUps(context.ledger.engine).record_products(context.feed_ledger.find_run("north", "auto"), [file])
    yield job
    context.feed_ledger.delete_frames("north", datetime(2100, 1, 1, tzinfo=UTC))
    settings.feeds_path.unlink()


def test_a_run_is_an_item_with_its_times_its_place_and_its_files(gateway, published):
    response = gateway.get(f"{RUN}/stac")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/geo+json")
    item = response.json()
    assert (item["id"], item["collection"]) == ("north-20260601T120000Z", "north")
    properties = item["properties"]
    assert properties["forecast:reference_datetime"] == "2026-06-01T12:00:00Z"
    assert (properties["start_datetime"], properties["forecast:horizon"]) == ("2026-06-01T12:05:00Z", "PT20M")
    assert properties["proj:transform"] == [1000, 0, 3_980_000, 0, -1000, 3_010_000]
    west, south, east, north = item["bbox"]
    ring = item["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert all(west <= lon <= east and south <= lat <= north for lon, lat in ring)
    assert gateway.get(item["assets"]["nowcast"]["href"]).content[:4] == b"\x89HDF"
    assert item["assets"]["cog"]["file:checksum"] == "1220" + "ab" * 32
    point = gateway.get("/v1/feeds/north/point", params={"lon": (west + east) / 2, "lat": (south + north) / 2}).json()
    assert point["coverage"] != "no_coverage"


def test_a_feed_is_a_collection_of_its_runs(gateway, published):
    collection = gateway.get("/v1/feeds/north/stac").json()
    items = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert items == [f"{RUN}/stac"]
    assert collection["extent"]["spatial"]["bbox"] == [gateway.get(items[0]).json()["bbox"]]


@pytest.mark.parametrize("path", ["stac", "runs/2026-06-01T12:05:00Z/stac"])
def test_without_a_nowcast_there_is_none(gateway, settings, path):
    settings.feeds_path.write_text('[[feed]]\nname = "south"\nfolder = "/radar"\n')
    assert gateway.get(f"/v1/feeds/south/{path}").status_code == 404


@pytest.mark.skipif("ECHOCAST_STAC_SCHEMAS" not in os.environ, reason="STAC's schemas are not in this repository")
def test_the_documents_are_valid_by_the_official_schemas(gateway, published):
    valid = validator(Path(os.environ["ECHOCAST_STAC_SCHEMAS"]))
    item, collection = gateway.get(f"{RUN}/stac").json(), gateway.get("/v1/feeds/north/stac").json()
    valid(item, "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/item.json")
    for extension in item["stac_extensions"]:
        valid(item, extension)
    valid(collection, "https://schemas.stacspec.org/v1.1.0/collection-spec/json-schema/collection.json")
    with pytest.raises(Exception, match="properties"):
        valid({**item, "properties": None}, "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/item.json")


def validator(folder):
    """Validates a document by one of the schemas, which refer to each other by their addresses."""
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT7

    anything = Resource({}, DRAFT7)  # of PROJJSON, whose schema is elsewhere
    schemas = [Resource(json.loads(path.read_text()), DRAFT7) for path in folder.rglob("*.json")]
    known = {schema.id().rstrip("#"): schema for schema in schemas if schema.id()}
    # What its authors call item-spec/json-schema/commonjson is referred to as common.json.
    item_spec = "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema"
    known |= {f"{item_spec}/{path.name}": schema for path, schema in zip(folder.rglob("*.json"), schemas, strict=True)}
    registry = Registry(retrieve=lambda uri: known.get(uri.rstrip("#"), anything))

    def valid(document, address):
        assert address in known, address
        Draft7Validator({"$ref": address}, registry=registry).validate(document)

    return valid
