"""Index jobs in the order of lists: by time and, of one time, by id; of one client and of all."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the id to the index of a client's jobs, and an index of all jobs."""
    op.drop_index("ix_jobs_client_created", "jobs")
    op.create_index("ix_jobs_client_created", "jobs", ["client", "created", "id"])
    op.create_index("ix_jobs_created", "jobs", ["created", "id"])


def downgrade() -> None:
    """Restore the indexes of before."""
    op.drop_index("ix_jobs_created", "jobs")
    op.drop_index("ix_jobs_client_created", "jobs")
    op.create_index("ix_jobs_client_created", "jobs", ["client", "created"])
