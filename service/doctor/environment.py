"""The variables `ECHOCAST_*`: values that cannot be used, and names that are no setting."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from model.core.errors import first_line
from model.core.settings import ENVIRONMENT
from service.doctor.finding import Finding
from service.feeds.feeds_file import read_feeds
from service.settings import Settings

PART: Final = "settings"
PREFIX: Final = str(ENVIRONMENT["env_prefix"])
OF_PROGRAMS: Final = frozenset({"ECHOCAST_DEBUG", "ECHOCAST_REAL_DATA"})
"""Variables that are read by one program each, and are no settings of the service."""


def read_settings(environment: Mapping[str, str]) -> tuple[Settings, list[Finding]]:
    """Return the settings, with the default in place of each bad value, and what is wrong with the variables."""
    findings = _unknown(environment)
    defaults: dict[str, object] = {}
    settings: Settings | None = None
    while settings is None:
        try:
            settings = Settings(**defaults)  # type: ignore[arg-type]
        except ValidationError as error:
            problems = [problem for problem in error.errors() if problem["loc"]]
            for problem in problems:
                name = str(problem["loc"][0])
                findings.append(_bad_value(name, str(problem["input"]), problem["msg"]))
                defaults[name] = _default(name)
            if not problems:  # a rule that joins several settings
                findings.append(Finding(PART, "bad", first_line(error), "Correct the settings that it names"))
                settings = Settings.model_construct(None, **{name: _default(name) for name in Settings.model_fields})
    if not findings:
        count = sum(name in _names() for name in environment)
        what = f"{count} of {len(Settings.model_fields)} settings are set in the environment"
        findings.append(Finding(PART, "ok", what))
    return settings, findings


def check_feeds(settings: Settings) -> list[Finding]:
    """Check the file of feeds."""
    feeds = read_feeds(settings.feeds_path)
    bad = [Finding("feeds", "bad", f"{p['where']}: {p['what']}", p["hint"]) for p in feeds.problems]
    if bad or not settings.feeds_path.is_file():
        return bad or [Finding("feeds", "ok", "no feeds")]
    return [Finding("feeds", "ok", f"{len(feeds.feeds)} in {settings.feeds_path}")]


def _names() -> list[str]:
    return [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]


def _unknown(environment: Mapping[str, str]) -> list[Finding]:
    """Return the variables with the prefix that are no setting: bad where one may be misspelt, as it has no effect."""
    known = {*_names(), *OF_PROGRAMS}
    findings = []
    for name in sorted(environment):
        if not name.upper().startswith(PREFIX) or name.upper() in known:
            continue
        near = difflib.get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.8)
        what = f"{name} is no setting, and has no effect"
        hint = f"Did you mean {near[0]}?" if near else "Remove it; docs/settings.md lists the settings"
        findings.append(Finding(PART, "bad" if near else "warning", what, hint))
    return findings


def _default(name: str) -> object:
    return Settings.model_fields[name].get_default(call_default_factory=True)


def _bad_value(name: str, value: str, message: str) -> Finding:
    return Finding(PART, "bad", f"{PREFIX}{name.upper()} is {value!r}: {message}", _hint(name, value))


def _hint(name: str, value: str) -> str:
    if name in ("port", "host") and value.startswith("tcp://"):
        return "Kubernetes sets it for a Service of the name echocast: set enableServiceLinks: false in the pod"
    return f"Correct it, or leave it out: {Settings.model_fields[name].description}"


def current_environment() -> dict[str, str]:
    """Return the variables of this process that are not empty."""
    return {name: value for name, value in os.environ.items() if value}
