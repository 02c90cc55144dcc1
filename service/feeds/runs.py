"""The ledger's part of runs: the nowcasts that start from the frames of feeds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Select, and_, case, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from service.feeds.tables import FeedFrame, FeedRun, RunState
from service.jobs.database import load, reading, writing
from service.jobs.job import Job, JobStatus
from service.metrics.instruments import FEED_LAG, JOBS_ACCEPTED


class _AnotherWasFirst(Exception):
    """Rolls a transaction back: another scan was first."""


class Runs:
    """The runs of feeds, and the jobs that make their nowcasts."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def runs(self, feed: str, *, limit: int | None = None, since: datetime | None = None) -> list[FeedRun]:
        """Return the runs of a feed, the newest reference time first: at most `limit`, none from before `since`."""
        query = select(FeedRun).where(FeedRun.feed == feed).order_by(FeedRun.reference_time.desc(), FeedRun.model)
        if since is not None:
            query = query.where(FeedRun.reference_time >= since)
        return load(self.engine, query.limit(limit))

    def find_run(self, feed: str, model: str, reference_time: datetime | None = None) -> FeedRun | None:
        """Return the run from a reference time; without one, the newest that has a nowcast.

        Of several models, `model` comes first: the feed may have had another one before.
        """
        if reference_time is None:
            query = newest_with_nowcast(feed, model)
        else:
            query = _own_model_first(select(FeedRun).where(FeedRun.feed == feed), model)
            query = query.where(FeedRun.reference_time == reference_time)
        return next(iter(load(self.engine, query.limit(1))), None)

    def newest_published_to(self, output: str) -> datetime | None:
        """Return the newest reference time whose nowcast was published to the file `output`."""
        query = select(func.max(FeedRun.reference_time)).join(Job, FeedRun.job_id == Job.id)
        with reading(self.engine) as session:
            return session.scalar(query.where(Job.output == output, FeedRun.published.is_not(None)))

    def run_of_job(self, job_id: str) -> FeedRun | None:
        """Return the run of a job; None where it is no feed's job, or not the run's newest."""
        return next(iter(load(self.engine, select(FeedRun).where(FeedRun.job_id == job_id))), None)

    def newest_waiting_job(self, job_id: str) -> str | None:
        """Return the job of the feed's newest reference time among this job and those without an attempt.

        A worker takes that job, whichever job's message came first. None: the job is no feed's.
        """
        feed = select(FeedRun.feed).where(FeedRun.job_id == job_id).scalar_subquery()
        query = (
            select(FeedRun.job_id)
            .join(Job, FeedRun.job_id == Job.id)
            .where(FeedRun.feed == feed, Job.status == JobStatus.ACCEPTED)
            .where(or_(Job.attempt == 0, Job.id == job_id))
            .order_by(FeedRun.reference_time.desc())
            .limit(1)
        )
        with reading(self.engine) as session:
            return session.scalar(query)

    def submit(
        self,
        job: Job,
        frame: FeedFrame,
        earlier: FeedRun | None = None,
        *,
        model: str,
        fallback: bool = False,
        reason: str = "",
        backfill: bool = False,
    ) -> str | None:
        """Record the job of a run, and return its id; None where another process was first.

        Parameters
        ----------
        job
            The job, of a feed; it names the model that is to run.
        frame
            The frame at the reference time.
        earlier
            The run as it was read, where there is one: its job has ended.
        model
            The feed's model, by which the run is known.
        fallback, reason
            Whether and why another model is to run in its place.
        backfill
            Whether an operator asked for it, from a frame older than `max_age`.
        """
        values: dict[str, Any] = {
            "state": RunState.SUBMITTED,
            "job_id": job.id,
            "frames": len(job.inputs),
            "revision": frame.revision,
            "fallback": fallback,
            "reason": reason,
            "backfill": backfill,
        }
        try:
            with writing(self.engine) as session:
                session.add(job)
                session.flush()
                if earlier is None:
                    session.add(FeedRun(feed=frame.feed, reference_time=frame.valid_time, model=model, **values))
                else:
                    values["previous_job_id"] = earlier.served_job_id
                    changed = session.connection().execute(update(FeedRun).where(_same(earlier)).values(values))
                    if changed.rowcount != 1:
                        raise _AnotherWasFirst
        except (IntegrityError, _AnotherWasFirst):
            return None
        JOBS_ACCEPTED.labels(job.kind).inc()
        return job.id

    def skip(self, frame: FeedFrame, model: str, reason: str) -> None:
        """Record that there is no run from a frame."""
        run = FeedRun(
            feed=frame.feed,
            reference_time=frame.valid_time,
            model=model,
            state=RunState.SKIPPED,
            revision=frame.revision,
            reason=reason,
        )
        try:
            with writing(self.engine) as session:
                session.add(run)
        except IntegrityError:  # another process was first; the next scan sees what is left
            return

    def record_run(self, job_id: str, state: RunState, reason: str) -> None:
        """Record why the run of this job makes no nowcast: it waits for more frames, or is skipped."""
        with writing(self.engine) as session:
            session.connection().execute(
                update(FeedRun).where(FeedRun.job_id == job_id).values(state=state, reason=reason)
            )

    def record_published(self, job_id: str) -> None:
        """Record that the nowcast of this job is published."""
        now = datetime.now(UTC)
        first = and_(FeedRun.job_id == job_id, FeedRun.published.is_(None))
        same = and_(FeedFrame.feed == FeedRun.feed, FeedFrame.valid_time == FeedRun.reference_time)
        live = select(FeedFrame.feed, FeedFrame.arrived).join(FeedRun, same).where(first, FeedRun.backfill.is_(False))
        with writing(self.engine) as session:
            frames = session.execute(live).all()
            session.connection().execute(update(FeedRun).where(first).values(published=now))
        for feed, arrived in frames:
            FEED_LAG.labels(feed).observe(max(0.0, (now - arrived).total_seconds()))


def newest_with_nowcast(feed: str, model: str) -> Select[FeedRun]:
    """Return the query of the runs of a feed that have a nowcast, as `FeedLedger.find_run` orders them."""
    query = select(FeedRun).outerjoin(Job, FeedRun.job_id == Job.id).where(FeedRun.feed == feed)
    served = or_(Job.status == JobStatus.SUCCESSFUL, FeedRun.previous_job_id.is_not(None))
    return _own_model_first(query.where(served), model)


def _own_model_first(query: Select[FeedRun], model: str) -> Select[FeedRun]:
    return query.order_by(FeedRun.reference_time.desc(), case((FeedRun.model == model, 0), else_=1))


def _same(run: FeedRun) -> ColumnElement[bool]:
    """Select a run, if no other process has changed it since it was read."""
    return and_(
        FeedRun.feed == run.feed,
        FeedRun.reference_time == run.reference_time,
        FeedRun.model == run.model,
        FeedRun.state == run.state,
        FeedRun.job_id.is_not_distinct_from(run.job_id),
    )
