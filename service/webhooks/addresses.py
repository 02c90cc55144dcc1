"""Which IP addresses are called: public ones; of listed private hosts, private and loopback ones too."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address

METADATA: Final = frozenset(
    map(
        ip_address,
        ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    )
)
"""Where clouds give credentials to whoever runs on their machines."""

NAT64: Final = IPv6Network("64:ff9b::/96")
OWN_NETWORKS: Final = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128"))
)
"""Private addresses (RFC 1918, RFC 4193) and loopback."""


def may_call(text: str, *, private: bool) -> bool:
    """Return whether an address may be called; `private`: of a host that may be in the operator's own network.

    Never: link-local, multicast, unspecified and reserved addresses, and those of the metadata of clouds.
    """
    address = _inner(ip_address(text))
    if address in METADATA:
        return False
    if private and any(address in network for network in OWN_NETWORKS if network.version == address.version):
        return True
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or site_local)


def _inner(address: Address) -> Address:
    """Return the IPv4 address to which packets for some IPv6 addresses go."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
