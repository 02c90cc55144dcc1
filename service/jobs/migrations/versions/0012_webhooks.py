"""Add the outbox of webhooks, and to jobs the address to call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add column and table; jobs of before call nobody."""
    time = sa.DateTime(timezone=True)
    op.add_column("jobs", sa.Column("callback_url", sa.Text(), nullable=True))
    op.create_table(
        "webhooks",
        sa.Column("job_id", sa.String(32), primary_key=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("due", time),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("delivered", time),
        sa.Column("given_up", time),
        sa.Column("error", sa.Text(), nullable=False),
    )
    op.create_index("ix_webhooks_due", "webhooks", ["due"])


def downgrade() -> None:
    """Drop table and column."""
    op.drop_table("webhooks")
    with op.batch_alter_table("jobs") as table:
        table.drop_column("callback_url")
