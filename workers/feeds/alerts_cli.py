"""`echocast feeds alerts`, and the check of the rules that `echocast feeds check` makes."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from model.core.errors import InputError

if TYPE_CHECKING:
    from model.core.grid import Grid
    from service.feeds.alerts.event_info import AlertEventInfo
    from service.feeds.alerts.rule import AlertRule
    from service.feeds.config import Feed
    from service.feeds.feeds_file import Feeds
    from service.settings import Settings


class Sent(NamedTuple):
    """What became of a message to one channel."""

    channel: str
    ok: bool
    what: str


@click.group()
def alerts() -> None:
    """Test the channels of alerts."""


@alerts.command("test")
@click.argument("rule", metavar="RULE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of all state (ECHOCAST_DATA_DIR).")
def send_test(rule: str, as_json: bool, data_dir: Path | None) -> None:
    """Send a test message through every channel of a rule, NAME or FEED/NAME.

    At once, in quiet hours too, and from this process: the variables that channels name as ${NAME} must be set in it.
    The exit code is 2 where a channel has not accepted it.
    """
    from service.feeds.feeds_file import read_feeds
    from service.settings import load_settings

    settings = load_settings(data_dir=data_dir)
    feed, found = _find(read_feeds(settings.feeds_path, check_folders=False), rule, settings.feeds_path)
    if not found.channels:
        raise found.bad("channels", "it has no channels", "Add channels, or follow GET /v1/alerts/events")
    event = _test_event(feed, found)
    sent = [_send(channel, event, settings) for channel in found.channels]
    if as_json:
        click.echo(json.dumps({"id": event.id, "channels": [each._asdict() for each in sent]}))
    else:
        for each in sent:
            click.echo(f"{'ok' if each.ok else 'bad':4} {each.channel}: {each.what}")
    sys.exit(0 if all(each.ok for each in sent) else 2)


def problems_of_rules(feed: Feed, grid: Grid | None, settings: Settings) -> Iterator[InputError]:
    """Yield what is wrong with a feed's rules beyond their keys: places and areas off the grid, and channels."""
    from workers.feeds.place_series import pixel_of, pixels_of, read_area

    for rule in feed.alert:
        try:
            area = None if rule.area is None else read_area(rule.area)
            if grid is not None and area is not None:
                pixels_of(grid, area)
            elif grid is not None and rule.lon is not None and rule.lat is not None:
                pixel_of(grid, rule.lon, rule.lat)
        except InputError as error:
            key = "lon, lat" if rule.area is None else "area"
            yield rule.bad(key, error.what, error.hint or "Choose what is inside of the radar's area")
        yield from _problems_of_channels(rule, settings)


def _problems_of_channels(rule: AlertRule, settings: Settings) -> Iterator[InputError]:
    """Yield what prevents messages to the channels of a rule, as far as it is known without sending one."""
    from service.webhooks.delivery import NotDelivered
    from workers.alert_channels import check_channel, kind_of

    for channel in rule.channels:
        try:
            check_channel(channel, settings)
        except NotDelivered as error:
            yield rule.bad("channels", f"{kind_of(channel)}: {error}", "Correct the channel, or set the variable")
        except InputError as error:
            yield rule.bad("channels", f"{kind_of(channel)}: {error.what}", error.hint)


def _find(feeds: Feeds, name: str, path: Path) -> tuple[Feed, AlertRule]:
    """Return the rule of that name, NAME or FEED/NAME, with its feed.

    Raises
    ------
    BadFeed
        There is none, or there are several.
    """
    from service.feeds.feeds_file import BadFeed

    every = [(feed, rule) for feed in feeds.feeds for rule in feed.alert]
    found = [(feed, rule) for feed, rule in every if name in (rule.name, f"{feed.name}/{rule.name}")]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{feed.name}/{rule.name}" for feed, rule in found or every) or "none"
    what = f"there is no valid rule {name!r}" if not found else f"several feeds have a rule {name!r}"
    raise BadFeed(what, where=str(path), hint=f"Rules: {known}")


def _test_event(feed: Feed, rule: AlertRule) -> AlertEventInfo:
    from service.feeds.alerts.event_info import AlertEventInfo, alerts_link
    from service.feeds.alerts.transition import Change

    now = datetime.now(UTC)
    return AlertEventInfo(
        id=uuid.uuid4().hex,
        number=0,
        feed=feed.name,
        rule=rule.name,
        change=Change.RAISED,
        severity=rule.severity,
        title=f"Test of the rule {rule.name}, feed {feed.name}",
        message="This is a test of the channels. Nothing was raised.",
        reference_time=now,
        revision=0,
        occurred=now,
        test=True,
        links=[alerts_link(feed.name)],
    )


def _send(channel: str, event: AlertEventInfo, settings: Settings) -> Sent:
    from service.webhooks.delivery import NotDelivered
    from workers.alert_channels import kind_of, send_to_channel

    try:
        send_to_channel(channel, event, settings)
    except (NotDelivered, InputError) as error:
        return Sent(kind_of(channel), False, str(error))
    return Sent(kind_of(channel), True, "delivered")
