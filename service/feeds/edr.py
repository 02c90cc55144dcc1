"""Addresses of feeds in OGC API - EDR: a feed is a collection, and each of its nowcasts an instance."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from model.core.times import rfc3339

ROOT: Final = "/edr"


def path_of_collection(feed: str) -> str:
    """Return the address of a feed's collection."""
    return f"{ROOT}/collections/{feed}"


def path_of_instance(feed: str, reference_time: datetime) -> str:
    """Return the address of the nowcast from a reference time."""
    return f"{path_of_collection(feed)}/instances/{rfc3339(reference_time)}"
