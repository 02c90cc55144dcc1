"""Delivers the messages of an outbox, in a thread beside the nowcasts: a slow receiver delays none of them."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from random import SystemRandom
from typing import Final, Generic, TypeVar

from model.core.errors import InputError
from service.jobs.outbox import Delivery, Outbox
from service.webhooks.delivery import NotDelivered

LOOK_SECONDS: Final = 1.0
AT_A_TIME: Final = 8
LEASE_SECONDS: Final = 120.0
"""After this time a try whose worker died is repeated; no try takes as long."""

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 3600.0

D = TypeVar("D", bound=Delivery)

log = logging.getLogger(__name__)
_random: Final = SystemRandom()


class Gone(Exception):
    """What the message tells was deleted, and the message with it."""


class OutboxSender(ABC, Generic[D]):
    """Sends what is due. Any number of workers may do so at a time."""

    def __init__(self, outbox: Outbox[D], max_attempts: int) -> None:
        self._outbox = outbox
        self._max_attempts = max_attempts

    @abstractmethod
    def send(self, message: D) -> int | None:
        """Send a message once; return the HTTP status of the response, where there is one.

        Raises
        ------
        NotDelivered, InputError
            The receiver has not accepted it; the text holds no secret.
        Gone
            There is nothing left to tell.
        """

    @abstractmethod
    def count(self, message: D, outcome: str) -> None:
        """Count a try by its outcome: delivered, failed or given-up."""

    @abstractmethod
    def name(self, message: D) -> str:
        """Return what the message is called in the log, such as "job 12: its webhook"; no address."""

    def run(self, stopping: threading.Event) -> None:
        """Send what becomes due, until the process stops."""
        while not stopping.wait(LOOK_SECONDS):
            try:
                while not stopping.is_set() and self.send_due():
                    pass
            except Exception:  # of any kind, such as an outage of the ledger: the outbox keeps what is due
                log.exception("messages are not sent, the next try comes soon")

    def send_due(self) -> int:
        """Try some of the messages that are due; return how many."""
        due = self._outbox.claim(AT_A_TIME, LEASE_SECONDS)
        if due:
            with ThreadPoolExecutor(len(due), thread_name_prefix="outbox") as pool:
                list(pool.map(self._try, due))
        return len(due)

    def _try(self, message: D) -> None:
        try:
            response_status = self.send(message)
        except Gone:
            return
        except NotDelivered as error:
            self._record_failure(message, str(error), error.response_status)
        except InputError as error:
            self._record_failure(message, str(error))
        except Exception as error:  # of any kind: a message that cannot be sent is given up some time
            log.exception("%s", self.name(message))
            self._record_failure(message, type(error).__name__)
        else:
            self._outbox.record_delivered(message, response_status)
            self.count(message, "delivered")
            log.info("%s is delivered, try %d", self.name(message), message.attempts)

    def _record_failure(self, message: D, error: str, response_status: int | None = None) -> None:
        last = message.attempts >= self._max_attempts
        self._outbox.record_failed(message, error, None if last else pause_seconds(message.attempts), response_status)
        self.count(message, "given-up" if last else "failed")
        what = "given up" if last else "tried again later"
        log.warning("%s is %s after try %d: %s", self.name(message), what, message.attempts, error)


def pause_seconds(attempts: int) -> float:
    """Return the pause (s) after so many tries: it doubles up to an hour, and is drawn from its upper half."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 20))
    return _random.uniform(longest / 2, longest)
