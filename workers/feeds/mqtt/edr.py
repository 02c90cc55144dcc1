"""Announce a published nowcast as a new instance of its collection in OGC API - EDR.

OGC 23-057r1, "OGC API - Environmental Data Retrieval - Part 2: Publish-Subscribe Workflow", version 1.0.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from model.core.times import rfc3339
from service.feeds.edr import path_of_collection, path_of_instance
from service.feeds.mqtt_config import EdrChannel
from workers.context import WorkerContext
from workers.feeds.mqtt.announcement import announce, is_announced, read_announced
from workers.feeds.published_run import PublishedRun

JSON: Final = "application/json"


def announce_instance(published: PublishedRun, context: WorkerContext) -> None:
    """Announce a nowcast where the feed names a channel for it.

    Raises
    ------
    NotAnnounced
        The broker does not respond, or refuses it.
    MissingDependency
        The extra `mqtt` is not installed.
    """
    channel = published.feed.edr
    if channel is not None and is_announced(published):
        announce(channel.url, channel.topic_of(published.feed.name), instance_message(channel, published))


def instance_message(channel: EdrChannel, published: PublishedRun) -> dict[str, Any]:
    """Return the notification of an instance, which `service.api.feeds.edr.asyncapi` describes."""
    run = published.run
    file = read_announced(published.nowcast, run.reference_time)
    collection, instance = path_of_collection(run.feed), path_of_instance(run.feed, run.reference_time)
    return {
        "id": str(uuid4()),
        "type": "Feature",
        "geometry": file.geometry,
        "properties": {
            "resourceId": f"{channel.public_url}{instance}",
            "operation": "update" if run.revision else "create",
            "pubtime": rfc3339(datetime.now(UTC)),
            "collection": run.feed,
            "instance": rfc3339(run.reference_time),
            "start_datetime": rfc3339(run.reference_time),
            "end_datetime": rfc3339(file.last),
            "integrity": file.integrity,
        },
        "links": [
            {"rel": "item", "type": JSON, "href": f"{channel.public_url}{instance}"},
            {"rel": "collection", "type": JSON, "href": f"{channel.public_url}{collection}"},
            file.link("canonical", channel.public_url, published.job_id),
        ],
    }
