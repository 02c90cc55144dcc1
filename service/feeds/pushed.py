"""Files that are sent to a feed over HTTP, from the request to the scan that reads them.

Their name in the ledger begins with the digest of their content: what is sent again is the same file, and two frames
under one name are two.
"""

from __future__ import annotations

import hashlib
import time
from typing import IO, Final

from service.feeds.ledger import FeedLedger
from service.feeds.tables import ArrivedFile
from service.store import ObjectStore, pushed_prefix

DIGEST_CHARACTERS: Final = 32


def receive_file(feed: str, name: str, file: IO[bytes], ledger: FeedLedger, store: ObjectStore) -> str:
    """Store a file that was sent to a feed, unless it was sent before, and return its name in the ledger.

    Parameters
    ----------
    feed
        The name of the feed.
    name
        The file's name, without folders.
    file
        Its content.
    ledger, store
        Where it is recorded and stored.

    Raises
    ------
    StoreUnavailable
        The store is down or full; nothing is recorded.
    """
    sha, size = hashlib.sha256(), 0
    file.seek(0)
    while piece := file.read(1 << 20):
        sha.update(piece)
        size += len(piece)
    recorded = f"{sha.hexdigest()[:DIGEST_CHARACTERS]}/{name}"
    if not ledger.is_received(feed, recorded):
        file.seek(0)
        store.put(pushed_key(feed, recorded), file)
        ledger.receive(feed, ArrivedFile(name=recorded, size=size, modified_ns=time.time_ns()))
    return recorded


def pushed_key(feed: str, recorded: str) -> str:
    """Return the key of a file, by its name in the ledger; its untrusted part is in no key."""
    return f"{pushed_prefix(feed)}/{recorded[:DIGEST_CHARACTERS]}"
