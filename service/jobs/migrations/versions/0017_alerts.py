"""Add alerts: their states, the events that changed them, and the messages about the events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "alerts",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("rule", sa.String(128), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("channels", sa.JSON(), nullable=False),
        sa.Column("taken_up", TIME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("streak", sa.Integer(), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("reference_time", TIME),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("previous_state", sa.String(16), nullable=False),
        sa.Column("previous_streak", sa.Integer(), nullable=False),
        sa.Column("unknown_since", TIME),
        sa.Column("unknown_told", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
    )
    op.create_table(
        "alert_events",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False, unique=True),
        sa.Column("feed", sa.String(128), nullable=False),
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("change", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("reference_time", TIME, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("occurred", TIME, nullable=False),
    )
    op.create_index("ix_alert_events_feed", "alert_events", ["feed", "rule", "number"])
    op.create_table(
        "alert_deliveries",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("event_id", sa.String(32), sa.ForeignKey("alert_events.id", ondelete="CASCADE"), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("due", TIME),
        sa.Column("deferred", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("delivered", TIME),
        sa.Column("withdrawn", TIME),
        sa.Column("given_up", TIME),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("response_status", sa.Integer()),
    )
    op.create_index("ix_alert_deliveries_due", "alert_deliveries", ["due"])
    op.create_index("ix_alert_deliveries_event", "alert_deliveries", ["event_id"])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("alert_deliveries", "alert_events", "alerts"):
        op.drop_table(table)
