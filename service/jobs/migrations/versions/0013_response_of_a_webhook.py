"""Add to webhooks the HTTP status of the last response."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of earlier tries the response is not known."""
    op.add_column("webhooks", sa.Column("response_status", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("webhooks") as table:
        table.drop_column("response_status")
