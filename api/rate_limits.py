"""The two request limits: an account's requests, and the failed authentications of one address."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request

from domain.errors import AuthenticationFailed, AuthRateLimited, RateLimitExceeded
from domain.limits import Ask, Counters, Limit, Standing
from domain.networks import holder_of
from domain.plans import Plans
from store.keys import KeyOwner

FAILED_AUTHENTICATIONS = Limit("authentication", 30)  # per minute and address
_NOBODYS = Limit("default", 60)


@dataclass(frozen=True)
class RateWindow:
    """What the headers about a limit say. `resets_at`: Unix seconds. `more_in_s`: until there is more than remains."""

    limit: Limit
    remaining: int
    resets_at: int
    more_in_s: int

    @classmethod
    def of(cls, standing: Standing) -> RateWindow:
        return cls(
            limit=standing.limit,
            remaining=standing.remaining,
            resets_at=math.ceil(standing.resets_ms / 1000),
            more_in_s=_seconds((standing.resets_ms if standing.remaining else standing.free_ms) - standing.now_ms),
        )

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The contract's trio; beside it what draft-ietf-httpapi-ratelimit-headers-11 (May 2026) calls them.

        That draft's `t` is never later than Retry-After: with nothing left both tell when there is room for one.
        """
        name, most, window_s = self.limit.name, self.limit.most, self.limit.window // timedelta(seconds=1)
        return [
            (b"x-ratelimit-limit", b"%d" % most),
            (b"x-ratelimit-remaining", b"%d" % self.remaining),
            (b"x-ratelimit-reset", b"%d" % self.resets_at),
            (b"ratelimit-policy", f'"{name}";q={most};w={window_s}'.encode()),
            (b"ratelimit", f'"{name}";r={self.remaining};t={self.more_in_s}'.encode()),
        ]


def window_of_nobody(now: float) -> RateWindow:
    """For a failure before the account is known: clients believe `Retry-After` only beside some trio."""
    window_s = _NOBODYS.window // timedelta(seconds=1)
    return RateWindow(_NOBODYS, remaining=_NOBODYS.most, resets_at=math.ceil(now) + window_s, more_in_s=window_s)


class RequestLimit:
    """The requests of an account, whichever of its keys they come with. The number is its plan's."""

    def __init__(self, plans: Plans) -> None:
        self._plans = plans
        self._limits = {
            identifier: Limit("default", plan.requests_per_minute) for identifier, plan in plans.by_identifier.items()
        }

    def ask(self, caller: KeyOwner, *, counted: bool) -> Ask:
        return Ask(self._limits[self._plans.of(caller.account_plan).identifier], caller.account_id, counted)

    def check(self, standing: Standing) -> None:
        """Raises RateLimitExceeded."""
        if not standing.fits:
            wait = _wait(standing)
            raise RateLimitExceeded(
                "Account request limit reached.",
                details={"retry_after_seconds": wait // timedelta(seconds=1), "limit": standing.limit.most},
                retry_after=wait,
            )


class AttemptLimit:
    """Failed authentications per source address, an IPv6 /64 being one: keys must not be tried out.

    What succeeds is not counted.
    """

    def __init__(self, counters: Counters, limit: Limit = FAILED_AUTHENTICATIONS) -> None:
        self._counters = counters
        self._limit = limit

    def ask(self, request: Request, *, counted: bool = False) -> Ask:
        return Ask(self._limit, holder_of(request.state.client_ip or "unknown"), counted)

    def check(self, request: Request, standing: Standing) -> None:
        """Raises AuthRateLimited, and then the answer carries this limit's window: no account is known."""
        if not standing.fits:
            request.state.rate_window = RateWindow.of(standing)
            raise AuthRateLimited("Too many failed authentications from your address.", retry_after=_wait(standing))

    @asynccontextmanager
    async def guarding(self, request: Request) -> AsyncIterator[None]:
        """Around an authentication. One that fails is counted; an address with too many is turned away before it.

        Raises AuthRateLimited.
        """
        self.check(request, await self._taken(self.ask(request)))
        try:
            yield
        except AuthenticationFailed:
            self.check(request, await self._taken(self.ask(request, counted=True)))
            raise

    async def _taken(self, ask: Ask) -> Standing:
        (standing,) = await self._counters.take([ask])
        return standing


def _wait(standing: Standing) -> timedelta:
    return timedelta(seconds=_seconds(standing.free_ms - standing.now_ms))


def _seconds(milliseconds: int) -> int:
    """Whole seconds, at least 1."""
    return max(1, math.ceil(milliseconds / 1000))
