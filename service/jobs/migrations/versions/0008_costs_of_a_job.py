"""Add to jobs what they are expected to cost, and what they take in the store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = (
    ("work", sa.Float()),
    ("cost_seconds", sa.Float()),
    ("running_limit", sa.Integer()),
    ("upload_bytes", sa.BigInteger()),
    ("result_bytes", sa.BigInteger()),
)


def upgrade() -> None:
    """Add the columns; of jobs of before nothing is known."""
    for name, kind in COLUMNS:
        op.add_column("jobs", sa.Column(name, kind, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("jobs") as table:
        for name, _ in COLUMNS:
            table.drop_column(name)
