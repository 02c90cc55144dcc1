"""`echocast feeds replay`: radar files of the past arrive in a feed again."""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from model.core.errors import InputError

if TYPE_CHECKING:
    from service.feeds.clock import ReplayClock
    from service.settings import Settings
    from workers.feeds.replay import Arrival

SYNTHETIC_START: Final = datetime(2020, 6, 15, 12, tzinfo=UTC)
"""Valid time of the first frame of synthetic storms in a feed without frames: in the past, as frames must be."""
PAUSE: Final = timedelta(hours=2)
"""Between the newest frame of a feed and the first synthetic one."""


class Target(NamedTuple):
    """Where frames arrive; of a feed also its pattern, how its files are read, and the time of its newest frame."""

    folder: Path
    pattern: str = "*"
    variable: str | None = None
    zr: str | None = None
    newest: datetime | None = None


class Speed(click.ParamType[float]):
    """How many times as fast as time passes: `60`, or `60x`."""

    name = "speed"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        try:
            speed = float(str(value).removesuffix("x"))
        except ValueError:
            self.fail(f"{value!r} is no speed such as 60x", param, ctx)
        if not 0 < speed <= 10_000:
            self.fail(f"{value!r} is not between 0 and 10000x", param, ctx)
        return speed


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path, exists=True))
@click.option("--into", required=True, metavar="FEED", help="Feed, or folder, in which the frames arrive.")
@click.option("--speed", type=Speed(), default="1x", show_default=True, help="How many times as fast as they came.")
@click.option(
    "--delay",
    type=click.FloatRange(0, 1440),
    default=2.0,
    show_default=True,
    help="Minutes from the valid time of a frame to its arrival.",
)
@click.option(
    "--history",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Minutes at the beginning whose frames are there when the replay starts.",
)
@click.option("--synthetic", "hours", type=click.FloatRange(0, min_open=True), help="Hours of synthetic storms.")
@click.option("--variable", help="The variable to read from files with several; by default the feed's.")
@click.option("--zr", help="Z-R relation for reflectivity; by default the feed's, or the format's own.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of all state (ECHOCAST_DATA_DIR).")
def replay(
    paths: tuple[Path, ...],
    into: str,
    speed: float,
    delay: float,
    history: float,
    hours: float | None,
    variable: str | None,
    zr: str | None,
    data_dir: Path | None,
) -> None:
    """Let radar files of the past arrive in a feed again, as they once came, or faster.

    PATHs are files, or folders of them. Their order and spacing are those of the valid times inside.
    """
    from model.core.progress import ProgressBar
    from model.core.times import rfc3339
    from service.settings import load_settings
    from workers.feeds.replay import SYNTHETIC_STEP_MINUTES, arrivals_of, radar_files, synthetic_arrivals
    from workers.feeds.replay import replay as run

    if bool(paths) == (hours is not None):
        raise click.UsageError("Give the files or folders to replay, or --synthetic HOURS")
    settings = load_settings(data_dir=data_dir)
    target = _target(into, settings)
    with ExitStack() as stack:
        spool = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="echocast-replay-")))
        arrivals: Iterable[Arrival]
        if hours is None:
            files = [file for path in paths for file in (radar_files(path) if path.is_dir() else [path])]
            with ProgressBar("reading", len(files)) as bar:
                arrivals = arrivals_of(
                    *(files, spool),
                    variable=variable or target.variable,
                    zr=zr or target.zr,
                    on_file=bar.advance,
                    on_skipped=_tell_skipped,
                )
            _check(arrivals, into, target)
            total = len(arrivals)
        else:
            start = SYNTHETIC_START if target.newest is None else target.newest + PAUSE
            total = max(1, round(60 * hours / SYNTHETIC_STEP_MINUTES))
            arrivals = synthetic_arrivals(start, total, spool)
        done = 0

        def tell(arrival: Arrival, clock: ReplayClock) -> None:
            nonlocal done
            done += 1
            click.echo(f"{rfc3339(clock.now())}  {done} of {total}  {arrival.name}")

        times = {"delay": timedelta(minutes=delay), "history": timedelta(minutes=history)}
        run(arrivals, target.folder, speed=speed, on_arrival=tell, **times)


def _target(into: str, settings: Settings) -> Target:
    """Return the feed of that name, or the folder of that path.

    Raises
    ------
    InputError
        There is no such feed or folder, or the feed's clock is that of the system.
    """
    from service.feeds.feeds_file import read_feeds
    from service.feeds.ledger import FeedLedger
    from service.jobs.ledger import Ledger

    found = read_feeds(settings.feeds_path)
    feed = found.find(into)
    if feed is None:
        if Path(into).is_dir():
            return Target(Path(into))
        known = ", ".join(each.name for each in found.feeds) or "none"
        raise InputError(f"there is no feed or folder {into!r}", where="--into", hint=f"Valid feeds: {known}")
    if feed.clock == "system":
        raise InputError(
            f"the feed {into!r} takes these frames for old ones, as its clock is that of the system",
            where=str(settings.feeds_path),
            hint='Give the feed clock = "replay"',
        )
    if feed.folder is None:
        raise InputError(
            f"the feed {into!r} has no folder", where=str(settings.feeds_path), hint="Give it one as source"
        )
    ledger = Ledger(settings.database)
    try:
        newest = FeedLedger(ledger).newest_time(into)
        return Target(feed.folder, feed.pattern, feed.variable, feed.zr, newest)
    finally:
        ledger.close()


def _check(arrivals: list[Arrival], into: str, target: Target) -> None:
    """Check that there is something to replay, that the feed takes it, and that it is newer than what the feed has.

    Raises
    ------
    InputError
        It is not.
    """
    from model.core.times import utc_text

    if not arrivals:
        raise InputError("no file could be read", where="PATH", hint="Name radar files, or folders of them")
    others = [arrival.name for arrival in arrivals if not fnmatch.fnmatch(arrival.name, target.pattern)]
    if others:
        raise InputError(
            f"the feed {into!r} takes files like {target.pattern!r}, and {len(others)} are not, such as {others[0]}",
            where="--into",
            hint="Change the feed's pattern; frames of a file with several arrive as NAME-TIME.nc",
        )
    first, newest = arrivals[0].valid_time, target.newest
    if newest is not None and first <= newest:
        raise InputError(
            f"the feed {into!r} has frames up to {utc_text(newest)}, and these begin at {utc_text(first)}",
            where="--into",
            hint="Frames count once: replay them into a feed of another name",
        )


def _tell_skipped(error: InputError) -> None:
    click.echo(f"skipped: {error}", err=True)
