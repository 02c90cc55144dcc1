"""What the ledger knows of feeds, as the routes respond with it. The functions block."""

from __future__ import annotations

from datetime import datetime

from service.api.context import GatewayContext
from service.api.errors import NoNowcast, NoSuchFeed, NoSuchRun
from service.api.feeds.types import FeedDetails, FeedFileInfo, FeedInfo, FeedRunInfo, RunStatus
from service.feeds.config import Feed
from service.feeds.health import health_now
from service.feeds.products import main_files
from service.feeds.tables import FeedFile, FeedRun, RunState, shown_name
from service.jobs.job import Job, UnknownJob
from service.problem_details import public
from service.status import Link, links_of, path_of

NEWEST = 20
"""How many files and runs a feed is described with."""


def path_of_feed(name: str) -> str:
    """Return the address of a feed."""
    return f"/v1/feeds/{name}"


def path_of_run(run: FeedRun) -> str:
    """Return the address of a run."""
    return f"{path_of_feed(run.feed)}/runs/{run.reference_time:%Y-%m-%dT%H:%M:%SZ}"


def find_feed(context: GatewayContext, name: str) -> Feed:
    """Return the feed of that name.

    Raises
    ------
    NoSuchFeed
        There is none.
    """
    feed = context.feeds().find(name)
    if feed is None:
        raise NoSuchFeed(f"there is no feed {name!r}", where="feed", hint="GET /v1/feeds lists the feeds")
    return feed


def feed_info(context: GatewayContext, feed: Feed) -> FeedInfo:
    """Return the status of a feed and its newest run with a nowcast."""
    health = health_now(feed, context.feed_ledger)
    run = context.feed_ledger.find_run(feed.name, feed.model)
    newest = next(iter(context.feed_ledger.frames(feed.name, limit=1)), None)
    path = path_of_feed(feed.name)
    links = [Link(rel="self", href=path, type="application/json", title="Feed")]
    if health.newest_frame is not None:
        links.append(Link(rel="related", href=f"{path}/tiles.json", type="application/json", title="Map tiles"))
    if run is not None:
        links += [
            Link(rel="latest", href=f"{path}/latest", type="application/json", title="Newest run"),
            Link(rel="related", href=f"{path}/point", type="application/json", title="Rain at a place: lon, lat"),
        ]
    return FeedInfo(
        name=feed.name,
        model=feed.model,
        status=health.status,
        reason=public(health.reason),
        interval_minutes=health.interval_minutes,
        newest_frame=health.newest_frame,
        age_minutes=health.age_minutes,
        radar_product="" if newest is None else newest.radar_product,
        latest=None if run is None else run_info(context, run),
        links=links,
    )


def feed_details(context: GatewayContext, feed: Feed) -> FeedDetails:
    """Return a feed with its newest files and runs."""
    ledger = context.feed_ledger
    files = [file_info(file) for file in ledger.newest_files(feed.name, NEWEST)]
    runs = [run_info(context, run) for run in ledger.runs(feed.name, limit=NEWEST)]
    return FeedDetails(**feed_info(context, feed).model_dump(), files=files, runs=runs)


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
        raise _no_nowcast()
    raise NoSuchRun(
        f"there is no run from {reference_time:%Y-%m-%dT%H:%M:%SZ}",
        where="reference_time",
        hint=f"{path_of_feed(feed.name)} lists the newest runs",
    )


def run_info(context: GatewayContext, run: FeedRun) -> FeedRunInfo:
    """Return a run as the ledger has it."""
    job = _job(context, run)
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
        problems=[public(problem["what"]) for problem in run.follow_up_problems or []],
        links=links,
    )


def _job(context: GatewayContext, run: FeedRun) -> Job | None:
    """Return the newest job of a run; None where its retention is over."""
    try:
        return None if run.job_id is None else context.ledger.get(run.job_id)
    except UnknownJob:
        return None


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
        raise _no_nowcast() from None


def model_of(context: GatewayContext, feed: Feed) -> str | None:
    """Return the version that made the newest nowcast of a feed; None before the first one."""
    try:
        _, job = served_job(context, feed)
    except NoNowcast:
        return None
    return job.model_used


def _no_nowcast() -> NoNowcast:
    return NoNowcast("this feed has no nowcast yet", where="feed", hint="Its status tells what it waits for")


def _status(run: FeedRun, job: Job | None) -> RunStatus:
    if run.state is not RunState.SUBMITTED:
        return RunStatus(run.state.value)
    return RunStatus.EXPIRED if job is None else RunStatus(job.status.value)
