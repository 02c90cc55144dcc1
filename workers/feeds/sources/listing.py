"""What a source lists."""

from __future__ import annotations

from typing import NamedTuple

from service.feeds.tables import ArrivedFile


class Listing(NamedTuple):
    """The files of a source that are complete, in the order in which they were written; whether others are not yet."""

    files: list[ArrivedFile]
    others_are_being_written: bool
