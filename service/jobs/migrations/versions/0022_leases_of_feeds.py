"""The lease of a scan is known by until when it is held, as the other one of a feed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the token, and name the time like that of the other lease."""
    with op.batch_alter_table("feeds") as altered:
        altered.drop_column("scan_lease")
        altered.alter_column("scan_lease_until", new_column_name="scan_until")


def downgrade() -> None:
    """Add the token again."""
    with op.batch_alter_table("feeds") as altered:
        altered.alter_column("scan_until", new_column_name="scan_lease_until")
        altered.add_column(sa.Column("scan_lease", sa.String(32)))
