"""Keep what was observed at the places of alerts, by which warnings are verified."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "feed_place_observations",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("place", sa.String(32), primary_key=True),
        sa.Column("source", sa.String(16), primary_key=True),
        sa.Column("valid_time", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("rain_rate", sa.Float()),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("feed_place_observations")
