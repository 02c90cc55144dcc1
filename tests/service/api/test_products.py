"""Products of a run over HTTP: listed once they are complete, whole, in ranges, and cached for as long as is right."""

import hashlib
from datetime import UTC, datetime

import pytest

from service.feeds.arrivals import DecodedFrame
from service.feeds.follow_up import FollowUps
from service.feeds.products import ProductFile, job_products_prefix
from service.feeds.tables import ArrivedFile
from service.jobs.job import Job

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
PATH = "/v1/feeds/north/runs/2026-06-01T12:00:00Z"
CONTENT = b"0123456789" * 100


@pytest.fixture(scope="module")
def run(settings, context):
    """A run of the feed `north` from noon that has no products yet."""
    settings.feeds_path.write_text('[[feed]]\nname = "north"\nfolder = "/radar"\nproducts = ["cog"]\n')
    frame = DecodedFrame(valid_time=NOON, key="k", digest="a", grid="g", pixels=4, size=1, coverage=1.0)
    context.feed_ledger.record_frames("north", ArrivedFile(name="a", size=1, modified_ns=1), [frame])
    job = Job(kind="feed", model="auto", steps=4, inputs=[], feed="north")
    [stored] = context.feed_ledger.frames("north")
    assert context.feed_ledger.submit(job, stored, model="auto")
    context.ledger.succeed(context.ledger.claim(job.id, 60), result_key="r", input_key="i")
    return context.feed_ledger.find_run("north", "auto", NOON)


@pytest.fixture
def made(context, run):
    """Its products: a GeoTIFF, and one whose object is gone."""
    prefix = job_products_prefix("north", NOON, run.job_id)
    digest = hashlib.sha256(CONTENT).hexdigest()
    files = [
        ProductFile(
            product=product,
            name=f"{product}.{digest[:16]}.{suffix}",
            title="Rain rate",
            key=f"{prefix}/{product}.{digest[:16]}.{suffix}",
            media_type="image/tiff",
            size=len(CONTENT),
            digest=digest,
        )
        for product, suffix in (("cog", "tif"), ("accumulations", "nc"))
    ]
    context.store.put(files[0]["key"], CONTENT)
    FollowUps(context.ledger.engine).record_products(run, files)
    problem = {"code": "products-failed", "what": "png: it failed in the service", "where": "products", "hint": "h"}
    FollowUps(context.ledger.engine).record_done(run, [problem])
    yield files
    FollowUps(context.ledger.engine).record_products(run, [])


def test_before_they_are_complete_there_are_none(gateway, run):
    assert gateway.get(f"{PATH}/products").json()["files"] == []
    response = gateway.get(f"{PATH}/products/cog")
    assert (response.status_code, response.json()["type"]) == (404, "/problems/no-such-product")
    assert response.json()["hint"].startswith("It has none yet")
    assert "enclosure" not in {link["rel"] for link in gateway.get(PATH).json()["links"]}


def test_a_run_links_to_its_products_and_tells_what_failed(gateway, made):
    run = gateway.get(PATH).json()
    assert run["problems"] == ["png: it failed in the service"]
    links = [link["href"] for link in run["links"] if link["rel"] == "enclosure"]
    assert links == [f"{PATH}/products/{file['name']}" for file in made]
    listed = gateway.get(f"{PATH}/products").json()
    assert [file["href"] for file in listed["files"]] == links
    assert listed["files"][0]["digest"] == made[0]["digest"]
    assert "key" not in listed["files"][0]


def test_an_address_with_the_digest_is_kept_for_ever_and_that_of_a_product_is_revalidated(gateway, made):
    fixed = gateway.get(f"{PATH}/products/{made[0]['name']}")
    assert (fixed.status_code, fixed.content) == (200, CONTENT)
    assert fixed.headers["content-type"] == "image/tiff"
    assert "immutable" in fixed.headers["cache-control"]
    newest = gateway.get(f"{PATH}/products/cog")
    assert (newest.content, newest.headers["cache-control"]) == (CONTENT, "private, no-cache")
    assert newest.headers["etag"] == fixed.headers["etag"] == f'"{made[0]["digest"]}"'
    known = {"If-None-Match": newest.headers["etag"]}
    assert gateway.get(f"{PATH}/products/cog", headers=known).status_code == 304


def test_a_part_of_a_product_is_read(gateway, made):
    part = gateway.get(f"{PATH}/products/cog", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"56789", "bytes 5-9/1000")


def test_a_product_that_was_deleted_is_gone(gateway, made):
    response = gateway.get(f"{PATH}/products/accumulations")
    assert (response.status_code, response.json()["type"]) == (410, "/problems/missing-object")
    assert gateway.get(f"{PATH}/products/..%2F..%2Ffeeds.toml").status_code == 404
