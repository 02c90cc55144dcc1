"""Events of alerts as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from functools import partial
from operator import lt
from typing import Final

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy.exc import SQLAlchemyError

from service.api.context import GatewayContext
from service.api.event_streams import HEARTBEAT_SECONDS
from service.feeds.alerts.event_info import event_info

AT_A_TIME: Final = 100

log = logging.getLogger(__name__)


async def alert_events(context: GatewayContext, feed: str | None, after: int | None) -> AsyncGenerator[bytes, None]:
    """Yield the events after a number (None: from now on), and those to come, until the gateway stops."""
    yield b"retry: 2000\n\n"
    ledger, watcher = context.alerts, context.alert_watcher
    sent = await context.in_thread(ledger.newest_number) if after is None else after
    with watcher.watching() as watch:
        while not watch.stopped:
            newest = await watch.until(partial(lt, sent), HEARTBEAT_SECONDS)
            if newest is None:
                yield KEEPALIVE_COMMENT
                continue
            try:
                events = await context.in_thread(ledger.events_after, sent, feed, AT_A_TIME)
            except SQLAlchemyError as error:
                log.warning("events of alerts: the ledger does not respond: %s", error)
                continue
            for event in events:
                data = event_info(event).model_dump_json(exclude_none=True)
                yield format_sse_event(data_str=data, event="alert", id=str(event.number))
            last = events[-1].number if events else sent
            sent = last if len(events) == AT_A_TIME else max(last, newest)
