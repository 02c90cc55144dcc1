"""Announce published nowcasts on a broker: what the messages have in common, and how they are sent."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import netCDF4
import numpy as np

from model.core.cf_coordinates import crs_from_cf
from model.core.errors import InputError
from model.core.grid import Grid
from service.feeds.mqtt_config import parse_broker
from service.status import NETCDF, path_of
from workers.feeds.mqtt.connection import KEEPALIVE_SECONDS, new_client
from workers.feeds.published_run import PublishedRun

SECONDS: Final = 10.0
"""How long the broker may take to confirm a message."""


class NotAnnounced(InputError):
    """The broker has not taken a message."""

    code = "not-announced"


@dataclass(frozen=True, kw_only=True)
class AnnouncedFile:
    """What messages say of a forecast file.

    Attributes
    ----------
    geometry : dict or None
        The polygon around the grid (degrees), as GeoJSON; None where it lies nowhere.
    last : datetime
        The last valid time.
    size : int
        Bytes.
    sha512 : str
        Its digest, in base64.
    """

    geometry: dict[str, Any] | None
    last: datetime
    size: int
    sha512: str

    @property
    def integrity(self) -> dict[str, str]:
        """Its digest, as in WIS2's messages."""
        return {"method": "sha512", "value": self.sha512}

    def link(self, rel: str, public_url: str, job_id: str) -> dict[str, Any]:
        """Return the link to the file."""
        href = f"{public_url}{path_of(job_id)}/result?format=netcdf"
        return {"rel": rel, "type": NETCDF, "href": href, "length": self.size}


def is_announced(published: PublishedRun) -> bool:
    """Whether a nowcast is announced: one that the feed serves, and not of the past."""
    return published.is_served and not published.run.backfill


def read_announced(nowcast: Path, reference_time: datetime) -> AnnouncedFile:
    """Return what messages say of a forecast file."""
    data = nowcast.read_bytes()
    geometry, last = _extent(nowcast, reference_time)
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    return AnnouncedFile(geometry=geometry, last=last, size=len(data), sha512=digest)


def announce(url: str, topic: str, message: dict[str, Any]) -> None:
    """Publish a message to a topic of the broker at `url`, and wait until the broker has confirmed it.

    Raises
    ------
    NotAnnounced
        The broker does not respond, or refuses it.
    MissingDependency
        The extra `mqtt` is not installed.
    """
    broker = parse_broker(url)
    client = new_client(broker)
    try:
        client.connect(broker.host, broker.port, KEEPALIVE_SECONDS)
        client.loop_start()
        published = client.publish(topic, json.dumps(message), qos=1)
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
