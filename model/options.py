"""Options that several commands have."""

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
    help="A folder of exogenous fields, NAME.nc, for networks that read some.",
)
