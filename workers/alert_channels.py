"""Sends a message to one channel of a rule: a signed webhook, or one of Apprise's services."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Final

from model.core.extras import optional_imports
from service.feeds.alerts.event_info import AlertEventInfo
from service.feeds.alerts.transition import Change
from service.settings import Settings
from service.webhooks.callback_url import parse_callback
from service.webhooks.delivery import NotDelivered
from workers.webhooks import send_signed

if TYPE_CHECKING:
    from apprise import Apprise

VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
WEBHOOKS: Final = ("http", "https")


def kind_of(channel: str) -> str:
    """Return the scheme of a channel, which is not secret."""
    return channel.partition("://")[0]


def with_variables(channel: str) -> str:
    """Return a channel with the environment variables that it names as `${NAME}`.

    Raises
    ------
    NotDelivered
        One is not set.
    """
    missing = [name for name in VARIABLE.findall(channel) if name not in os.environ]
    if missing:
        raise NotDelivered(f"the variable {missing[0]} is not set in this process")
    return VARIABLE.sub(lambda found: os.environ[found[1]], channel)


def send_to_channel(channel: str, event: AlertEventInfo, settings: Settings) -> int | None:
    """Send an event once; return the HTTP status of a webhook.

    Raises
    ------
    NotDelivered
        The receiver has not accepted it, or a variable is not set.
    CallbackRefused
        The settings do not permit the webhook.
    MissingDependency
        Apprise is not installed.
    """
    address = with_variables(channel)
    if kind_of(channel) in WEBHOOKS:
        return send_signed(address, event.id, event.model_dump_json(exclude_none=True).encode(), settings)
    _notify(address, event)
    return None


def check_channel(channel: str, settings: Settings) -> None:
    """Check what can be known of a channel without a message; raises what `send_to_channel` does."""
    address = with_variables(channel)
    if kind_of(channel) in WEBHOOKS:
        parse_callback(address, settings)
    else:
        _services(address)


def _services(address: str) -> Apprise:
    """Return Apprise with one address. It is kept from logging, as addresses hold secrets."""
    with optional_imports("alerts"):
        from apprise import Apprise, AppriseAsset
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    services = Apprise(asset=AppriseAsset(app_id="Echocast", app_desc="Echocast alerts", secure_logging=True))
    try:
        known = services.add(address)
    except Exception as error:  # of any kind: its text may hold the address
        raise NotDelivered(f"Apprise failed: {type(error).__name__}") from None
    if not known:
        raise NotDelivered("Apprise knows no such address")
    return services


def _notify(address: str, event: AlertEventInfo) -> None:
    """Send a message by Apprise."""
    services = _services(address)
    body = f"{event.message}\n\nEvent {event.id}"
    try:
        accepted = services.notify(body=body, title=event.title, notify_type=_notify_type(event))
    except Exception as error:  # of any kind: its text may hold the address
        raise NotDelivered(f"Apprise failed: {type(error).__name__}") from None
    if not accepted:
        raise NotDelivered("the service that Apprise calls has not accepted the message")


def _notify_type(event: AlertEventInfo) -> str:
    """Return the type of a message, by which services choose colours and sounds."""
    if event.test or event.change is Change.KNOWN:
        return "info"
    if event.change is Change.CLEARED:
        return "success"
    return "failure" if event.severity in ("severe", "extreme") else "warning"
