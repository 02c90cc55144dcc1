"""The AsyncAPI description of the channels on which new instances are announced.

OGC 23-057r1, "OGC API - Environmental Data Retrieval - Part 2: Publish-Subscribe Workflow", version 1.0; AsyncAPI 3.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from service.api.feeds.edr.types import HubLink
from service.feeds.config import Feed
from service.feeds.mqtt_config import Broker, EdrChannel

PATH: Final = "/edr/asyncapi"
MEDIA_TYPE: Final = "application/vnd.aai.asyncapi+json;version=3.0.0"
CLASSES: Final = [
    f"http://www.opengis.net/spec/ogcapi-edr-2/1.0/conf/{name}"
    for name in ("pubsub", "pubsub-notification-message-payload")
]
PROTOCOLS: Final = {"mqtt": "mqtt", "mqtts": "secure-mqtt", "ws": "ws", "wss": "wss"}
"""AsyncAPI's names of the schemes of a broker's address."""

TIME: Final = {"type": "string", "format": "date-time"}
ADDRESS: Final = {"type": "string", "format": "uri"}
PAYLOAD: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "type", "geometry", "properties", "links"],
    "properties": {
        "id": {"type": "string", "format": "uuid", "description": "Of the message."},
        "type": {"const": "Feature"},
        "geometry": {
            "description": "Outline of the grid; null where it lies nowhere on earth.",
            "oneOf": [
                {"type": "null"},
                {
                    "type": "object",
                    "required": ["type", "coordinates"],
                    "properties": {"type": {"const": "Polygon"}, "coordinates": {"type": "array"}},
                },
            ],
        },
        "properties": {
            "type": "object",
            "required": ["resourceId", "operation", "pubtime", "collection", "instance"],
            "properties": {
                "resourceId": {**ADDRESS, "description": "Of the instance: the same for a nowcast and its updates."},
                "operation": {
                    "enum": ["create", "update"],
                    "description": "`update`: the frame was issued again, and its nowcast replaces the earlier one.",
                },
                "pubtime": {**TIME, "description": "When the message was made."},
                "collection": {"type": "string", "description": "Name of the feed."},
                "instance": {**TIME, "description": "Id of the instance: the reference time."},
                "start_datetime": {**TIME, "description": "Reference time."},
                "end_datetime": {**TIME, "description": "Valid time of the last lead step."},
                "integrity": {
                    "type": "object",
                    "description": "Digest of the netCDF file.",
                    "required": ["method", "value"],
                    "properties": {"method": {"const": "sha512"}, "value": {"type": "string"}},
                },
            },
        },
        "links": {
            "type": "array",
            "description": "`item`: the instance, `collection`: its collection, `canonical`: the netCDF file.",
            "items": {
                "type": "object",
                "required": ["rel", "href", "type"],
                "properties": {
                    "rel": {"enum": ["item", "collection", "canonical"]},
                    "href": ADDRESS,
                    "type": {"type": "string"},
                    "length": {"type": "integer"},
                },
            },
        },
    },
}


def hub_of(feed: Feed) -> list[HubLink]:
    """Return the link to where new instances of a feed are announced; none where they are not."""
    if feed.edr is None:
        return []
    topic = feed.edr.topic_of(feed.name)
    return [HubLink(rel="hub", href=feed.edr.broker.address, title="New instances", channel=topic)]


def document(feeds: Sequence[Feed]) -> dict[str, Any]:
    """Return the AsyncAPI document, with a channel for each feed that announces its instances."""
    announced = [(feed.name, feed.edr) for feed in feeds if feed.edr is not None]
    addresses = list(dict.fromkeys(channel.broker.address for _, channel in announced))
    servers = {address: f"broker-{number}" for number, address in enumerate(addresses, start=1)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Echocast: new precipitation nowcasts",
            "version": version("echocast"),
            "description": "Each nowcast that a feed serves is announced once it is published: an instance of the "
            "feed's collection in OGC API - EDR. What is published while nobody is subscribed is listed there.",
        },
        "defaultContentType": "application/geo+json",
        "servers": {servers[channel.broker.address]: _server(channel.broker) for _, channel in announced},
        "channels": {name: _channel(name, channel, servers[channel.broker.address]) for name, channel in announced},
        "operations": {
            name: {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "title": f"New instances of {name}",
                "bindings": {"mqtt": {"qos": 1, "retain": False}},
            }
            for name, _ in announced
        },
        "components": {
            "messages": {
                "instance": {
                    "title": "A new instance, or another version of one",
                    "contentType": "application/geo+json",
                    "payload": {"$ref": "#/components/schemas/instance"},
                }
            },
            "schemas": {"instance": PAYLOAD},
        },
    }


def _server(broker: Broker) -> dict[str, Any]:
    scheme, _, rest = broker.address.partition("://")
    host, slash, path = rest.partition("/")
    server = {"host": host, "protocol": PROTOCOLS[scheme], "description": "MQTT"}
    return server | ({"pathname": slash + path, "description": "MQTT in a WebSocket"} if slash else {})


def _channel(feed: str, channel: EdrChannel, server: str) -> dict[str, Any]:
    return {
        "address": channel.topic_of(feed),
        "title": f"New instances of {feed}",
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {"instance": {"$ref": "#/components/messages/instance"}},
    }
