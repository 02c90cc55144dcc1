"""Files that were sent over HTTP: the gateway stores them, and the ledger lists those that wait to be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from service.feeds.ledger import FeedLedger
from service.feeds.pushed import pushed_key
from service.feeds.tables import ArrivedFile
from service.store import MissingObject, ObjectStore
from workers.feeds.sources.listing import Listing
from workers.frames import safe_name


class PushSource:
    """The files that were sent to a feed."""

    def __init__(self, feed: str, ledger: FeedLedger, store: ObjectStore) -> None:
        self._feed = feed
        self._ledger = ledger
        self._store = store

    def list(self) -> Listing:
        """List the files that wait."""
        files = [
            ArrivedFile(name=file.name, size=file.size, modified_ns=file.modified_ns)
            for file in self._ledger.received_files(self._feed)
        ]
        return Listing(sorted(files, key=lambda file: (file.modified_ns, file.name)), False)

    def fetch(self, file: ArrivedFile, folder: Path) -> Path | None:
        """Copy a file to `folder`, under the name that its sender gave it."""
        try:
            return self._store.fetch(
                pushed_key(self._feed, file.name), folder / safe_name(PurePosixPath(file.name).name)
            )
        except MissingObject:
            self._ledger.delete_files(self._feed, [file.name])
            return None

    def done(self, files: Sequence[ArrivedFile]) -> None:
        """Delete the files: their frames are stored."""
        for file in files:
            self._store.delete(pushed_key(self._feed, file.name))
