"""API keys: how one is made, what it may do, and when it stops working. The clock and the randomness are arguments."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.errors import InvalidInput

KEY_PREFIX = "bye_"
RANDOM_BYTES = 32
DISPLAY_PREFIX_LENGTH = 9  # `bye_` and five characters: shown in lists, not enough to find a key by
ALLOWLIST_MAX = 50
_WELL_FORMED = re.compile(r"bye_[A-Za-z0-9_-]{16,128}\Z")


class Scope(StrEnum):
    """What a key may do; each route names exactly one."""

    GENERATION_WRITE = "generation:write"
    GENERATION_READ = "generation:read"
    GENERATION_DELETE = "generation:delete"  # cancel and delete
    ACCOUNT_READ = "account:read"
    HEALTH_READ = "health:read"
    LIBRARY_READ = "library:read"


PRESETS: Mapping[str, tuple[Scope, ...]] = {
    "full_access": tuple(Scope),
    "generate_only": (Scope.GENERATION_WRITE, Scope.GENERATION_READ, Scope.LIBRARY_READ),
    "read_only": (Scope.GENERATION_READ, Scope.ACCOUNT_READ, Scope.HEALTH_READ, Scope.LIBRARY_READ),
    "monitor_only": (Scope.HEALTH_READ, Scope.LIBRARY_READ),
}


class KeyState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    FOREIGN = "foreign"  # belongs to another region


@dataclass(frozen=True)
class MintedKey:
    """A new key. `secret` is shown once and kept nowhere; the other two are stored."""

    secret: str
    prefix: str
    key_hash: bytes


def mint(pepper: bytes, random: bytes) -> MintedKey:
    """Make a key from 32 random bytes."""
    assert len(random) == RANDOM_BYTES
    secret = KEY_PREFIX + base64.urlsafe_b64encode(random).rstrip(b"=").decode()
    return MintedKey(secret=secret, prefix=secret[:DISPLAY_PREFIX_LENGTH], key_hash=key_hash(pepper, secret))


def well_formed(secret: str) -> bool:
    """Whether this could be a key at all; anything else needs no look-up."""
    return _WELL_FORMED.match(secret) is not None


def key_hash(pepper: bytes, secret: str) -> bytes:
    """What is stored and looked up. Keyed, so that neither a stolen table nor timing tells anything about a key."""
    return hmac.new(pepper, secret.encode(), hashlib.sha256).digest()


def state(
    *, now: datetime, region: str, key_region: str, expires_at: datetime | None, revoked_at: datetime | None
) -> KeyState:
    """Only an active key authenticates. A key stops at the very moment it expires."""
    if key_region != region:
        return KeyState.FOREIGN
    if revoked_at is not None:
        return KeyState.REVOKED
    if expires_at is not None and expires_at <= now:
        return KeyState.EXPIRED
    return KeyState.ACTIVE


def scopes_of(names: Iterable[str]) -> tuple[Scope, ...]:
    """Read scope names or the name of a preset, in the order of `Scope`. Raises InvalidInput."""
    wanted: set[Scope] = set()
    for name in names:
        if name in PRESETS:
            wanted.update(PRESETS[name])
            continue
        try:
            wanted.add(Scope(name))
        except ValueError:
            known = ", ".join([*PRESETS, *Scope])
            raise InvalidInput(
                f"{name!r} is neither a scope nor a preset; known are {known}.", details={"field": "scopes"}
            ) from None
    if not wanted:
        raise InvalidInput("A key needs at least one scope.", details={"field": "scopes"})
    return tuple(scope for scope in Scope if scope in wanted)


def normal_allowlist(entries: Sequence[str]) -> list[str]:
    """Addresses and CIDR blocks in one spelling, as they are stored. Raises InvalidInput."""
    if len(entries) > ALLOWLIST_MAX:
        raise InvalidInput(f"An allowlist has at most {ALLOWLIST_MAX} entries.", details={"field": "ip_allowlist"})
    normal: list[str] = []
    for entry in entries:
        try:
            network = _folded_network(ipaddress.ip_network(entry.strip(), strict=False))
        except ValueError:
            raise InvalidInput(
                f"{entry!r} is neither an IP address nor a CIDR block.", details={"field": "ip_allowlist"}
            ) from None
        text = str(network.network_address) if network.num_addresses == 1 else str(network)
        if text not in normal:
            normal.append(text)
    return normal


def ip_allowed(allowlist: Sequence[str], client_ip: str | None) -> bool:
    """An empty list allows everyone. IPv4-mapped IPv6 addresses count as the IPv4 address that they carry."""
    if not allowlist:
        return True
    if client_ip is None:
        return False
    try:
        address = _folded_address(ipaddress.ip_address(client_ip.partition("%")[0]))
    except ValueError:
        return False
    return any(address in _folded_network(ipaddress.ip_network(entry, strict=False)) for entry in allowlist)


def _folded_address(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _folded_network(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """`::ffff:192.0.2.0/120` is `192.0.2.0/24`."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        carried = network.network_address.ipv4_mapped
        if carried is not None:
            return ipaddress.IPv4Network((carried, network.prefixlen - 96))
    return network
