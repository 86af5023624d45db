"""What an account has used: requests from the hourly counts, generations and attempts from records and archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from domain.errors import AccountNotFound
from store import sql

_QUERIES = sql.load("usage")


@dataclass(frozen=True)
class EndpointUsage:
    """Requests to one route. `codes`: how often each BSE code was the answer."""

    endpoint: str
    requests: int
    success: int  # 2xx
    client_errors: int  # 4xx
    server_errors: int  # 5xx
    codes: Mapping[str, int]


@dataclass(frozen=True)
class ProviderUsage:
    """Attempts at one provider; those that have not ended are in `submissions` only."""

    provider: str
    submissions: int
    used: int
    canceled: int
    discarded: int
    failed: int
    cost_microcredits: int  # what the provider charges, or is expected to
    wasted_microcredits: int  # of that, for what ended unused


@dataclass(frozen=True)
class Usage:
    balance_microcredits: int  # spendable
    generations: int
    endpoints: list[EndpointUsage]  # by name, as the providers
    providers: list[ProviderUsage]


async def of_account(conn: AsyncConnection[Any], account_id: str, *, days: int) -> Usage:
    """Since the full hour in which the last `days` times 24 hours began. One statement. Raises AccountNotFound."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_QUERIES["of_account"], {"account_id": account_id, "days": days})
        row = await cursor.fetchone()
    if row is None or row["balance_microcredits"] is None:
        raise AccountNotFound("There is no such account.")
    return Usage(
        balance_microcredits=row["balance_microcredits"],
        generations=row["generations"],
        endpoints=[EndpointUsage(**endpoint) for endpoint in row["endpoints"]],
        providers=[ProviderUsage(**provider) for provider in row["providers"]],
    )
