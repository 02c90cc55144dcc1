"""A connection to PostgreSQL that does not wait for ever for a server that accepts statements and answers none.

TCP does not notice a server whose processes are stopped, or whose disk hangs: its kernel still acknowledges what
arrives. Nor does the server's own `statement_timeout` end anything there.
"""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

RV = TypeVar("RV")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed where the server takes longer than `answer_seconds`; None sets no limit."""

    answer_seconds: float | None = None

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for the server's answer.

        Raises
        ------
        psycopg.OperationalError
            It has not come in time.
        """
        try:
            return super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:  # the statement has no end
                self.pgconn.finish()
            raise
