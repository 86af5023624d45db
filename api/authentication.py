"""Who is calling, and may they: rows 2 to 7 of the request pipeline, stopping at the first that fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import Request

from api.rate_limits import AttemptLimit, RateWindow, RequestLimit
from domain import keys
from domain.errors import (
    AccountNotFound,
    AuthenticationFailed,
    AuthenticationRequired,
    ControlPlaneError,
    InsufficientPermissions,
    IpNotAllowed,
)
from domain.keys import Scope
from domain.limits import Counters
from store import keys as key_records
from store.connection import Pool, single
from store.keys import KeyOwner

REMEMBERED_S = 1.0  # a revoked key works at most this much longer
REMEMBERED_MAX = 10_000
TOUCHED_EVERY_S = 60.0

log = logging.getLogger("babysea.api")


class Authenticator:
    """Finds the owner of a key with one store round trip, remembered for a second, and one to whoever counts."""

    def __init__(
        self,
        pool: Pool,
        *,
        pepper: bytes,
        region: str,
        counters: Counters,
        attempts: AttemptLimit,
        requests: RequestLimit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._pepper = pepper
        self._region = region
        self._counters = counters
        self._attempts = attempts
        self._requests = requests
        self._clock = clock
        self._remembered: dict[bytes, tuple[float, KeyOwner]] = {}
        self._touched: dict[str, float] = {}
        self._touching: set[asyncio.Task[None]] = set()

    async def identify(self, request: Request, scope: Scope) -> KeyOwner:
        """The caller, who may do this from there, with the request counted.

        Sets `request.state.caller` as soon as the key is verified, and `request.state.rate_window`. Raises
        AuthRateLimited, AuthenticationRequired, AuthenticationFailed (one answer for unknown, expired, revoked and
        foreign keys), AccountNotFound, IpNotAllowed, InsufficientPermissions, RateLimitExceeded, DatabaseUnavailable.
        """
        secret = _bearer(request)
        key_hash = keys.key_hash(self._pepper, secret) if keys.well_formed(secret) else None
        caller = self._known(key_hash)
        remembered = caller is not None
        if caller is None:
            async with self._attempts.guarding(request):
                caller = await self._authenticated(secret, key_hash)
        refusal = _refusal(caller, request.state.client_ip, scope)
        asks = [self._requests.ask(caller, counted=refusal is None)]
        if remembered:  # whether the address may authenticate at all is asked on the same way
            asks.insert(0, self._attempts.ask(request))
        standings = await self._counters.take(asks)
        if remembered:
            self._attempts.check(request, standings[0])
        request.state.caller = caller
        request.state.rate_window = RateWindow.of(standings[-1])
        if refusal is not None:
            raise refusal
        self._requests.check(standings[-1])
        self._touch(caller.api_key_id)
        return caller

    def forget(self) -> None:
        """Ask the database again for every key."""
        self._remembered.clear()

    async def close(self) -> None:
        """Wait for the last notes of use."""
        await asyncio.gather(*self._touching, return_exceptions=True)

    def _known(self, key_hash: bytes | None) -> KeyOwner | None:
        """The owner of a key that was verified within the last second and has not expired meanwhile."""
        verified_at, owner = self._remembered.get(key_hash or b"", (0.0, None))
        if owner is None or self._clock() - verified_at >= REMEMBERED_S or not self._authenticates(owner):
            return None
        return owner

    async def _authenticated(self, secret: str, key_hash: bytes | None) -> KeyOwner:
        """Raises AuthenticationRequired, AuthenticationFailed, DatabaseUnavailable."""
        if not secret:
            raise AuthenticationRequired("Send an API key as `Authorization: Bearer bye_...`.")
        owner = None if key_hash is None else await self._found(key_hash)
        if owner is None or not self._authenticates(owner):
            raise AuthenticationFailed("The API key is invalid, expired, revoked or belongs to another region.")
        return owner

    async def _found(self, key_hash: bytes) -> KeyOwner | None:
        asked_at = self._clock()
        async with single(self._pool) as conn:
            owner = await key_records.find(conn, key_hash)
        if owner is not None:
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[key_hash] = (asked_at, owner)
        return owner

    def _authenticates(self, owner: KeyOwner) -> bool:
        return keys.state(
            now=datetime.now(UTC),
            region=self._region,
            key_region=owner.region,
            expires_at=owner.expires_at,
            revoked_at=owner.revoked_at,
            rotated_at=owner.rotated_at,
        ).authenticates

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


def _bearer(request: Request) -> str:
    """What was sent as a key; empty when nothing was."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def _refusal(caller: KeyOwner, client_ip: str | None, scope: Scope) -> ControlPlaneError | None:
    """Why a verified key may not do this, in the order in which it is asked."""
    if caller.account_closed:
        return AccountNotFound("The account of this key does not exist any more.")
    if not keys.ip_allowed(caller.ip_allowlist, client_ip):
        return IpNotAllowed("This key may not be used from your address.")
    if scope not in caller.scopes:
        return InsufficientPermissions(f"This key lacks the scope {scope.value}.")
    return None
