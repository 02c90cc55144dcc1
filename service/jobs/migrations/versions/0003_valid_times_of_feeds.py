"""Add to the runs of feeds: valid time, reason without a nowcast, and whether the nowcast replaces an earlier one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; runs of before have no valid time."""
    op.add_column("feed_runs", sa.Column("valid_time", sa.DateTime(timezone=True)))
    op.add_column("feed_runs", sa.Column("reason", sa.Text(), nullable=False, server_default=""))
    op.add_column("feed_runs", sa.Column("replaces", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("feed_runs") as table:
        for name in ("valid_time", "reason", "replaces"):
            table.drop_column(name)
