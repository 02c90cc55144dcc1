"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

packages_option = click.option(
    "--packages",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="ECHOCAST_PACKAGES",
    help="A folder of more model packages, as NAME/VERSION.",
)
fields_option = click.option(
    "--fields",
    type=click.Path(path_type=Path),
    envvar="ECHOCAST_FIELDS",
    help="A folder of exogenous fields, NAME.nc, for networks that read them.",
)
evaluation_archives_option = click.option(
    "--archive",
    "archives",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="An archive to evaluate it on, with frames that it was not trained on; may be given several times.",
)
max_dbz_option = click.option(
    "--max-dbz",
    type=float,
    envvar="ECHOCAST_MAX_DBZ",
    help="Reflectivity above this is hail, and counts as this many dBZ.  [default: 55]",
)


class Size(click.ParamType[tuple[int, int]]):
    """`384` or `480x640` (rows x columns)."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return (rows, columns)."""
        if isinstance(value, tuple):
            return value
        parts = str(value).lower().split("x")
        if len(parts) > 2 or not all(part.isdecimal() for part in parts):
            self.fail(f"{value!r} is not a size: give 384, or 480x640 (rows x columns)", param, ctx)
        return int(parts[0]), int(parts[-1])
