"""Celery workers, which claim jobs, run `model.runtime` and publish results; and the schedule."""
