"""The ledgers of the jobs' tests."""

from tests.service.jobs.conftest import database_url, ledger, postgres_cluster, postgres_url

__all__ = ["database_url", "ledger", "postgres_cluster", "postgres_url"]
