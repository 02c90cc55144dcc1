"""The environment of child processes that open files of strangers."""

from __future__ import annotations

import os
from typing import Final

PASSED_ON: Final = (
    *("PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "TZDIR"),
    *("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "ECCODES_DEFINITION_PATH", "ECCODES_SAMPLES_PATH", "HDF5_USE_FILE_LOCKING"),
)


def without_credentials() -> dict[str, str]:
    """Return the variables of this process that a child may have: none of them is a credential."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}
