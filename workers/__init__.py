"""Celery workers: they take jobs, run model.runtime and publish results; and the schedule."""
