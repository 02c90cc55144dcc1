"""Add web push: places that browsers have subscribed to, and the messages to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "push_subscriptions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("client", sa.String(32), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("p256dh", sa.String(88), nullable=False),
        sa.Column("auth", sa.String(24), nullable=False),
        sa.Column("feed", sa.String(128), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("rain_rate", sa.Float(), nullable=False),
        sa.Column("probability", sa.Float()),
        sa.Column("within", sa.Float(), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("created", TIME, nullable=False),
        sa.Column("renewed", TIME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("streak", sa.Integer(), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("reference_time", TIME),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("previous_state", sa.String(16), nullable=False),
        sa.Column("previous_streak", sa.Integer(), nullable=False),
    )
    op.create_index("ix_push_subscriptions_feed", "push_subscriptions", ["feed"])
    op.create_index("ix_push_subscriptions_client", "push_subscriptions", ["client"])
    op.create_table(
        "push_messages",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column(
            "subscription_id", sa.String(32), sa.ForeignKey("push_subscriptions.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("expires", TIME, nullable=False),
        sa.Column("due", TIME),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("delivered", TIME),
        sa.Column("given_up", TIME),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("response_status", sa.Integer()),
    )
    op.create_index("ix_push_messages_due", "push_messages", ["due"])
    op.create_index("ix_push_messages_subscription", "push_messages", ["subscription_id"])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("push_messages", "push_subscriptions"):
        op.drop_table(table)
