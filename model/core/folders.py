"""Default folders, the same for the commands and the service."""

from __future__ import annotations

import os
from pathlib import Path


def default_data_dir() -> Path:
    """Return `$XDG_DATA_HOME/echocast`, by default `~/.local/share/echocast`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "echocast"


def packages_folder() -> Path:
    """Return `ECHOCAST_PACKAGES`, else `packages` in the data folder (`ECHOCAST_DATA_DIR`); it may not exist."""
    named, data_dir = os.environ.get("ECHOCAST_PACKAGES"), os.environ.get("ECHOCAST_DATA_DIR")
    if named:
        return Path(named)
    return (Path(data_dir) if data_dir else default_data_dir()) / "packages"
