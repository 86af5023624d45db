"""API keys: how one is made, what it may do, and when it stops working. The clock and the randomness are arguments."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.errors import InvalidInput
from domain.networks import address_of, contains, network_of

KEY_PREFIX = "bye_"
RANDOM_BYTES = 32
DISPLAY_PREFIX_LENGTH = 9  # `bye_` and five characters: shown in lists, not enough to find a key by
ALLOWLIST_MAX = 50
NAME_CHARACTERS_MAX = 100
GRACE_MIN, GRACE_DEFAULT, GRACE_MAX = timedelta(hours=1), timedelta(hours=24), timedelta(hours=168)
_WELL_FORMED = re.compile(r"bye_[A-Za-z0-9_-]{16,128}\Z")


class Scope(StrEnum):
    """What a key may do; each route names exactly one."""

    GENERATION_WRITE = "generation:write"
    GENERATION_READ = "generation:read"
    GENERATION_DELETE = "generation:delete"  # cancel and delete
    ACCOUNT_READ = "account:read"
    HEALTH_READ = "health:read"
    LIBRARY_READ = "library:read"
    BILLING_WRITE = "billing:write"  # buy credits; in no preset: the published ones stay as they are


PRESETS: Mapping[str, tuple[Scope, ...]] = {
    "full_access": tuple(scope for scope in Scope if scope is not Scope.BILLING_WRITE),
    "generate_only": (Scope.GENERATION_WRITE, Scope.GENERATION_READ, Scope.LIBRARY_READ),
    "read_only": (Scope.GENERATION_READ, Scope.ACCOUNT_READ, Scope.HEALTH_READ, Scope.LIBRARY_READ),
    "monitor_only": (Scope.HEALTH_READ, Scope.LIBRARY_READ),
}


class KeyState(StrEnum):
    ACTIVE = "active"
    ROTATED = "rotated"  # has a successor, and works until its grace period ends
    EXPIRED = "expired"
    REVOKED = "revoked"
    FOREIGN = "foreign"  # belongs to another region

    @property
    def authenticates(self) -> bool:
        return self in {KeyState.ACTIVE, KeyState.ROTATED}


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
    *,
    now: datetime,
    region: str,
    key_region: str,
    expires_at: datetime | None,
    revoked_at: datetime | None,
    rotated_at: datetime | None = None,
) -> KeyState:
    """A key stops at the very moment it expires; that of a rotated one is the end of its grace period at the latest."""
    if key_region != region:
        return KeyState.FOREIGN
    if revoked_at is not None:
        return KeyState.REVOKED
    if expires_at is not None and expires_at <= now:
        return KeyState.EXPIRED
    return KeyState.ACTIVE if rotated_at is None else KeyState.ROTATED


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
            network = network_of(entry)
        except ValueError:
            raise InvalidInput(
                f"{entry!r} is neither an IP address nor a CIDR block.", details={"field": "ip_allowlist"}
            ) from None
        text = str(network.network_address) if network.num_addresses == 1 else str(network)
        if text not in normal:
            normal.append(text)
    return normal


def ip_allowed(allowlist: Sequence[str], client_ip: str | None) -> bool:
    """An empty list allows everyone."""
    if not allowlist:
        return True
    address = address_of(client_ip or "")
    return address is not None and contains(map(network_of, allowlist), address)


def key_name(text: str) -> str:
    """What a key is called, without space around it. Raises InvalidInput."""
    name = text.strip()
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX or not name.isprintable():
        raise InvalidInput(
            f"A key's name has 1 to {NAME_CHARACTERS_MAX} printable characters.", details={"field": "name"}
        )
    return name


def grace_of(hours: int) -> timedelta:
    """How long a rotated key goes on working. Raises InvalidInput."""
    if not GRACE_MIN <= timedelta(hours=hours) <= GRACE_MAX:
        raise InvalidInput("The grace period of a rotation is 1 to 168 hours.", details={"field": "grace_hours"})
    return timedelta(hours=hours)


def expiry_after_rotation(expires_at: datetime | None, grace_ends_at: datetime) -> datetime | None:
    """Of the new key: the old one's, when it lies beyond the grace period, else none."""
    return expires_at if expires_at is not None and expires_at > grace_ends_at else None
