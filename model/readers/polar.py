"""What is said of polar radar data: sweeps by azimuth and range, of which a composite must be made first."""

from __future__ import annotations

from model.core.errors import NotARadarFile


def polar(what: str) -> NotARadarFile:
    """The refusal of polar data of some kind: `an ODIM_H5 volume`."""
    return NotARadarFile(
        f"it is polar ({what}: azimuth and range), not a map",
        hint="Make a Cartesian composite of it first, for instance with wradlib or Py-ART, or take the one of your "
        "weather service",
    )
