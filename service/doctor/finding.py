"""Findings of the checks, and a run of the checks that nothing stops."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from model.core.errors import InputError, first_line
from service.settings import Settings

State = Literal["ok", "warning", "bad"]
STATES: Final[Sequence[State]] = ("ok", "warning", "bad")
"""From the best to the worst."""

CHECK_SECONDS: Final = 30.0
"""How long a check may take: clients of object stores repeat a failing request for minutes."""


class Finding(NamedTuple):
    """What one check found in one part of the installation, and a hint at the way out where it is not ok."""

    part: str
    state: State
    what: str
    hint: str = ""


class Check(NamedTuple):
    """A check of one part; `run` may raise, and may hang."""

    part: str
    run: Callable[[Settings], Iterable[Finding]]
    seconds: float = CHECK_SECONDS


def run_check(check: Check, settings: Settings) -> list[Finding]:
    """Run a check; an error or a check that takes too long is a finding, too. Passwords are left out."""
    findings: list[Finding] = []

    def run() -> None:
        try:
            for finding in check.run(settings):
                findings.append(finding)
        except InputError as error:
            findings.append(Finding(check.part, "bad", str(error)))
        except Exception as error:
            findings.append(Finding(check.part, "bad", describe(error), "Mend what the message names"))

    thread = threading.Thread(target=run, name=check.part, daemon=True)
    thread.start()
    thread.join(check.seconds)
    found = list(findings)
    if thread.is_alive():
        what = f"no answer within {check.seconds:g} s"
        found.append(Finding(check.part, "bad", what, "Check address, network and credentials"))
    secrets = _passwords(settings)
    return [finding._replace(what=_redact(finding.what, secrets)) for finding in found]


def worst(findings: Iterable[Finding]) -> State:
    """Return the worst state; ok without findings."""
    return max((finding.state for finding in findings), key=STATES.index, default="ok")


def describe(error: BaseException) -> str:
    """Return the kind of an error and the first line of its text."""
    line = first_line(error)
    return line if line == type(error).__name__ else f"{type(error).__name__}: {line}"


def _passwords(settings: Settings) -> list[str]:
    found: set[str] = set()
    for url in (settings.broker_url, settings.database_url, settings.store_url):
        if url and (match := re.search(r"://[^/@]*:([^@]*)@", url)):
            found.update((match[1], unquote(match[1])))
    return [secret for secret in found if secret]


def _redact(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def host_of(url: str) -> str:
    """Return the host, or the socket, of a URL, without user and password."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.hostname}{port}" if parts.hostname else parts.path
