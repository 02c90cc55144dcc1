"""Add the table of API keys, and make an Idempotency-Key unique to its client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAMES = {"uq": "%(table_name)s_%(column_0_name)s_key"}
"""PostgreSQL's name of the unique constraint of a column, which migration 0001 has not named, and SQLite neither."""


def upgrade() -> None:
    """Create the table; replace the constraint on jobs."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("client", sa.String(128), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("created", time, nullable=False),
        sa.Column("expires", time),
        sa.Column("revoked", time),
        sa.Column("last_used", time),
        sa.Column("max_queued_jobs", sa.Integer()),
        sa.Column("max_running_jobs", sa.Integer()),
        sa.Column("requests_per_second", sa.Float()),
        sa.Column("bytes_per_day", sa.BigInteger()),
    )
    op.create_index("ix_api_keys_client", "api_keys", ["client"])
    with _jobs() as table:
        table.drop_constraint("jobs_idempotency_key_key", type_="unique")
        table.create_unique_constraint("uq_jobs_client_idempotency_key", ["client", "idempotency_key"])


def downgrade() -> None:
    """Drop the table; restore the constraint."""
    with _jobs() as table:
        table.drop_constraint("uq_jobs_client_idempotency_key", type_="unique")
        table.create_unique_constraint("jobs_idempotency_key_key", ["idempotency_key"])
    op.drop_table("api_keys")


@contextmanager
def _jobs() -> Iterator[BatchOperations]:
    """Alter jobs. SQLite makes a new table and drops the old one, and with it, the links of runs to their jobs."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    if sqlite:
        op.execute("CREATE TEMPORARY TABLE links AS SELECT feed, frame, job_id FROM feed_runs")
    with op.batch_alter_table("jobs", naming_convention=NAMES if sqlite else None) as table:
        yield table
    if sqlite:
        same = "links.feed = feed_runs.feed AND links.frame = feed_runs.frame"
        op.execute(f"UPDATE feed_runs SET job_id = (SELECT job_id FROM links WHERE {same})")  # noqa: S608 - constants
        op.execute("DROP TABLE links")
