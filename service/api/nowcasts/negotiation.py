"""Content negotiation: the format of a result, and how long a client prefers to wait."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from service.api.errors import NotAcceptable
from service.status import GEOTIFF, NETCDF

FORMATS: Final = {
    "netcdf": (NETCDF, "application/netcdf", "application/octet-stream"),
    "webp": ("image/webp",),
    "gif": ("image/gif",),
    "png": ("image/png",),
    "geotiff": (GEOTIFF, "image/tiff"),
}
"""Media types by the name in `?format=`; responses carry the first one."""

DEFAULT_FORMAT: Final = "netcdf"
MAX_WAIT_SECONDS: Final = 60.0


def wait_seconds(prefer: str | None) -> float | None:
    """Return the seconds of `Prefer: wait=N` (RFC 7240), at most MAX_WAIT_SECONDS; None without that preference."""
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", prefer or "", re.IGNORECASE)
    return min(float(found[1]), MAX_WAIT_SECONDS) if found else None


def choose_format(name: str | None, accept: str | None, formats: Mapping[str, tuple[str, ...]] = FORMATS) -> str:
    """Return the format that `?format=` names, else the best match for Accept (RFC 9110), else the first.

    `formats` are media types by name.

    Raises
    ------
    NotAcceptable
        There is no such format, or no format that the client accepts.
    """
    if name is not None:
        if name in formats:
            return name
        raise _not_acceptable(name, "format", formats)
    if not accept:
        return next(iter(formats))
    for media in by_preference(accept):
        for known, types in formats.items():
            if media in types or media in ("*/*", f"{types[0].partition('/')[0]}/*"):
                return known
    raise _not_acceptable(accept, "Accept", formats)


def by_preference(accept: str) -> list[str]:
    """Return the items of an Accept header, the most preferred first, without those with q=0."""
    weighted = []
    for order, item in enumerate(accept.split(",")):
        media, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        weight = float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 0.0
        if weight > 0:
            weighted.append((-weight, media == "*/*", order, media))
    return [media for *_, media in sorted(weighted)]


def _not_acceptable(requested: str, where: str, formats: Iterable[str]) -> NotAcceptable:
    return NotAcceptable(
        f"the result is not available as {requested[:100]!r}", where=where, hint=f"Request one of {', '.join(formats)}"
    )
