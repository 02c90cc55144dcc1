"""The ledger's part of live verification: which frames are to be scored by which forecasts, and their counts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from service.feeds.config import Feed
from service.feeds.skill.tables import (
    ChallengerRun,
    FrameScore,
    ModelSkill,
    PlaceObservation,
    RuleForecast,
    ScoredFrame,
)
from service.feeds.tables import FeedFrame, FeedRun, RegisteredFeed
from service.jobs.database import load, reading, writing
from service.jobs.job import Job, JobStatus
from service.jobs.ledger import Ledger
from service.metrics.instruments import JOBS_ACCEPTED

KEEP_SCORES: Final = timedelta(days=90)
KEEP_BINS: Final = timedelta(days=8)
"""Counts are kept for this time; bins of probability, which take most room, as long as the recalibration reads them."""

DUE_AT_ONCE: Final = 500
"""At most so many frames are looked at in one pass; the rest is due in the next one."""


class _AnotherWasFirst(Exception):
    """Rolls a transaction back: another process has scored the frame, or the frame was issued again."""


@dataclass(frozen=True, kw_only=True)
class StoredForecast:
    """A published nowcast of the feed's model, or one of a challenger.

    `model`: the version that ran. `age_minutes`: between the reference time and the publication of the feed's nowcast.
    """

    reference_time: datetime
    model: str
    job_id: str
    result_key: str
    age_minutes: float


@dataclass(frozen=True, kw_only=True)
class DueFrame:
    """A frame, the forecasts that may be valid at its time, and its record where it was scored before."""

    frame: FeedFrame
    forecasts: tuple[StoredForecast, ...]
    earlier: ScoredFrame | None

    @property
    def digest(self) -> str:
        """The digest of which forecasts there are."""
        names = sorted(f"{each.reference_time:%Y%m%dT%H%M%S} {each.model} {each.job_id}" for each in self.forecasts)
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    @property
    def is_due(self) -> bool:
        """Whether frame or forecasts have changed since it was scored."""
        earlier = self.earlier
        return earlier is None or (earlier.revision, earlier.forecasts) != (self.frame.revision, self.digest)


class SkillLedger:
    """Runs of challengers, scored frames and their counts, in the same database as the jobs."""

    def __init__(self, ledger: Ledger) -> None:
        self.engine = ledger.engine

    # Challengers

    def submit_challenger(self, job: Job, run: FeedRun, model: str) -> bool:
        """Record the job of a challenger beside a run of the feed; return False where there is one already.

        One from before the frame was issued again is replaced.
        """
        made = ChallengerRun(
            feed=run.feed, reference_time=run.reference_time, model=model, job_id=job.id, revision=run.revision
        )
        older = and_(
            ChallengerRun.feed == run.feed,
            ChallengerRun.reference_time == run.reference_time,
            ChallengerRun.model == model,
            ChallengerRun.revision < run.revision,
        )
        values = {"job_id": job.id, "revision": run.revision, "reason": ""}
        try:
            with writing(self.engine) as session:
                session.add(job)
                session.flush()
                changed = session.connection().execute(update(ChallengerRun).where(older).values(values)).rowcount
                if not changed:
                    session.add(made)
        except IntegrityError:
            return False
        JOBS_ACCEPTED.labels(job.kind).inc()
        return True

    def challenger_of_job(self, job_id: str) -> ChallengerRun | None:
        """Return the challenger's run of a job; None where the job is another one's."""
        return next(iter(load(self.engine, select(ChallengerRun).where(ChallengerRun.job_id == job_id))), None)

    def record_challenger(self, job_id: str, reason: str) -> None:
        """Record why the run of this job makes no nowcast."""
        with writing(self.engine) as session:
            change = update(ChallengerRun).where(ChallengerRun.job_id == job_id).values(reason=reason)
            session.connection().execute(change)

    def newest_challengers(self, feed: str, since: datetime) -> list[ChallengerRun]:
        """Return the runs of challengers from a reference time on, the newest first."""
        query = select(ChallengerRun).where(ChallengerRun.feed == feed, ChallengerRun.reference_time >= since)
        return load(self.engine, query.order_by(ChallengerRun.reference_time.desc(), ChallengerRun.model))

    def delete_challengers(self, feed: str, before: datetime) -> list[str]:
        """Delete the runs of challengers from before a time, and return their jobs, which are to be deleted."""
        old = and_(ChallengerRun.feed == feed, ChallengerRun.reference_time < before)
        with writing(self.engine) as session:
            jobs = list(session.scalars(select(ChallengerRun.job_id).where(old, ChallengerRun.job_id.is_not(None))))
            session.connection().execute(delete(ChallengerRun).where(old))
        return [job for job in jobs if job is not None]

    # Frames that are scored

    def due(self, feed: Feed, *, horizon: timedelta, recheck: timedelta) -> list[DueFrame]:
        """Return the frames that are to be scored, the newest first.

        Parameters
        ----------
        feed
            The feed.
        horizon
            How far its forecasts reach at most.
        recheck
            Of the newest frames, those of this time are scored again where a further forecast was published.
        """
        newest = select(func.max(FeedFrame.valid_time)).where(FeedFrame.feed == feed.name)
        first = select(RegisteredFeed.first_reference_time).where(RegisteredFeed.name == feed.name)
        same = and_(ScoredFrame.feed == FeedFrame.feed, ScoredFrame.valid_time == FeedFrame.valid_time)
        query = select(FeedFrame, ScoredFrame).outerjoin(ScoredFrame, same).where(FeedFrame.feed == feed.name)
        with reading(self.engine) as session:
            last, since = session.scalar(newest), session.scalar(first)
            if last is None or since is None:
                return []
            changed = or_(
                ScoredFrame.feed.is_(None),
                ScoredFrame.revision != FeedFrame.revision,
                FeedFrame.valid_time >= last - recheck,
            )
            rows = session.execute(
                query.where(changed, FeedFrame.valid_time > max(since, last - KEEP_SCORES))
                .order_by(FeedFrame.valid_time.desc())
                .limit(DUE_AT_ONCE)
            ).all()
        if not rows:
            return []
        forecasts = self.forecasts(feed, rows[-1][0].valid_time - horizon)
        found = []
        for frame, earlier in rows:
            valid = tuple(
                each for each in forecasts if each.reference_time < frame.valid_time <= each.reference_time + horizon
            )
            found.append(DueFrame(frame=frame, forecasts=valid, earlier=earlier))
        return [each for each in found if each.is_due]

    def forecasts(self, feed: Feed, since: datetime) -> list[StoredForecast]:
        """Return the nowcasts from a reference time on, of the feed's model and of challengers, the oldest first.

        Of one reference time and version there is one: that of the feed comes before a challenger's.
        """
        of_run = or_(FeedRun.job_id == Job.id, FeedRun.previous_job_id == Job.id)
        columns = (Job.model_used, Job.id, Job.result_key)
        served = (
            select(FeedRun.reference_time, FeedRun.published, FeedFrame.arrived, *columns)
            .join(Job, of_run)
            .join(FeedFrame, and_(FeedFrame.feed == FeedRun.feed, FeedFrame.valid_time == FeedRun.reference_time))
            .where(FeedRun.feed == feed.name, FeedRun.reference_time >= since, Job.status == JobStatus.SUCCESSFUL)
            .order_by(FeedRun.reference_time, (Job.id == FeedRun.job_id).desc())
        )
        shadow = (
            select(ChallengerRun.reference_time, *columns)
            .join(Job, ChallengerRun.job_id == Job.id)
            .where(ChallengerRun.feed == feed.name, ChallengerRun.reference_time >= since)
            .where(Job.status == JobStatus.SUCCESSFUL)
        )
        found: dict[tuple[datetime, str], StoredForecast] = {}
        ages: dict[datetime, float] = {}
        rows: list[tuple[datetime, list[Any]]] = []
        with reading(self.engine) as session:
            for time, published, arrived, *job in session.execute(served):
                ages.setdefault(time, _age_minutes(feed, time, arrived, published))
                rows.append((time, job))
            rows += [(time, job) for time, *job in session.execute(shadow) if time in ages]
        for time, (model, job_id, key) in rows:
            forecast = StoredForecast(
                reference_time=time, model=str(model), job_id=job_id, result_key=str(key), age_minutes=ages[time]
            )
            found.setdefault((time, forecast.model), forecast)
        return sorted(found.values(), key=lambda each: each.reference_time)

    def record(self, due: DueFrame, scores: Sequence[FrameScore], observed: Sequence[PlaceObservation] = ()) -> bool:
        """Replace the counts of a frame, and what it has at places of alerts.

        Return False where another process did, or the frame was issued again.
        """
        feed, time = due.frame.feed, due.frame.valid_time
        made = ScoredFrame(feed=feed, valid_time=time, revision=due.frame.revision, forecasts=due.digest)
        try:
            with writing(self.engine) as session:
                frame = session.get(FeedFrame, (feed, time))
                if frame is None or frame.revision != due.frame.revision:
                    raise _AnotherWasFirst
                if due.earlier is None:
                    session.add(made)
                    session.flush()
                else:
                    as_read = and_(
                        ScoredFrame.feed == feed,
                        ScoredFrame.valid_time == time,
                        ScoredFrame.revision == due.earlier.revision,
                        ScoredFrame.forecasts == due.earlier.forecasts,
                    )
                    values = {"revision": made.revision, "forecasts": made.forecasts, "scored": made.scored}
                    if session.connection().execute(update(ScoredFrame).where(as_read).values(values)).rowcount != 1:
                        raise _AnotherWasFirst
                old = and_(FrameScore.feed == feed, FrameScore.valid_time == time)
                session.connection().execute(delete(FrameScore).where(old))
                session.add_all(scores)
                of_frame = and_(PlaceObservation.feed == feed, PlaceObservation.valid_time == time)
                radar = PlaceObservation.source == "radar"
                session.connection().execute(delete(PlaceObservation).where(of_frame, radar))
                session.add_all(observed)
        except (IntegrityError, _AnotherWasFirst):
            return False
        return True

    def expire(self, feed: str, newest: datetime) -> None:
        """Delete what is too old to be kept, given the time of the newest frame."""
        old = and_(FrameScore.feed == feed, FrameScore.valid_time < newest - KEEP_BINS, FrameScore.bins.is_not(None))
        with writing(self.engine) as session:
            session.connection().execute(update(FrameScore).where(old).values(bins=None))
        self.delete_scores(feed, newest - KEEP_SCORES)

    def delete_scores(self, feed: str, before: datetime) -> None:
        """Delete the counts from before a time."""
        with writing(self.engine) as session:
            for table in (FrameScore, ScoredFrame, PlaceObservation):
                session.connection().execute(delete(table).where(table.feed == feed, table.valid_time < before))
            old = and_(RuleForecast.feed == feed, RuleForecast.reference_time < before)
            session.connection().execute(delete(RuleForecast).where(old))

    def forget(self, feed: str) -> None:
        """Delete everything about a feed."""
        with writing(self.engine) as session:
            for table in (FrameScore, ScoredFrame, PlaceObservation, RuleForecast, ModelSkill, ChallengerRun):
                session.connection().execute(delete(table).where(table.feed == feed))

    # Counts

    def scores(
        self, feed: str, since: datetime, until: datetime, models: Sequence[str] = (), *, bins: bool = False
    ) -> Iterator[list[FrameScore]]:
        """Yield the scores of each frame after `since`, to `until`, the oldest first; of these models, or of all.

        Without `bins` they are not read: the attribute is None.
        """
        entities: list[Any] = [column for column in FrameScore.__table__.columns if bins or column.name != "bins"]
        query = select(*entities).where(FrameScore.feed == feed)
        query = query.where(FrameScore.valid_time > since, FrameScore.valid_time <= until)
        if models:
            query = query.where(FrameScore.model.in_(models))
        of_frame: list[FrameScore] = []
        with reading(self.engine) as session:
            rows = session.execute(query.order_by(FrameScore.valid_time, FrameScore.model)).mappings()
            for row in rows:
                score = FrameScore(**row)
                if of_frame and of_frame[0].valid_time != score.valid_time:
                    yield of_frame
                    of_frame = []
                of_frame.append(score)
        if of_frame:
            yield of_frame

    def newest_scored(self, feed: str) -> datetime | None:
        """Return the valid time of the newest frame by which a forecast was scored; None where there is none."""
        with reading(self.engine) as session:
            return session.scalar(select(func.max(FrameScore.valid_time)).where(FrameScore.feed == feed))

    def models(self, feed: str, since: datetime) -> dict[str, int]:
        """Return the versions whose forecasts were scored after a time, and by how many frames."""
        query = (
            select(FrameScore.model, func.count().label("frames"))
            .where(FrameScore.feed == feed, FrameScore.valid_time > since)
            .group_by(FrameScore.model)
        )
        with reading(self.engine) as session:
            return {row.model: row.frames for row in session.execute(query)}

    def scored_lead_minutes(self, feed: str, model: str) -> float | None:
        """Return the longest lead time (minutes) of a version that was scored by the newest frame; None: none was."""
        query = select(FrameScore.lead_minutes).where(FrameScore.feed == feed, FrameScore.model == model)
        with reading(self.engine) as session:
            leads = session.scalar(query.order_by(FrameScore.valid_time.desc()).limit(1))
        return max(leads) if leads else None

    # What follows for a model

    def skill(self, feed: str) -> dict[str, ModelSkill]:
        """Return what is recorded of the models of a feed."""
        return {each.model: each for each in load(self.engine, select(ModelSkill).where(ModelSkill.feed == feed))}

    def newest(self, since: datetime) -> list[ModelSkill]:
        """Return what was recorded since a time, of all feeds."""
        return load(self.engine, select(ModelSkill).where(ModelSkill.updated >= since))

    def record_skill(self, feed: str, model: str, values: Mapping[str, object]) -> None:
        """Record what follows for a model: any of the columns of `ModelSkill`."""
        same = and_(ModelSkill.feed == feed, ModelSkill.model == model)
        changed = {**values, "updated": datetime.now(UTC)}
        with writing(self.engine) as session:
            if session.get(ModelSkill, (feed, model)) is None:
                session.add(ModelSkill(feed=feed, model=model))
                session.flush()
            session.connection().execute(update(ModelSkill).where(same).values(changed))


def _age_minutes(feed: Feed, reference_time: datetime, arrived: datetime, published: datetime | None) -> float:
    """Return how old the newest frame was when the nowcast was published, by the feed's clock (minutes).

    By any other clock than the system's, it is the time between arrival and publication.
    """
    since = reference_time if feed.clock == "system" else arrived
    return 0.0 if published is None else max(0.0, (published - since).total_seconds() / 60)
