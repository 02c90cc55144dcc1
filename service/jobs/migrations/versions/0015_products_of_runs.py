"""Add to runs their products, the job after whose publication these were made, and what failed; to feeds, who does so.

Runs of before are followed up already: there were no products.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("feeds", sa.Column("follow_up_until", sa.DateTime(timezone=True)))
    op.add_column("feed_runs", sa.Column("followed_up_job_id", sa.String(64)))
    op.add_column("feed_runs", sa.Column("products", sa.JSON()))
    op.add_column("feed_runs", sa.Column("follow_up_problems", sa.JSON()))
    op.execute(sa.text("UPDATE feed_runs SET followed_up_job_id = job_id"))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("feed_runs") as table:
        for column in ("followed_up_job_id", "products", "follow_up_problems"):
            table.drop_column(column)
    with op.batch_alter_table("feeds") as table:
        table.drop_column("follow_up_until")
