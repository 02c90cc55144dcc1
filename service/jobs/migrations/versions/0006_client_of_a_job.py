"""Add to jobs the client that they belong to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and its index; jobs of before were requested without identity."""
    op.add_column("jobs", sa.Column("client", sa.String(128), nullable=False, server_default="anonymous"))
    op.create_index("ix_jobs_client_created", "jobs", ["client", "created"])


def downgrade() -> None:
    """Drop index and column."""
    op.drop_index("ix_jobs_client_created", "jobs")
    with op.batch_alter_table("jobs") as table:
        table.drop_column("client")
