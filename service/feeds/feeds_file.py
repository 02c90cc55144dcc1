"""Reads the file of feeds; what is wrong in it is named with its line, and does not stop the other feeds."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.core.errors import InputError
from model.core.forecast_output import FIELDS
from service.feeds.alerts.rule import AlertRule
from service.feeds.config import Feed
from service.feeds.products import PRODUCTS
from service.feeds.toml_lines import line_of
from service.jobs.job import Problem, problem_of


class BadFeed(InputError):
    """The file of feeds, or one feed, cannot be used."""

    code = "bad-feed"


@dataclass
class Feeds:
    """The valid feeds, and the problems of the others."""

    feeds: list[Feed] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def find(self, name: str) -> Feed | None:
        """Return the feed of that name, if there is one."""
        return next((feed for feed in self.feeds if feed.name == name), None)


def read_feeds(path: Path, *, check_folders: bool = True) -> Feeds:
    """Read the feeds of a TOML file, if it exists. A bad feed becomes a problem and does not stop the others.

    `check_folders`: whether this process needs the feeds' folders, so that one that is missing is a problem.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except FileNotFoundError:
        return Feeds()
    except (OSError, UnicodeDecodeError) as error:
        return _only(BadFeed(f"it cannot be read ({error})", where=str(path), hint="Make it a readable file"))
    except tomllib.TOMLDecodeError as error:
        return _only(BadFeed(f"it is not TOML: {error}", where=str(path), hint="Correct that line"))
    unknown = (f"unknown key {key!r}" for key in document.keys() - {"feed"})
    hint = "Feeds are tables [[feed]]"
    found = Feeds(problems=[problem_of(BadFeed(what, where=str(path), hint=hint)) for what in unknown])
    tables = document.get("feed", [])
    if not isinstance(tables, list):
        return _only(BadFeed("feed is not a list of tables", where=str(path), hint="Write [[feed]], not [feed]"))
    for number, table in enumerate(tables):
        try:
            feed = _feed(_Table(path, text, number, table), check_folders=check_folders)
            if any(feed.name == other.name for other in found.feeds):
                raise BadFeed(
                    f"two feeds are called {feed.name!r}", where=f"{path}: feed.name", hint="Give each its own name"
                )
        except BadFeed as error:
            found.problems.append(problem_of(error))
        else:
            found.feeds.append(feed)
    return found


@dataclass(frozen=True)
class _Table:
    """The table of one feed, with its position among those of the file."""

    path: Path
    text: str
    number: int
    values: Any

    def where(self, *keys: str | int) -> str:
        """Return the place of a key, such as "feeds.toml:12: feed 'north', alert 'town', within"."""
        line = line_of(self.text, ("feed", self.number, *keys))
        parts, values = [f"feed {_label(self.values, self.number)}"], self.values
        if keys[:1] == ("alert",) and len(keys) > 1 and isinstance(keys[1], int):
            parts.append(f"alert {_label(values['alert'][keys[1]], keys[1])}")
            keys = keys[2:]
        parts += [str(key) for key in keys[:1]]
        return f"{self.path}{'' if line is None else f':{line}'}: {', '.join(parts)}"

    def keys_of(self, where: str) -> Sequence[str | int]:
        """Return the keys of a place that an error names: a key, or "alert 'town', within"."""
        rule = re.fullmatch(r"alert '([^']+)'(?:, (\w+))?", where)
        if rule is None:
            return [where] if where else []
        names = [values.get("name") if isinstance(values, dict) else None for values in self.values["alert"]]
        last = len(names) - 1 - names[::-1].index(rule[1])
        return ["alert", last, *([rule[2]] if rule[2] else [])]


def _label(values: object, number: int) -> str:
    return repr(values["name"]) if isinstance(values, dict) and "name" in values else str(number + 1)


def _feed(table: _Table, *, check_folders: bool) -> Feed:
    try:
        feed = Feed.model_validate(table.values)
        _ = feed.forecast_output
    except InputError as error:
        where = table.where(*table.keys_of(error.where))
        raise BadFeed(error.what, where=where, hint=error.hint) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise _bad_value(first["type"], first["msg"], first["loc"], table.where(*first["loc"])) from None
    base = table.path.absolute().parent
    feed = feed.model_copy(
        update={
            "folder": None if feed.folder is None else base / feed.folder.expanduser(),
            "out": None if feed.out is None else base / feed.out.expanduser(),
            "archive": None if feed.archive is None else base / feed.archive.expanduser(),
            "gauges": None if feed.gauges is None else base / feed.gauges.expanduser(),
            "alert": tuple(rule.relative_to(base) for rule in feed.alert),
        }
    )
    for key, folder in (("folder", feed.folder), ("out", feed.out)):
        if check_folders and folder is not None and not folder.is_dir():
            raise BadFeed(
                f"{folder} is not a folder", where=table.where(key), hint="Make the folder, or correct its path"
            )
    return feed


def _bad_value(kind: str, message: str, keys: tuple[str | int, ...], where: str) -> BadFeed:
    of_alert = keys[:1] == ("alert",)
    if kind == "extra_forbidden":
        known = AlertRule.model_fields if of_alert else Feed.model_fields
        return BadFeed("unknown key", where=where, hint=f"The keys are {', '.join(known)}")
    if kind == "missing":
        hint = "Each rule needs a name, and what it watches" if of_alert else "Each feed needs a name and a source"
        return BadFeed("this key is missing", where=where, hint=hint)
    if kind == "value_error" and "two ways" in message:
        return BadFeed(message.removeprefix("Value error, "), where=where, hint="Give one of them")
    if kind == "value_error" and "one source" in message:
        hint = "Give folder, url, push = true, or a table [feed.mqtt]"
        return BadFeed(message.removeprefix("Value error, "), where=where, hint=hint)
    if kind == "value_error" and "retention" in message:
        hint = "retention is in days, max_age in minutes"
        return BadFeed(message.removeprefix("Value error, "), where=where, hint=hint)
    if keys[:1] == ("products",):
        return BadFeed(message, where=where, hint=f"Choose from {', '.join(PRODUCTS)}")
    if keys == ("field",):
        return BadFeed(message, where=where, hint=f"Choose one of {', '.join(FIELDS)}, or leave it out")
    return BadFeed(message.removeprefix("Value error, "), where=where, hint="Correct the value")


def _only(error: BadFeed) -> Feeds:
    return Feeds(problems=[problem_of(error)])
