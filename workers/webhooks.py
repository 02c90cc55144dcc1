"""Delivers the webhooks of the outbox, in a thread beside the nowcasts: a slow receiver delays none of them."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import SystemRandom
from typing import Final

from model.core.errors import InputError
from service.jobs.job import UnknownJob
from service.jobs.ledger import Ledger
from service.jobs.outbox import Outbox, Webhook
from service.metrics.instruments import WEBHOOK_CALLS
from service.settings import Settings
from service.status import status_of
from service.webhooks.callback_url import parse_callback
from service.webhooks.delivery import NotDelivered, Resolver, call, resolve

LOOK_SECONDS: Final = 1.0
AT_A_TIME: Final = 8
LEASE_SECONDS: Final = 120.0
"""After this time a try whose worker died is repeated; no try takes as long."""

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 3600.0

log = logging.getLogger(__name__)
_random: Final = SystemRandom()


class WebhookSender:
    """Sends what is due. Any number of workers may do so at a time."""

    def __init__(self, settings: Settings, ledger: Ledger, *, resolver: Resolver = resolve) -> None:
        self._settings = settings
        self._ledger = ledger
        self._outbox = Outbox(ledger.engine)
        self._resolver = resolver

    def run(self, stopping: threading.Event) -> None:
        """Send what becomes due, until the process stops."""
        while not stopping.wait(LOOK_SECONDS):
            try:
                while not stopping.is_set() and self.send_due():
                    pass
            except Exception:  # of any kind, such as an outage of the ledger: the outbox keeps what is due
                log.exception("webhooks are not sent, the next try comes soon")

    def send_due(self) -> int:
        """Try some of the webhooks that are due; return how many."""
        due = self._outbox.claim(AT_A_TIME, LEASE_SECONDS)
        if due:
            with ThreadPoolExecutor(len(due), thread_name_prefix="webhook") as pool:
                list(pool.map(self._send, due))
        return len(due)

    def _send(self, webhook: Webhook) -> None:
        secret = self._settings.webhook_secret
        try:
            body = status_of(self._ledger.get(webhook.job_id)).model_dump_json(exclude_none=True).encode()
            callback = parse_callback(webhook.url, self._settings)
            if secret is None:
                raise NotDelivered("ECHOCAST_WEBHOOK_SECRET is not set")
            now = str(int(time.time()))
            response_status = call(
                callback, webhook.job_id, now, body, secret.get_secret_value(), resolver=self._resolver
            )
        except UnknownJob:
            return  # deleted, and its webhook with it
        except NotDelivered as error:
            self._record_failure(webhook, str(error), error.response_status)
        except InputError as error:
            self._record_failure(webhook, str(error))
        except Exception as error:  # of any kind: a webhook that cannot be sent is given up some time
            log.exception("job %s: its webhook", webhook.job_id)
            self._record_failure(webhook, type(error).__name__)
        else:
            self._outbox.record_delivered(webhook, response_status)
            WEBHOOK_CALLS.labels("delivered").inc()
            log.info("job %s: its webhook is delivered, try %d", webhook.job_id, webhook.attempts)

    def _record_failure(self, webhook: Webhook, error: str, response_status: int | None = None) -> None:
        last = webhook.attempts >= self._settings.webhook_attempts
        self._outbox.record_failed(webhook, error, None if last else pause_seconds(webhook.attempts), response_status)
        WEBHOOK_CALLS.labels("given-up" if last else "failed").inc()
        what = "given up" if last else "tried again later"
        log.warning("job %s: its webhook is %s after try %d: %s", webhook.job_id, what, webhook.attempts, error)


def pause_seconds(attempts: int) -> float:
    """Return the pause (s) after so many tries: it doubles up to an hour, and is drawn from its upper half."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 20))
    return _random.uniform(longest / 2, longest)
