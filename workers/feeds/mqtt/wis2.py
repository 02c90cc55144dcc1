"""Announce a published nowcast as a WIS2 notification message.

WMO, "WIS2 Notification Message Encoding" (wis2-notification-message), version 1.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from model.core.times import basic_text, rfc3339
from service.feeds.mqtt_config import Wis2Topic
from workers.context import WorkerContext
from workers.feeds.mqtt.announcement import announce, is_announced, read_announced
from workers.feeds.published_run import PublishedRun

CONFORMS_TO: Final = "http://wis.wmo.int/spec/wnm/1/conf/core"


def announce_published(published: PublishedRun, context: WorkerContext) -> None:
    """Announce a nowcast where the feed names a topic for it.

    Raises
    ------
    NotAnnounced
        The broker does not respond, or refuses it.
    MissingDependency
        The extra `mqtt` is not installed.
    """
    topic = published.feed.wis2
    if topic is not None and is_announced(published):
        announce(topic.url, topic.topic, wis2_message(topic, published))


def wis2_message(topic: Wis2Topic, published: PublishedRun) -> dict[str, Any]:
    """Return the notification of a nowcast; after its frame was issued again, an update under the same `data_id`."""
    run = published.run
    file = read_announced(published.nowcast, run.reference_time)
    return {
        "id": str(uuid4()),
        "conformsTo": [CONFORMS_TO],
        "type": "Feature",
        "geometry": file.geometry,
        "properties": {
            "data_id": f"{run.feed}/nowcast/{basic_text(run.reference_time)}.nc",
            "metadata_id": topic.metadata_id,
            "pubtime": rfc3339(datetime.now(UTC)),
            "start_datetime": rfc3339(run.reference_time),
            "end_datetime": rfc3339(file.last),
            "cache": topic.cache,
            "integrity": file.integrity,
        },
        "links": [file.link("update" if run.revision else "canonical", topic.public_url, published.job_id)],
    }
