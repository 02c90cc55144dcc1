"""Addresses that clients name to be called: those whose host and port are on the operator's list."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from model.core.errors import InputError
from service.settings import Settings

MAX_CHARACTERS: Final = 1000
DEFAULT_PORTS: Final = {"https": 443, "http": 80}
FIELD: Final = "callback_url"


class CallbackRefused(InputError):
    """The service does not call this address."""

    code = "callback-refused"


@dataclass(frozen=True)
class Callback:
    """An address that may be called. `private`: its host may be in the operator's own network."""

    scheme: str
    host: str
    port: int
    target: str
    private: bool

    @property
    def origin(self) -> str:
        """The origin of the address."""
        return f"{self.scheme}://{self.host_header}"

    @property
    def host_header(self) -> str:
        """The value of the header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True)
class PermittedHosts:
    """Hosts that may be called: by https; and those of the own network, by http and at private addresses too.

    `setting`: the variable in which the operator lists them. `field`: what names the address in a request.
    """

    hosts: list[str]
    private_hosts: list[str]
    setting: str
    field: str


def parse_callback(url: str, settings: Settings) -> Callback:
    """Return the address of a webhook, parsed once: nothing reads the text again when it is called.

    Raises
    ------
    CallbackRefused
        Webhooks are off, or the address is not one that the settings permit.
    """
    if not settings.webhooks:
        hint = "Leave callback_url out, and follow the status or its events"
        raise CallbackRefused("this service has no webhooks", where=FIELD, hint=hint)
    permitted = PermittedHosts(
        settings.webhook_host_list, settings.private_webhook_host_list, "ECHOCAST_WEBHOOK_HOSTS", FIELD
    )
    return parse_address(url, permitted)


def parse_address(url: str, permitted: PermittedHosts) -> Callback:
    """Return an address that may be called.

    Raises
    ------
    CallbackRefused
        It may not.
    """

    def refused(what: str, hint: str) -> CallbackRefused:
        return CallbackRefused(what, where=permitted.field, hint=hint)

    if len(url) > MAX_CHARACTERS or not re.fullmatch(r"[!-~]+", url) or "\\" in url:
        raise refused(
            f"not a URL of at most {MAX_CHARACTERS} printable ASCII characters",
            "Percent-encode other characters, and write other names of hosts in Punycode",
        )
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise refused(f"not a URL: {error}", "Give an address such as https://example.org/rain") from None
    host = parts.hostname or ""
    if parts.username is not None or parts.password is not None:
        raise refused("it holds a user name or a password", "Verify the signature to know who calls")
    if parts.fragment or url.endswith("#"):
        raise refused("it has a fragment, which is never sent", "Leave out # and what follows")
    private = _listed(host, port, parts.scheme, permitted.private_hosts)
    if parts.scheme != "https" and not (parts.scheme == "http" and private):
        raise refused("it is not https", "Give an https address")
    if not private and not _listed(host, port, parts.scheme, permitted.hosts):
        raise refused(
            f"host {host[:100]!r} with port {port} is not on the list of this service",
            f"The operator lists hosts in {permitted.setting}, with the port where it is not 443",
        )
    return Callback(parts.scheme, host, port, urlunsplit(("", "", parts.path or "/", parts.query, "")), private)


def _listed(host: str, port: int, scheme: str, entries: Iterable[str]) -> bool:
    for entry in entries:
        listed = urlsplit(f"//{entry}")
        name = listed.hostname or ""
        first, _, rest = host.partition(".")
        same = host == name or (name.startswith("*.") and first and rest == name[2:])
        if same and port == (listed.port or DEFAULT_PORTS.get(scheme)):
            return True
    return False
