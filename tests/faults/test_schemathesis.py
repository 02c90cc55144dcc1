"""The OpenAPI description holds, on a real service; `python -m tests.faults.run_schemathesis` tries more of it."""

from __future__ import annotations

from pathlib import Path

from tests.faults.run_schemathesis import run

ALIKE = (
    *("getInstancePosition", "getInstanceArea", "getInstanceCube", "getInstanceLocation", "getInstanceLocations"),
    *("getNowcastTile", "getCoverageTileByShortAddress", "getWeatherMapTile"),
)
"""Operations that are other ones at another address: they are left to the long run."""


def test_the_service_is_as_its_openapi_description_says(tmp_path: Path) -> None:
    report = run(tmp_path, keys=True, examples=2, products=["png"], leave_out=ALIKE)
    assert report.faults == [], report.output
