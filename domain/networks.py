"""IP addresses and blocks of them, compared as what they are. An IPv4-mapped IPv6 one counts as the IPv4 it carries."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=1_000)
def address_of(text: str) -> Address | None:
    """Read one address, without its zone. None for anything else."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=1_000)
def holder_of(text: str) -> str:
    """Whom an address belongs to, as far as can be told: an IPv6 host has a whole /64 to choose its address from."""
    address = address_of(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return text


def network_of(text: str) -> Network:
    """Read an address or a CIDR block; `::ffff:192.0.2.0/120` is `192.0.2.0/24`. Raises ValueError."""
    network = ipaddress.ip_network(text.strip(), strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        carried = network.network_address.ipv4_mapped
        if carried is not None:
            return ipaddress.IPv4Network((carried, network.prefixlen - 96))
    return network


def networks_of(text: str) -> tuple[Network, ...]:
    """A comma-separated list of them. Raises ValueError."""
    return tuple(network_of(part) for part in text.split(",") if part.strip())


def contains(networks: Iterable[Network], address: Address) -> bool:
    return any(address in network for network in networks)
