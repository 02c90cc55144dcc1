"""Tables of a feed that concern MQTT: which notifications bring its frames, and where its nowcasts are announced."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

DEFAULT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
"""Schemes of a broker's address: MQTT, or MQTT in a WebSocket; with an s, in TLS."""


class Broker(NamedTuple):
    """The parts of a broker's address."""

    host: str
    port: int
    tls: bool
    websocket_path: str | None
    user: str | None
    password: str | None

    @property
    def address(self) -> str:
        """Its address without credentials."""
        scheme = {(False, False): "mqtt", (False, True): "mqtts", (True, False): "ws", (True, True): "wss"}
        host = f"[{self.host}]" if ":" in self.host else self.host
        path = self.websocket_path or ""
        return f"{scheme[self.websocket_path is not None, self.tls]}://{host}:{self.port}{path}"


def parse_broker(url: str) -> Broker:
    """Parse the address of a broker, such as `mqtts://user:password@broker.example.org:8883`.

    Raises
    ------
    ValueError
        It is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"it is no address of a broker: {', '.join(f'{name}://' for name in DEFAULT_PORTS)}")
    return Broker(
        host=parts.hostname,
        port=parts.port or DEFAULT_PORTS[parts.scheme],
        tls=parts.scheme in ("mqtts", "wss"),
        websocket_path=(parts.path or "/") if parts.scheme.startswith("ws") else None,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


class _OnBroker(BaseModel):
    """A topic of a broker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    topic: str = Field(min_length=1, max_length=1000)

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parse_broker(url)
        return url


class MqttSource(_OnBroker):
    """Notifications that announce frames.

    `topic`: may have the wildcards `+` and `#`. `hosts`: from which files are fetched, as messages come from strangers;
    with the port where it is not the usual one.
    """

    hosts: tuple[str, ...] = Field(min_length=1)


class _Announced(_OnBroker):
    """Where nowcasts are announced, with links to this service.

    `public_url`: the address at which others reach this service.
    """

    public_url: str

    @field_validator("topic")
    @classmethod
    def _check_topic(cls, topic: str) -> str:
        if re.search(r"[+#\0]", topic) is not None:
            raise ValueError("a message has one topic: + and # are for those who subscribe")
        return topic

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, url: str) -> str:
        if re.fullmatch(r"https?://[^\s?#]+", url) is None:
            raise ValueError("it is no address, such as https://nowcasts.example.org")
        return url.rstrip("/")


class Wis2Topic(_Announced):
    """Where each published nowcast is announced, as a WIS2 notification message.

    `metadata_id`: of the discovery metadata record of the nowcasts. `cache`: whether global caches may keep copies.
    """

    metadata_id: str = Field(min_length=1, max_length=500)
    cache: bool = False


class EdrChannel(_Announced):
    """Where new instances of the feed's collection are announced: OGC API - EDR, Part 2 (Publish-Subscribe).

    `topic`: by default the path of the instances; `{feed}` is the name of the feed. `subscribe_url`: the address at
    which others reach the broker, where it is not `url`.
    """

    topic: str = Field("collections/{feed}/instances", min_length=1, max_length=1000)
    subscribe_url: str | None = None

    @field_validator("subscribe_url")
    @classmethod
    def _check_subscribe_url(cls, url: str | None) -> str | None:
        if url is not None:
            parse_broker(url)
        return url

    def topic_of(self, feed: str) -> str:
        """Return the topic of a feed."""
        return self.topic.replace("{feed}", feed)

    @property
    def broker(self) -> Broker:
        """The broker as those who subscribe reach it."""
        return parse_broker(self.subscribe_url or self.url)
