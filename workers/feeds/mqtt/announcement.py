"""Announce a published nowcast on a broker, as a WIS2 notification message.

WMO, "WIS2 Notification Message Encoding" (wis2-notification-message), version 1.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import netCDF4
import numpy as np

from model.core.cf_coordinates import crs_from_cf
from model.core.errors import InputError
from model.core.grid import Grid
from model.core.times import basic_text, rfc3339
from service.feeds.mqtt_config import Wis2Topic, parse_broker
from service.status import NETCDF, path_of
from workers.context import WorkerContext
from workers.feeds.mqtt.connection import KEEPALIVE_SECONDS, new_client
from workers.feeds.published_run import PublishedRun

CONFORMS_TO: Final = "http://wis.wmo.int/spec/wnm/1/conf/core"
SECONDS: Final = 10.0
"""How long the broker may take to confirm a message."""


class NotAnnounced(InputError):
    """The broker has not taken a message."""

    code = "not-announced"


def announce_published(published: PublishedRun, context: WorkerContext) -> None:
    """Announce the nowcast that a feed serves, where the feed names a topic for it; not those of the past.

    Raises
    ------
    NotAnnounced
        The broker does not respond, or refuses it.
    MissingDependency
        The extra `mqtt` is not installed.
    """
    topic, run = published.feed.wis2, published.run
    if topic is None or not published.is_served or run.backfill:
        return
    message = wis2_message(
        topic,
        published.nowcast,
        feed=run.feed,
        reference_time=run.reference_time,
        job_id=published.job_id,
        revision=run.revision,
    )
    announce(topic, message)


def wis2_message(
    topic: Wis2Topic, nowcast: Path, *, feed: str, reference_time: datetime, job_id: str, revision: int
) -> dict[str, Any]:
    """Return the notification of a nowcast.

    Parameters
    ----------
    topic
        Where it is announced.
    nowcast
        The forecast file.
    feed, reference_time
        The run.
    job_id
        The job whose result it is.
    revision
        How often its frame was issued again: later nowcasts update earlier ones, under one `data_id`.
    """
    data = nowcast.read_bytes()
    geometry, last = _extent(nowcast, reference_time)
    link = {
        "rel": "update" if revision else "canonical",
        "type": NETCDF,
        "href": f"{topic.public_url}{path_of(job_id)}/result?format=netcdf",
        "length": len(data),
    }
    return {
        "id": str(uuid4()),
        "conformsTo": [CONFORMS_TO],
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "data_id": f"{feed}/nowcast/{basic_text(reference_time)}.nc",
            "metadata_id": topic.metadata_id,
            "pubtime": rfc3339(datetime.now(UTC)),
            "start_datetime": rfc3339(reference_time),
            "end_datetime": rfc3339(last),
            "cache": topic.cache,
            "integrity": {"method": "sha512", "value": base64.b64encode(hashlib.sha512(data).digest()).decode()},
        },
        "links": [link],
    }


def announce(topic: Wis2Topic, message: dict[str, Any]) -> None:
    """Publish a message, and wait until the broker has confirmed it.

    Raises
    ------
    NotAnnounced
        The broker does not respond, or refuses it.
    MissingDependency
        The extra `mqtt` is not installed.
    """
    broker = parse_broker(topic.url)
    client = new_client(broker)
    try:
        client.connect(broker.host, broker.port, KEEPALIVE_SECONDS)
        client.loop_start()
        published = client.publish(topic.topic, json.dumps(message), qos=1)
        published.wait_for_publish(SECONDS)
        if not published.is_published():
            raise NotAnnounced(f"no answer within {SECONDS:g} s", where=broker.host, hint="Look at the broker's log")
    except (OSError, ValueError, RuntimeError) as error:
        raise NotAnnounced(
            f"the broker does not take it: {error}", where=broker.host, hint="Look at the broker"
        ) from None
    finally:
        client.disconnect()
        client.loop_stop()


def _extent(nowcast: Path, reference_time: datetime) -> tuple[dict[str, Any] | None, datetime]:
    """Return the polygon around the grid (degrees), None where it lies nowhere, and the last valid time."""
    with netCDF4.Dataset(nowcast) as dataset:
        grid = Grid(crs=crs_from_cf(dataset["crs"].__dict__), x=dataset["x"][:], y=dataset["y"][:])
        last = reference_time + timedelta(seconds=float(dataset["forecast_period"][-1]))
    x0, dx, _, y0, _, dy = grid.north_up_transform
    ny, nx = grid.shape
    x, y = np.array([0, 0, nx, nx, 0]) * dx + x0, np.array([0, ny, ny, 0, 0]) * dy + y0
    lon, lat = grid.lon_lat(x, y)
    if not np.isfinite([lon, lat]).all():
        return None, last
    ring = [[round(float(east), 4), round(float(north), 4)] for east, north in zip(lon, lat, strict=True)]
    return {"type": "Polygon", "coordinates": [ring]}, last
