"""Add the tables of jobs, feeds and runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("model_used", sa.String(128)),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("variable", sa.String(256)),
        sa.Column("zr", sa.String(64)),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("feed", sa.String(128)),
        sa.Column("output", sa.Text()),
        sa.Column("progress_done", sa.Integer(), nullable=False),
        sa.Column("progress_total", sa.Integer(), nullable=False),
        sa.Column("problem", sa.JSON()),
        sa.Column("created", time, nullable=False),
        sa.Column("queued", time),
        sa.Column("started", time),
        sa.Column("finished", time),
        sa.Column("result_key", sa.String(256)),
        sa.Column("input_key", sa.String(256)),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease", sa.String(32)),
        sa.Column("lease_until", time),
        sa.Column("idempotency_key", sa.String(256), unique=True),
        sa.Column("request_digest", sa.String(128)),
    )
    op.create_index("ix_jobs_status_created", "jobs", ["status", "created"])
    op.create_index("ix_jobs_finished", "jobs", ["finished"])
    op.create_table(
        "feeds",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("first_seen", time, nullable=False),
        sa.Column("last_scan", time),
        sa.Column("problem", sa.JSON()),
    )
    op.create_table(
        "feed_runs",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("frame", sa.String(512), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("modified_ns", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id", ondelete="SET NULL")),
        sa.Column("seen", time, nullable=False),
    )
    op.create_index("ix_feed_runs_seen", "feed_runs", ["feed", "seen"])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("feed_runs", "feeds", "jobs"):
        op.drop_table(table)
