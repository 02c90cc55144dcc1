"""Packages for tests: the shipped one under other names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from model.core.aliases import CHAMPION, AliasChange, PinnedVersion, change_alias, now_utc
from model.core.catalog import SHIPPED_PACKAGES
from model.core.manifest import MANIFEST
from model.core.package_digest import file_sha256, package_digest

SHIPPED_REFERENCE: Final = "rain-ms-predrnn@2"
SHIPPED_VERSION: Final = SHIPPED_REFERENCE.partition("@")[2]
SHIPPED = SHIPPED_PACKAGES / "rain-ms-predrnn" / SHIPPED_VERSION
GRAPH = "model.fp32.onnx"


def copied(folder: Path, reference: str, **changes: Any) -> Path:
    """The shipped package as NAME@VERSION in a folder of packages, with other fields of its manifest."""
    name, _, version = reference.partition("@")
    made = folder / name / version
    shutil.copytree(SHIPPED, made)
    rewrite_manifest(made, name=name, version=version, **changes)
    return made


DISTRIBUTION: Final = {
    "thresholds_mm_h": [0.5, 5.0],
    "default_field": "expected",
    "sharp_cuts": [{"lead_minutes": 5.0, "probabilities": [0.4, 0.3]}],
}
"""The distribution of a manifest, for tests that run no graph."""


def rewrite_manifest(package: Path, **changes: Any) -> None:
    """Change fields of a manifest, and make its digests those of the files as they are."""
    manifest = json.loads((package / MANIFEST).read_text()) | changes
    manifest["files"] = {name: file_sha256(package / name) for name in manifest["files"]}
    (package / MANIFEST).write_text(json.dumps(manifest))


def damage(path: Path) -> None:
    """Overwrite two bytes in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff\xfe")


def crown(package: Path) -> PinnedVersion:
    """Make a package the champion of its folder, whatever gates would say."""
    pin = PinnedVersion(model=f"{package.parent.name}@{package.name}", digest=package_digest(package))
    change_alias(
        package.parent.parent,
        lambda aliases: AliasChange(
            alias=CHAMPION,
            action="promote",
            when=now_utc(),
            by="test",
            before=aliases.aliases.get(CHAMPION),
            after=pin,
        ),
    )
    return pin
