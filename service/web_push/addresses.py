"""Addresses of push services that browsers name."""

from __future__ import annotations

from service.settings import Settings
from service.webhooks.callback_url import Callback, PermittedHosts, parse_address

FIELD = "subscription.endpoint"


def parse_endpoint(endpoint: str, settings: Settings) -> Callback:
    """Return the address of a browser's push service.

    Raises
    ------
    CallbackRefused
        It is not one that the settings permit.
    """
    permitted = PermittedHosts(settings.push_host_list, settings.private_push_host_list, "ECHOCAST_PUSH_HOSTS", FIELD)
    return parse_address(endpoint, permitted)
