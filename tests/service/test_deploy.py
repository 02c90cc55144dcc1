"""Permissions of the systemd units."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


@pytest.mark.parametrize("unit", ["echocast.service", "echocast-worker@.service"])
def test_units_that_publish_feeds_may_write_beside_the_frames(project: Path, unit: str) -> None:
    text = (project / "deploy" / unit).read_text()
    assert "ProtectSystem=strict" in text
    [folder] = re.findall(r"^ReadWritePaths=-(/\S+)$", text, flags=re.MULTILINE)
    readme = (project / "deploy" / "README.md").read_text()
    assert f"`{folder}`" in readme
    assert "`ReadWritePaths=`" in readme
