"""Webhooks: whether the hosts that may be called have addresses that are called."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from service.doctor.finding import Finding
from service.settings import Settings
from service.webhooks.addresses import may_call
from service.webhooks.delivery import resolve


def check_webhooks(settings: Settings) -> Iterator[Finding]:
    """Check each listed host; settings that contradict each other are findings of their own."""
    public, private = settings.webhook_host_list, settings.private_webhook_host_list
    listed = dict.fromkeys(public, False) | dict.fromkeys(private, True)
    if not listed:
        yield Finding("webhooks", "ok", "off, as ECHOCAST_WEBHOOK_HOSTS is not set")
        return
    called = 0
    for entry, is_private in listed.items():
        finding = None if entry.startswith("*.") else _host(entry, private=is_private)
        called += finding is None
        if finding is not None:
            yield finding
    if called:
        yield Finding("webhooks", "ok", f"signed, to {called} of {len(listed)} listed hosts")


def _host(entry: str, *, private: bool) -> Finding | None:
    """Return what is wrong with a listed host; None where it can be called."""
    parts = urlsplit(f"//{entry}")
    try:
        addresses = resolve(parts.hostname or "", parts.port or 443)
    except (OSError, UnicodeError) as error:
        hint = "Check the name, and the DNS of this machine: workers resolve it for each call"
        return Finding("webhooks", "warning", f"no address is known for {entry}: {error}", hint)
    refused = [address for address in addresses if not may_call(address, private=private)]
    if not refused:
        return None
    hint = "Such an address is never called: correct the name's addresses, or take it off the list"
    if not private and all(may_call(address, private=True) for address in refused):
        hint = "List hosts of the own network in ECHOCAST_WEBHOOK_PRIVATE_HOSTS"
    return Finding("webhooks", "bad", f"{entry} has addresses that are not called: {', '.join(refused)}", hint)
