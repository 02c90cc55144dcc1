"""Where things lie that no option names: one answer for the commands and the service."""

from __future__ import annotations

import os
from pathlib import Path


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/echocast`, which is `~/.local/share/echocast` where that is not set."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "echocast"


def packages_folder() -> Path:
    """`ECHOCAST_PACKAGES`, else `packages` in the data folder (`ECHOCAST_DATA_DIR`). It need not exist."""
    named, data_dir = os.environ.get("ECHOCAST_PACKAGES"), os.environ.get("ECHOCAST_DATA_DIR")
    if named:
        return Path(named)
    return (Path(data_dir) if data_dir else default_data_dir()) / "packages"
