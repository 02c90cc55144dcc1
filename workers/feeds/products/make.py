"""Make the products of a published run, and publish them whole or not at all."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from model.core.errors import InputError
from model.core.times import rfc3339
from service.feeds.follow_up import FollowUps
from service.feeds.lease import LeaseLost
from service.feeds.products import MANIFEST, Product, ProductFile, job_products_prefix, products_prefix
from service.store import StoreUnavailable
from workers.context import WorkerContext
from workers.feeds.products.accumulations import make_accumulations
from workers.feeds.products.archive import archive_forecast
from workers.feeds.products.cog import make_cog
from workers.feeds.products.made_file import MadeFile
from workers.feeds.products.pictures import make_pictures
from workers.feeds.published_run import PublishedRun

Maker = Callable[[PublishedRun, WorkerContext], Sequence[MadeFile]]

MAKERS: Final[Mapping[Product, Maker]] = {
    "cog": make_cog,
    "accumulations": make_accumulations,
    "png": make_pictures,
    "zarr": archive_forecast,
}

log = logging.getLogger(__name__)


class ProductsFailed(InputError):
    """Some products could not be made; the others are published."""

    code = "products-failed"


def make_products(published: PublishedRun, context: WorkerContext) -> None:
    """Make and publish the products that the feed asks for; those of an earlier nowcast of the run are deleted.

    Raises
    ------
    ProductsFailed
        Some of them could not be made.
    StoreUnavailable
        Nothing is published.
    """
    if not published.is_served:
        return
    failed: list[str] = []
    made: list[tuple[Product, MadeFile]] = []
    for product in published.feed.products:
        published.renew()
        try:
            made += [(product, file) for file in MAKERS[product](published, context)]
        except (StoreUnavailable, SQLAlchemyError, LeaseLost):
            raise
        except InputError as error:
            log.warning("job %s, feed %s: %s: %s", published.job_id, published.feed.name, product, error)
            failed.append(f"{product}: {error.what}")
        except Exception:
            log.exception("job %s, feed %s: %s", published.job_id, published.feed.name, product)
            failed.append(f"{product}: it failed in the service")
    if made or published.run.products:
        published.renew()
        _publish(made, published, context)
    if failed:
        raise ProductsFailed("; ".join(failed), where="products", hint="See the worker's log")


def _publish(made: Sequence[tuple[Product, MadeFile]], published: PublishedRun, context: WorkerContext) -> None:
    """Store the files, then their manifest, and record them; then delete what was there before."""
    run, store = published.run, context.store
    prefix = job_products_prefix(run.feed, run.reference_time, published.job_id)
    files = [
        ProductFile(
            product=product,
            name=file.name,
            title=file.title,
            key=f"{prefix}/{file.name}",
            media_type=file.media_type,
            size=file.path.stat().st_size,
            digest=file.digest,
        )
        for product, file in made
    ]
    for (_, file), stored in zip(made, files, strict=True):
        store.put(stored["key"], file.path)
    manifest = {
        "feed": run.feed,
        "reference_time": rfc3339(run.reference_time),
        "nowcast": published.job_id,
        "files": [{name: value for name, value in file.items() if name != "key"} for file in files],
    }
    store.put(f"{prefix}/{MANIFEST}", json.dumps(manifest, indent=1).encode())
    FollowUps(context.ledger.engine).record_products(run, files)
    kept = {f"{prefix}/{MANIFEST}", *(file["key"] for file in files)}
    for objects in store.list(products_prefix(run.feed, run.reference_time)):
        for key in (each.key for each in objects if each.key not in kept):
            store.delete(key)
    log.info("feed %s: %d files of products of the run from %s", run.feed, len(files), run.reference_time)
