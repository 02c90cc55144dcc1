"""One scan of a feed at a time; what the radar made a frame of; runs of the past that were asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("feeds", sa.Column("scan_lease", sa.String(32)))
    op.add_column("feeds", sa.Column("scan_lease_until", sa.DateTime(timezone=True)))
    op.add_column("feed_frames", sa.Column("radar_product", sa.String(64), nullable=False, server_default=""))
    op.add_column("feed_runs", sa.Column("backfill", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Drop the columns."""
    for table, *columns in (
        ("feed_runs", "backfill"),
        ("feed_frames", "radar_product"),
        ("feeds", "scan_lease_until", "scan_lease"),
    ):
        with op.batch_alter_table(table) as altered:
            for column in columns:
                altered.drop_column(column)
