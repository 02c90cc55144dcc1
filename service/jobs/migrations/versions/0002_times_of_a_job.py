"""Add the timings of a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = ("queue_seconds", "read_seconds", "compute_seconds", "write_seconds")


def upgrade() -> None:
    """Add the columns; jobs that finished before have no timings."""
    for name in COLUMNS:
        op.add_column("jobs", sa.Column(name, sa.Float()))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("jobs") as table:
        for name in COLUMNS:
            table.drop_column(name)
