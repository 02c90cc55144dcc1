"""Add to jobs the request that created them: its id, and the context of its trace."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; jobs of before have no origin."""
    op.add_column("jobs", sa.Column("origin", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("jobs") as table:
        table.drop_column("origin")
