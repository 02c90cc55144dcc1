"""A real PostgreSQL, as the tests of the ledger have it."""

from __future__ import annotations

from tests.service.jobs.conftest import postgres_cluster, postgres_url

__all__ = ["postgres_cluster", "postgres_url"]
