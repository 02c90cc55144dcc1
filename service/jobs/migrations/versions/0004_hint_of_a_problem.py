"""Rename the key `mend` of stored problems to `hint`, as the API calls it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = {"jobs": "id", "feeds": "name"}


def upgrade() -> None:
    """Rename the key in every row."""
    _rename("mend", "hint")


def downgrade() -> None:
    """Restore the old key in every row."""
    _rename("hint", "mend")


def _rename(old: str, new: str) -> None:
    connection = op.get_bind()
    for name, key in TABLES.items():
        table = sa.table(name, sa.column(key, sa.String), sa.column("problem", sa.JSON(none_as_null=True)))
        row = table.c[key]
        for identity, problem in connection.execute(
            sa.select(row, table.c.problem).where(table.c.problem.isnot(None))
        ).all():
            if isinstance(problem, dict) and old in problem:
                renamed = {new if part == old else part: value for part, value in problem.items()}
                connection.execute(sa.update(table).where(row == identity).values(problem=renamed))
