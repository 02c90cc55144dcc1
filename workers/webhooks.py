"""Delivers the webhooks of nowcasts that have ended."""

from __future__ import annotations

import time

from service.jobs.job import UnknownJob
from service.jobs.ledger import Ledger
from service.jobs.outbox import Outbox, Webhook
from service.metrics.instruments import WEBHOOK_CALLS
from service.settings import Settings
from service.status import status_of
from service.webhooks.callback_url import parse_callback
from service.webhooks.delivery import NotDelivered, Resolver, call, resolve
from workers.outbox_sender import Gone, OutboxSender


class WebhookSender(OutboxSender[Webhook]):
    """Sends the status of a nowcast, signed, to the address that its client has named."""

    def __init__(self, settings: Settings, ledger: Ledger, *, resolver: Resolver = resolve) -> None:
        super().__init__(Outbox(ledger.engine, Webhook), settings.webhook_attempts)
        self._settings = settings
        self._ledger = ledger
        self._resolver = resolver

    def send(self, message: Webhook) -> int:
        """Send the status of the nowcast as it is now."""
        try:
            body = status_of(self._ledger.get(message.job_id)).model_dump_json(exclude_none=True).encode()
        except UnknownJob:
            raise Gone from None
        return send_signed(message.url, message.job_id, body, self._settings, self._resolver)

    def count(self, message: Webhook, outcome: str) -> None:
        """Count a call by its outcome."""
        WEBHOOK_CALLS.labels(outcome).inc()

    def name(self, message: Webhook) -> str:
        """Return the name of the job."""
        return f"job {message.job_id}: its webhook"


def send_signed(url: str, delivery_id: str, body: bytes, settings: Settings, resolver: Resolver = resolve) -> int:
    """Send a body once, signed, to an address that the settings permit; return the HTTP status, one of success.

    Raises
    ------
    CallbackRefused
        The settings do not permit the address.
    NotDelivered
        There is no secret to sign with, or the receiver has not accepted the call.
    """
    callback = parse_callback(url, settings)
    if settings.webhook_secret is None:
        raise NotDelivered("ECHOCAST_WEBHOOK_SECRET is not set")
    secret = settings.webhook_secret.get_secret_value()
    return call(callback, delivery_id, str(int(time.time())), body, secret, resolver=resolver)
