"""`echocast doctor`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import click

from service.doctor.access import check_access
from service.doctor.connections import check_broker, check_ledger, check_store, embedded_broker
from service.doctor.environment import check_feeds, current_environment, read_settings
from service.doctor.finding import Check, Finding, State, run_check, worst
from service.doctor.machine import check_disk, check_limits, check_temporary_folder
from service.doctor.processes import check_processes
from service.doctor.software import PROBE_SECONDS, check_device, check_packages, check_versions
from service.doctor.webhooks import check_webhooks
from service.settings import Settings

CHECKS: Final[Sequence[Check]] = (
    Check("feeds", check_feeds),
    Check("versions", check_versions),
    Check("ledger", check_ledger),
    Check("access", check_access),
    Check("webhooks", check_webhooks),
    Check("store", check_store),
    Check("packages", check_packages, seconds=300.0),
    Check("device", check_device, seconds=PROBE_SECONDS + 30),
    Check("disk", check_disk),
    Check("temporary folder", check_temporary_folder),
    Check("limits", check_limits),
)
"""What every installation has."""

QUEUE_CHECKS: Final[Sequence[Check]] = (Check("broker", check_broker), Check("workers", check_processes))
"""What needs a broker."""

COLOURS: Final[dict[State, str]] = {"ok": "green", "warning": "yellow", "bad": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check this installation, and say how to mend what is wrong.

    It changes nothing, and works while everything else is down. The exit code is 1 where something is bad.
    """
    findings: list[Finding] = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            _print(finding)
    state = worst(findings)
    if as_json:
        click.echo(json.dumps({"state": state, "findings": [finding._asdict() for finding in findings]}, indent=2))
    else:
        counts = {name: sum(finding.state == name for finding in findings) for name in COLOURS}
        click.echo(f"\n{counts['bad']} bad, {counts['warning']} warnings, {counts['ok']} ok")
    sys.exit(1 if state == "bad" else 0)


def examine() -> Iterator[Finding]:
    """Yield what each check finds, one after the other."""
    settings, found = read_settings(current_environment())
    yield from found
    for check in CHECKS:
        yield from run_check(check, settings)
    with_broker = _with_broker(settings)
    if with_broker is None:
        what = f"echocast serve does not run on {settings.data_dir}: broker, workers and beat are not checked"
        yield Finding("broker", "warning", what, "Start it, or set ECHOCAST_BROKER_URL")
        return
    for check in QUEUE_CHECKS:
        yield from run_check(check, with_broker)


def _with_broker(settings: Settings) -> Settings | None:
    return embedded_broker(settings) if settings.embedded else settings


def _print(finding: Finding) -> None:
    state = click.style(f"{finding.state:<8}", fg=COLOURS[finding.state])
    click.echo(f"{state} {finding.part:<16}  {finding.what}")
    if finding.hint:
        click.echo(f"{'':27}{finding.hint}")
