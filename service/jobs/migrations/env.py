"""Alembic's entry point: runs the migrations on the connection of `service.jobs.database.upgrade`."""

from __future__ import annotations

from alembic import context

from service.jobs.base import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
