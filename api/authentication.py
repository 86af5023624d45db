"""Who is calling: bearer key, its state, its region, its allowlist, its scope, its account's request limit."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from api.rate_limits import RateLimiter, RateWindow, limit_of
from domain import keys
from domain.errors import (
    AuthenticationFailed,
    AuthenticationRequired,
    ControlPlaneError,
    InsufficientPermissions,
    IpNotAllowed,
)
from domain.keys import KeyState, Scope
from store import keys as key_records
from store.connection import Pool, single
from store.keys import KeyOwner

REMEMBERED_S = 1.0  # a revoked key works at most this much longer
REMEMBERED_MAX = 10_000
TOUCHED_EVERY_S = 60.0

log = logging.getLogger("babysea.api")


class Authenticator:
    """Finds the owner of a key with one store round trip, remembered for a second."""

    def __init__(
        self,
        pool: Pool,
        *,
        pepper: bytes,
        region: str,
        limiter: RateLimiter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._pepper = pepper
        self._region = region
        self._limiter = limiter
        self._clock = clock
        self._remembered: dict[bytes, tuple[float, KeyOwner]] = {}
        self._touched: dict[str, float] = {}
        self._touching: set[asyncio.Task[None]] = set()

    async def identify(self, authorization: str | None, client_ip: str | None, scope: Scope) -> KeyOwner:
        """The caller, who may do this from there. Unknown, expired, revoked and foreign keys get one answer.

        Raises AuthenticationRequired, AuthenticationFailed, IpNotAllowed, InsufficientPermissions, DatabaseUnavailable.
        """
        owner = await self._owner(_bearer(authorization))
        key_state = keys.state(
            now=datetime.now(UTC),
            region=self._region,
            key_region=owner.region,
            expires_at=owner.expires_at,
            revoked_at=owner.revoked_at,
        )
        if key_state is not KeyState.ACTIVE:
            raise _refused()
        if not keys.ip_allowed(owner.ip_allowlist, client_ip):
            raise IpNotAllowed("This key may not be used from your address.")
        if scope not in owner.scopes:
            raise InsufficientPermissions(f"This key lacks the scope {scope.value}.")
        self._touch(owner.api_key_id)
        return owner

    def count(self, owner: KeyOwner) -> RateWindow:
        """Count the request against the account. Raises RateLimitExceeded."""
        return self._limiter.hit(owner.account_id, limit_of(owner.account_plan))

    def exhausted(self, owner: KeyOwner) -> RateWindow:
        return self._limiter.exhausted(limit_of(owner.account_plan))

    def forget(self) -> None:
        """Ask the database again for every key."""
        self._remembered.clear()

    async def close(self) -> None:
        """Wait for the last notes of use."""
        await asyncio.gather(*self._touching, return_exceptions=True)

    async def _owner(self, secret: str) -> KeyOwner:
        if not keys.well_formed(secret):
            raise _refused()
        key_hash = keys.key_hash(self._pepper, secret)
        now = self._clock()
        remembered = self._remembered.get(key_hash)
        if remembered is not None and now - remembered[0] < REMEMBERED_S:
            return remembered[1]
        async with single(self._pool) as conn:
            owner = await key_records.find(conn, key_hash)
        if owner is None:
            raise _refused()
        if len(self._remembered) >= REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[key_hash] = (now, owner)
        return owner

    def _touch(self, api_key_id: str) -> None:
        """Note the use, once a minute and beside the request: a note that is lost costs nothing."""
        now = self._clock()
        if now - self._touched.get(api_key_id, -TOUCHED_EVERY_S) < TOUCHED_EVERY_S:
            return
        if len(self._touched) >= REMEMBERED_MAX:
            self._touched.clear()
        self._touched[api_key_id] = now
        note = asyncio.create_task(self._note_use(api_key_id))
        self._touching.add(note)
        note.add_done_callback(self._touching.discard)

    async def _note_use(self, api_key_id: str) -> None:
        try:
            async with single(self._pool) as conn:
                await key_records.touch(conn, api_key_id)
        except ControlPlaneError:
            log.warning("key_use_not_noted key=%s", api_key_id)


def _bearer(authorization: str | None) -> str:
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise AuthenticationRequired("Send an API key as `Authorization: Bearer bye_...`.")
    return secret.strip()


def _refused() -> AuthenticationFailed:
    return AuthenticationFailed("The API key is invalid, expired, revoked or belongs to another region.")
