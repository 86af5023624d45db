"""Accounts with credits and keys, made directly in the store."""

from __future__ import annotations

from cli.accounts import account_with_credits, make_key
from cli.deployment import settings_of
from store.connection import open_pool, transaction

CREDITS_MICROCREDITS = 1_000_000_000


async def open_accounts(environment: dict[str, str], count: int) -> list[str]:
    """The secrets of `count` full-access keys, one account each, on the plan with the widest limits."""
    settings = settings_of(environment)
    pool = await open_pool(settings.database_url.get_secret_value(), size_max=2)
    made = []
    try:
        async with transaction(pool) as conn:
            for number in range(count):
                account = await account_with_credits(
                    conn, f"bench-{number}", plan="enterprise", microcredits=CREDITS_MICROCREDITS, reason="bench"
                )
                _, key = await make_key(conn, settings, account, scopes=["full_access"], name="bench")
                made.append(key)
    finally:
        await pool.close()
    return made
