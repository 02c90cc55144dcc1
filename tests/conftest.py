"""Fixtures that every part's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return PROJECT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real radar data: `ECHOCAST_REAL_DATA`, or `../shared/data` beside the project. Skips where absent."""
    named = os.environ.get("ECHOCAST_REAL_DATA")
    folder = Path(named) if named else PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real radar data: ECHOCAST_REAL_DATA is {named!r}, and {folder} is not a folder")
    return folder
