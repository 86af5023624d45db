"""What the attempts of the last minutes say of their providers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection

from domain.breaker import AttemptOutcome
from store import sql

_QUERIES = sql.load("provider_health")


async def outcomes(
    conn: AsyncConnection[Any], *, within: timedelta, longest: timedelta
) -> Mapping[str, Sequence[AttemptOutcome]]:
    """By provider, oldest first, those that ended within this time. One that ran longer than `longest` is not found."""
    found: defaultdict[str, list[AttemptOutcome]] = defaultdict(list)
    cursor = await conn.execute(_QUERIES["outcomes"], {"within": within, "longest": longest})
    for provider, age, succeeded in await cursor.fetchall():
        found[provider].append(AttemptOutcome(age, succeeded))
    return found
