"""Delivers the messages of web push."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

from service.jobs.ledger import Ledger
from service.jobs.outbox import Outbox
from service.metrics.instruments import PUSH_MESSAGES
from service.settings import Settings
from service.web_push.addresses import parse_endpoint
from service.web_push.browser_keys import encrypted
from service.web_push.ledger import PushLedger
from service.web_push.tables import PushMessage
from service.web_push.vapid_key import VapidKey
from service.webhooks.delivery import NotDelivered, Resolver, post, resolve
from workers.outbox_sender import Gone, OutboxSender

NO_LONGER: Final = (404, 410)
"""A push service responds so where the browser is no longer subscribed (RFC 8030, section 7.3)."""


class PushSender(OutboxSender[PushMessage]):
    """Sends what was recorded to the push services of browsers."""

    def __init__(self, settings: Settings, ledger: Ledger, key: VapidKey, *, resolver: Resolver = resolve) -> None:
        super().__init__(Outbox(ledger.engine, PushMessage), settings.webhook_attempts)
        self._settings = settings
        self._push = PushLedger(ledger)
        self._key = key
        self._resolver = resolver

    def send(self, message: PushMessage) -> int:
        """Send a message, unless it would come too late; delete what its push service no longer knows."""
        subscription = self._push.find(message.subscription_id)
        left = (message.expires - datetime.now(UTC)).total_seconds()
        if subscription is None:
            raise Gone
        if left <= 0:
            self._push.delete_message(message.id)
            raise Gone
        callback = parse_endpoint(subscription.endpoint, self._settings)
        headers = {
            "Authorization": self._key.authorization(callback.origin),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(round(left)),
            "Topic": subscription.id,
            "Urgency": "high",
        }
        body = encrypted(json.dumps(message.content).encode(), subscription.p256dh, subscription.auth)
        try:
            return post(callback, headers, body, resolver=self._resolver)
        except NotDelivered as error:
            if error.response_status not in NO_LONGER:
                raise
            self._push.delete_endpoint(subscription.endpoint)
            self.count(message, "gone")
            raise Gone from None

    def count(self, message: PushMessage, outcome: str) -> None:
        """Count a try by its outcome."""
        PUSH_MESSAGES.labels(outcome).inc()

    def name(self, message: PushMessage) -> str:
        """Return the id of the message."""
        return f"push message {message.id}"
