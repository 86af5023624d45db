"""Accounts with credits and keys, made directly in the store."""

from __future__ import annotations

from dataclasses import dataclass

from cli.accounts import account_with_credits, make_key
from cli.deployment import settings_of
from store.connection import open_pool, transaction

CREDITS_MICROCREDITS = 1_000_000_000


@dataclass(frozen=True)
class BenchAccount:
    account_id: str
    key: str  # the secret of a full-access key


async def open_accounts(environment: dict[str, str], count: int, *, name: str = "bench") -> list[BenchAccount]:
    """Accounts named `name`-0 and so on, each with credits and a key."""
    settings = settings_of(environment)
    pool = await open_pool(settings.database_url.get_secret_value(), size_max=2)
    made = []
    try:
        async with transaction(pool) as conn:
            for number in range(count):
                account = await account_with_credits(
                    conn, f"{name}-{number}", plan="enterprise", microcredits=CREDITS_MICROCREDITS, reason="bench"
                )
                _, key = await make_key(conn, settings, account, scopes=["full_access"], name="bench")
                made.append(BenchAccount(account.account_id, key))
    finally:
        await pool.close()
    return made
