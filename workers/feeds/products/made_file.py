"""A file of a product before it is published."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

DIGEST_DIGITS: Final = 16
"""How many digits of the digest the name of a file has."""


@dataclass(frozen=True, kw_only=True)
class MadeFile:
    """A file that was made.

    Attributes
    ----------
    path : Path
        Where it lies; it is complete.
    stem : str
        The beginning of its name.
    title : str
        What it is, for people.
    media_type : str
        Its type.
    """

    path: Path
    stem: str
    title: str
    media_type: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the content."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def name(self) -> str:
        """Its name in addresses and in the store, with the first digits of the digest."""
        return f"{self.stem}.{self.digest[:DIGEST_DIGITS]}{self.path.suffix}"
