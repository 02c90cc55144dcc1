"""Subscribe to notifications, and hand the files that they announce to their feeds, as if they had been sent."""

from __future__ import annotations

import hashlib
import logging
import queue
import tempfile
import threading
import time
from collections.abc import Collection
from typing import Any, Final

from model.core.errors import InputError
from service.feeds.config import Feed
from service.feeds.feeds_file import read_feeds
from service.feeds.mqtt_config import MqttSource, parse_broker
from service.feeds.pushed import receive_file
from service.feeds.tables import ArrivedFile, FileState
from workers.context import WorkerContext
from workers.feeds.mqtt.connection import KEEPALIVE_SECONDS, new_client
from workers.feeds.mqtt.download import download
from workers.feeds.mqtt.notification import Notification, parse_notification

MAX_WAITING: Final = 1000
"""Messages that wait for the download of others; more are dropped, and said."""

RELOAD_SECONDS: Final = 10.0
"""How often the file of feeds is read again."""

log = logging.getLogger(__name__)


class Subscriber:
    """The subscription of a feed. The broker's thread takes messages, another one fetches their files."""

    def __init__(self, feed: Feed, source: MqttSource, context: WorkerContext) -> None:
        self.feed = feed
        self._source = source
        self._context = context
        self._waiting: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING)
        broker = parse_broker(source.url)
        self._client = new_client(broker)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_SECONDS)
        self._thread = threading.Thread(target=self._receive_until_closed, name=f"mqtt-{feed.name}", daemon=True)

    def start(self) -> None:
        """Connect, again and again where the broker does not respond, and subscribe."""
        self._thread.start()
        self._client.loop_start()

    def close(self) -> None:
        """Disconnect, after the files of the messages that wait."""
        self._client.disconnect()
        self._client.loop_stop()
        self._waiting.put(None)
        self._thread.join()

    def _on_connect(self, client: Any, _: Any, __: Any, reason: Any, ___: Any = None) -> None:  # noqa: ANN401 - paho's callback
        if reason.is_failure:
            log.warning("feed %s: the broker refuses the connection: %s", self.feed.name, reason)
            return
        log.info("feed %s: subscribed to %s", self.feed.name, self._source.topic)
        client.subscribe(self._source.topic, qos=1)

    def _on_message(self, _: Any, __: Any, message: Any) -> None:  # noqa: ANN401 - paho's callback
        try:
            self._waiting.put_nowait(message.payload)
        except queue.Full:
            log.warning("feed %s: more than %d notifications wait: one is dropped", self.feed.name, MAX_WAITING)

    def _receive_until_closed(self) -> None:
        while (payload := self._waiting.get()) is not None:
            try:
                receive(payload, self.feed, self._source, self._context)
            except Exception:
                log.exception("feed %s: a notification", self.feed.name)


def receive(payload: bytes, feed: Feed, source: MqttSource, context: WorkerContext) -> None:
    """Fetch the file that a notification announces, and have it read; what prevents that is the outcome of the file."""
    notification: Notification | None = None
    try:
        notification = parse_notification(payload)
        if notification is None:
            return
        with tempfile.TemporaryFile(prefix="echocast-") as file:
            if notification.content is not None:
                file.write(notification.content)
            else:
                download(notification.address, source.hosts, file, context.settings.max_upload_mb * 1_000_000)
            file.seek(0)
            notification.check(file)
            receive_file(feed.name, notification.name, file, context.feed_ledger, context.store)
    except InputError as error:
        log.warning("feed %s: %s", feed.name, error)
        name = "notification" if notification is None else notification.name
        digest = hashlib.sha256(payload).hexdigest()[:32]
        arrived = ArrivedFile(name=f"{digest}/{name}", size=0, modified_ns=time.time_ns())
        context.feed_ledger.record_outcome(feed.name, arrived, FileState.UNREADABLE, f"{error.what}. {error.hint}")
        return
    context.queue.scan_feed(feed.name)


def subscribe(context: WorkerContext, names: Collection[str], stop: threading.Event) -> None:
    """Keep the feeds that are announced by MQTT subscribed until `stop` is set; all, or those of the names.

    The file of feeds is read again every `RELOAD_SECONDS`.
    """
    running: dict[str, Subscriber] = {}
    try:
        while True:
            feeds = read_feeds(context.settings.feeds_path, check_folders=False).feeds
            wanted = {feed.name: feed for feed in feeds if feed.mqtt and (not names or feed.name in names)}
            for name in [name for name, one in running.items() if wanted.get(name) != one.feed]:
                running.pop(name).close()
            for name, feed in wanted.items():
                if name not in running and feed.mqtt is not None:
                    running[name] = Subscriber(feed, feed.mqtt, context)
                    running[name].start()
            if stop.wait(RELOAD_SECONDS):
                return
    finally:
        for subscriber in running.values():
            subscriber.close()
