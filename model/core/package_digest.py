"""Digests of a model package, and the check of every file against the digest in the manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path

from model.core.errors import BadPackage
from model.core.manifest import MANIFEST, Manifest, read_manifest, unreadable


def file_sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a file of a package.

    Raises
    ------
    BadPackage
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def package_digest(folder: Path) -> str:
    """Return the SHA-256 (hex) of the manifest, which holds the digest of every other file.

    Raises
    ------
    BadPackage
        The manifest cannot be read.
    """
    return file_sha256(folder / MANIFEST)


def verify_package(folder: Path) -> Manifest:
    """Return the manifest after a check of the digest of every file.

    Raises
    ------
    BadPackage
        A file is missing, cannot be read, or differs from its digest in the manifest.
    """
    manifest = read_manifest(folder)
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BadPackage(f"file {name} is missing", where=str(folder), hint="Fetch the package again")
        if file_sha256(path) != digest:
            raise BadPackage(f"file {name} does not match its digest", where=str(folder), hint="Fetch it again")
    return manifest
