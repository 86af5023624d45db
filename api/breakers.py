"""The circuit breakers: what the attempts of the last minutes, of all accounts, say of each provider."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection

from domain.breaker import ProviderHealth, ProviderStatus, Thresholds, health_of
from store import provider_health

# How long an attempt may go on after its deadline: adopting, last look, outages.
BEYOND_DEADLINE = timedelta(minutes=10)


@dataclass(frozen=True)
class Breakers:
    providers: Collection[str]
    deadline: timedelta  # the longest that an attempt may have
    reorder: bool = True  # False: they are shown, and no order follows them
    thresholds: Thresholds = field(default_factory=Thresholds)

    async def health(self, conn: AsyncConnection[Any]) -> dict[str, ProviderHealth]:
        """Of each provider, tried or not."""
        outcomes = await provider_health.outcomes(
            conn, within=2 * self.thresholds.window, longest=self.deadline + BEYOND_DEADLINE
        )
        return {name: health_of(outcomes.get(name, ()), self.thresholds) for name in self.providers}

    async def open(self, conn: AsyncConnection[Any]) -> set[str]:
        """The providers that are not to be tried first. One that is being tried again is not among them."""
        if not self.reorder:
            return set()
        health = await self.health(conn)
        return {name for name, found in health.items() if found.status is ProviderStatus.DEGRADED}
