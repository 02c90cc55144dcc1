"""Alembic's entry: runs the migrations on the connection that `service.jobs.database.upgrade` holds."""

from __future__ import annotations

from alembic import context

from service.jobs.feed_run import FeedRun

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=FeedRun.metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
