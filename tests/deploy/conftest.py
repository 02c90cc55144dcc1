"""A real PostgreSQL, as the tests of the ledger have it, and the lab of the workers' tests."""

from __future__ import annotations

from tests.databases import postgres_cluster, postgres_url
from tests.workers.conftest import lab

__all__ = ["lab", "postgres_cluster", "postgres_url"]
