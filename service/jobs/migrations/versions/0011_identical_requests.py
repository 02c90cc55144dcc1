"""Add to jobs the digest of the models that they ran with, and find jobs by their request."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add column and index; results of before are not used again."""
    op.add_column("jobs", sa.Column("models_digest", sa.String(64), nullable=True))
    op.create_index("ix_jobs_request", "jobs", ["client", "request_digest"])


def downgrade() -> None:
    """Drop index and column."""
    op.drop_index("ix_jobs_request", "jobs")
    with op.batch_alter_table("jobs") as table:
        table.drop_column("models_digest")
