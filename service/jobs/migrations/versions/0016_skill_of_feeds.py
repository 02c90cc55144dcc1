"""Verify the forecasts of feeds: runs of challengers, scored frames with their counts, and what follows for a model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "feed_challenger_runs",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("reference_time", TIME, primary_key=True),
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id", ondelete="SET NULL")),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("created", TIME, nullable=False),
    )
    op.create_index("ix_feed_challenger_runs_job", "feed_challenger_runs", ["job_id"])
    op.create_table(
        "feed_scored_frames",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("valid_time", TIME, primary_key=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("forecasts", sa.String(64), nullable=False),
        sa.Column("scored", TIME, nullable=False),
    )
    op.create_table(
        "feed_frame_scores",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("valid_time", TIME, primary_key=True),
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("thresholds_mm_h", sa.JSON(), nullable=False),
        sa.Column("lead_minutes", sa.JSON(), nullable=False),
        sa.Column("served_minutes", sa.JSON(), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.Column("bins", sa.LargeBinary()),
    )
    op.create_table(
        "feed_model_skill",
        sa.Column("feed", sa.String(128), primary_key=True),
        sa.Column("model", sa.String(128), primary_key=True),
        sa.Column("sentence", sa.Text(), nullable=False, server_default=""),
        sa.Column("csi", sa.Float()),
        sa.Column("preferred", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("calibration", sa.JSON()),
        sa.Column("calibrated", TIME),
        sa.Column("updated", TIME, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("feed_model_skill", "feed_frame_scores", "feed_scored_frames", "feed_challenger_runs"):
        op.drop_table(table)
