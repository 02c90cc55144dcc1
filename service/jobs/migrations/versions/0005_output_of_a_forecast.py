"""Add to jobs the field, probabilities and members that were asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; jobs of before asked for one field alone."""
    op.add_column("jobs", sa.Column("forecast_output", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    """Drop the column."""
    with op.batch_alter_table("jobs") as table:
        table.drop_column("forecast_output")
