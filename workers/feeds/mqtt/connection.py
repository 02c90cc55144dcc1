"""Connections to MQTT brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from model.core.extras import optional_imports
from service.feeds.mqtt_config import Broker

if TYPE_CHECKING:
    from paho.mqtt.client import Client

KEEPALIVE_SECONDS: Final = 30
LONGEST_RECONNECT_SECONDS: Final = 60


def check_installed() -> None:
    """Raise MissingDependency where the extra `mqtt` is not installed."""
    with optional_imports("mqtt"):
        import paho.mqtt.client  # noqa: F401


def new_client(broker: Broker) -> Client:
    """Return a client with the credentials of a broker's address, which is not connected yet.

    Raises
    ------
    MissingDependency
        The extra `mqtt` is not installed.
    """
    with optional_imports("mqtt"):
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    client = Client(CallbackAPIVersion.VERSION2, transport="tcp" if broker.websocket_path is None else "websockets")
    if broker.websocket_path is not None:
        client.ws_set_options(path=broker.websocket_path)
    if broker.tls:
        client.tls_set()
    if broker.user is not None:
        client.username_pw_set(broker.user, broker.password)
    client.reconnect_delay_set(1, LONGEST_RECONNECT_SECONDS)
    return client
