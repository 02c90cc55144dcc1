"""Know the frames of feeds by their valid time: tables of files, frames and runs.

The runs of before are known by the names of files, which tell nothing of the frames: they are dropped. Each feed begins
anew, with the newest frame of its folder.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables of files and frames, and that of runs anew."""
    op.drop_table("feed_runs")
    op.execute(sa.text("DELETE FROM feeds"))
    op.add_column("feeds", sa.Column("first_reference_time", TIME))
    op.create_table(
        "feed_files",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("name", sa.String(512), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("modified_ns", sa.BigInteger(), nullable=False),
        sa.Column("valid_time", TIME),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("arrived", TIME, nullable=False),
    )
    op.create_index("ix_feed_files_arrived", "feed_files", ["feed", "arrived"])
    op.create_table(
        "feed_frames",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("valid_time", TIME, primary_key=True),
        sa.Column("file", sa.String(512), nullable=False),
        sa.Column("key", sa.String(256), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("grid", sa.String(64), nullable=False),
        sa.Column("pixels", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("coverage", sa.Float(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("arrived", TIME, nullable=False),
    )
    op.create_table(
        "feed_runs",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("reference_time", TIME, primary_key=True),
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id", ondelete="SET NULL")),
        sa.Column("previous_job_id", sa.String(32), sa.ForeignKey("jobs.id", ondelete="SET NULL")),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("fallback", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("created", TIME, nullable=False),
        sa.Column("published", TIME),
    )
    op.create_index("ix_feed_runs_job", "feed_runs", ["job_id"])


def downgrade() -> None:
    """Drop the tables, and create that of runs as it was, empty."""
    for table in ("feed_runs", "feed_frames", "feed_files"):
        op.drop_table(table)
    op.execute(sa.text("DELETE FROM feeds"))
    with op.batch_alter_table("feeds") as table_of_feeds:
        table_of_feeds.drop_column("first_reference_time")
    op.create_table(
        "feed_runs",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("frame", sa.String(512), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("modified_ns", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id", ondelete="SET NULL")),
        sa.Column("seen", TIME, nullable=False),
        sa.Column("valid_time", TIME),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("replaces", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index("ix_feed_runs_seen", "feed_runs", ["feed", "seen"])
