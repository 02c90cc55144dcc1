"""Delivers the messages of alerts."""

from __future__ import annotations

from service.feeds.alerts.event_info import event_info
from service.feeds.alerts.ledger import AlertLedger
from service.feeds.alerts.tables import AlertDelivery
from service.jobs.ledger import Ledger
from service.jobs.outbox import Outbox
from service.metrics.instruments import ALERT_MESSAGES
from service.settings import Settings
from workers.alert_channels import WEBHOOKS, kind_of, send_to_channel
from workers.outbox_sender import Gone, OutboxSender


class AlertSender(OutboxSender[AlertDelivery]):
    """Sends events to the channels of their rules."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        super().__init__(Outbox(ledger.engine, AlertDelivery), settings.webhook_attempts)
        self._settings = settings
        self._alerts = AlertLedger(ledger)

    def send(self, message: AlertDelivery) -> int | None:
        """Send the event."""
        event = self._alerts.event(message.event_id)
        if event is None:
            raise Gone
        return send_to_channel(message.url, event_info(event), self._settings)

    def count(self, message: AlertDelivery, outcome: str) -> None:
        """Count a try by the kind of its channel, and its outcome."""
        channel = "webhook" if kind_of(message.url) in WEBHOOKS else "apprise"
        ALERT_MESSAGES.labels(channel, outcome).inc()

    def name(self, message: AlertDelivery) -> str:
        """Return the event and the scheme of the channel."""
        return f"event {message.event_id}: its message by {kind_of(message.url)}"
