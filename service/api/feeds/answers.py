"""What the ledger knows of feeds, as the routes respond with it. The functions block."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from model.core.times import rfc3339
from service.api.errors import NoNowcast, NoSuchRun
from service.api.feeds.served import no_nowcast
from service.api.feeds.types import FeedDetails, FeedFileInfo, FeedInfo, FeedList, FeedRunInfo, RunStatus
from service.feeds.config import Feed
from service.feeds.overview import FeedState, feed_states, jobs_by_id
from service.feeds.products import main_files
from service.feeds.tables import FeedFile, FeedRun, RunState, shown_name
from service.jobs.database import reading
from service.jobs.job import Job, Problem, UnknownJob
from service.problem_details import public
from service.status import Link, links_of, path_of

if TYPE_CHECKING:
    from service.api.context import GatewayContext

NEWEST = 20
"""How many files and runs a feed is described with."""


def path_of_feed(name: str) -> str:
    """Return the address of a feed."""
    return f"/v1/feeds/{name}"


def path_of_run(run: FeedRun) -> str:
    """Return the address of a run."""
    return f"{path_of_feed(run.feed)}/runs/{rfc3339(run.reference_time)}"


def feed_list(context: GatewayContext) -> FeedList:
    """Return every feed with its status and its newest run with a nowcast."""
    return FeedList(feeds=[feed_info(state) for state in feed_states(context.feeds().feeds, context.feed_ledger)])


def feed_details(context: GatewayContext, feed: Feed) -> FeedDetails:
    """Return a feed with its newest files and runs."""
    ledger = context.feed_ledger
    [state] = feed_states([feed], ledger)
    files = [file_info(file) for file in ledger.newest_files(feed.name, NEWEST)]
    runs = _run_infos(context, ledger.runs(feed.name, limit=NEWEST))
    return FeedDetails(**feed_info(state).model_dump(), files=files, runs=runs)


def file_info(file: FeedFile) -> FeedFileInfo:
    """Return what became of a file."""
    return FeedFileInfo(
        name=shown_name(file.name),
        state=file.state,
        valid_time=file.valid_time,
        reason=public(file.reason),
        arrived=file.arrived,
    )


def find_run(context: GatewayContext, feed: Feed, reference_time: datetime | None = None) -> FeedRun:
    """Return the run from a reference time; without one, the newest that has a nowcast.

    Raises
    ------
    NoSuchRun
        There is no run from that time.
    NoNowcast
        None is published yet.
    """
    run = context.feed_ledger.find_run(feed.name, feed.model, reference_time)
    if run is not None:
        return run
    if reference_time is None:
        raise no_nowcast()
    raise NoSuchRun(
        f"there is no run from {rfc3339(reference_time)}",
        where="reference_time",
        hint=f"{path_of_feed(feed.name)} lists the newest runs",
    )


def run_info(context: GatewayContext, feed: Feed, reference_time: datetime | None = None) -> FeedRunInfo:
    """Return the run that `find_run` returns as clients see it; raises what that does."""
    return _run_infos(context, [find_run(context, feed, reference_time)])[0]


def served_job(context: GatewayContext, feed: Feed, reference_time: datetime | None = None) -> tuple[FeedRun, Job]:
    """Return the run from a reference time, else the newest that has a nowcast, and the job of the nowcast.

    Raises
    ------
    NoSuchRun
        There is no run from that time.
    NoNowcast
        It has none.
    """
    run = find_run(context, feed, reference_time)
    try:
        return run, context.ledger.get(run.served_job_id or "")
    except UnknownJob:
        raise no_nowcast() from None


def feed_info(state: FeedState) -> FeedInfo:
    """Return a feed as clients see it."""
    feed, health, run = state.feed, state.health, state.run
    path = path_of_feed(feed.name)
    links = [Link(rel="self", href=path, type="application/json", title="Feed")]
    if health.newest_frame is not None:
        links.append(Link(rel="related", href=f"{path}/tiles.json", type="application/json", title="Map tiles"))
    if run is not None:
        links += [
            Link(rel="latest", href=f"{path}/latest", type="application/json", title="Newest run"),
            Link(rel="related", href=f"{path}/point", type="application/json", title="Rain at a place: lon, lat"),
        ]
    if "zarr" in feed.products:
        href = f"{path}/forecasts"
        links.append(Link(rel="related", href=href, type="application/json", title="Past forecasts, Zarr"))
    return FeedInfo(
        name=feed.name,
        model=feed.model,
        status=health.status,
        reason=public(health.reason),
        interval_minutes=health.interval_minutes,
        newest_frame=health.newest_frame,
        age_minutes=health.age_minutes,
        radar_product="" if state.newest_frame is None else state.newest_frame.radar_product,
        latest=None if run is None else _run_info(run, state.job),
        links=links,
    )


def _run_infos(context: GatewayContext, runs: Sequence[FeedRun]) -> list[FeedRunInfo]:
    """Return runs with their newest jobs, where these are not deleted."""
    with reading(context.feed_ledger.engine) as session:
        jobs = jobs_by_id(session, [run.job_id for run in runs])
    return [_run_info(run, jobs.get(run.job_id or "")) for run in runs]


def _problems(run: FeedRun) -> list[Problem]:
    """Return what failed after the publication; nothing as long as that is not over."""
    return run.follow_up_problems or [] if run.followed_up_job_id == run.job_id else []


def _run_info(run: FeedRun, job: Job | None) -> FeedRunInfo:
    path = path_of_run(run)
    links = [Link(rel="self", href=path, type="application/json", title="Run")]
    if job is not None:
        [own, *others] = links_of(job)
        if run.served_job_id not in (None, job.id):  # its frame was issued again: the nowcast of before is served
            own = own.model_copy(update={"href": path_of(str(run.served_job_id))})
        links += [own.model_copy(update={"rel": "item", "title": "Nowcast"}), *others]
    if run.products:
        links.append(Link(rel="related", href=f"{path}/products", type="application/json", title="Products"))
    links += [
        Link(rel="enclosure", href=f"{path}/products/{file['name']}", type=file["media_type"], title=file["title"])
        for file in main_files(run.products)
    ]
    note = "" if job is None else job.note
    return FeedRunInfo(
        feed=run.feed,
        reference_time=run.reference_time,
        model=run.model,
        model_used=None if job is None else job.model_used,
        status=_status(run, job),
        note=note if run.reason in note else "; ".join(filter(None, [run.reason, note])),
        revision=run.revision,
        published=run.published,
        problems=[public(problem["what"]) for problem in _problems(run)],
        links=links,
    )


def model_of(context: GatewayContext, feed: Feed) -> str | None:
    """Return the version that made the newest nowcast of a feed; None before the first one."""
    try:
        _, job = served_job(context, feed)
    except NoNowcast:
        return None
    return job.model_used


def _status(run: FeedRun, job: Job | None) -> RunStatus:
    if run.state is not RunState.SUBMITTED:
        return RunStatus(run.state.value)
    return RunStatus.EXPIRED if job is None else RunStatus(job.status.value)
