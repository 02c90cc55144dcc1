"""Keep what nowcasts say of rules with a probability, by which other limits are compared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "feed_rule_forecasts",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("watched", sa.String(64), primary_key=True),
        sa.Column("reference_time", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("judged", sa.DateTime(timezone=True), nullable=False),
        sa.Column("to_raise", sa.Float(), nullable=False),
        sa.Column("to_stay", sa.Float(), nullable=False),
        sa.Column("certain", sa.Boolean(), nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("feed_rule_forecasts")
