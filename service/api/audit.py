"""Who changed what: changes by an operator, in the log."""

from __future__ import annotations

import logging

from service.api.access.client import Client

log = logging.getLogger(__name__)


def record_change(client: Client, what: str) -> None:
    """Log what a client has changed, with its name and the id of its key."""
    fields = {"client": client.id, "key_id": client.key_id, "change": what}
    by = client.id if client.key_id is None else f"{client.id} (key {client.key_id})"
    log.info("%s: %s", by, what, extra={"fields": fields})
