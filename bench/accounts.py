"""Accounts with credits and keys, made directly in the store."""

from __future__ import annotations

import secrets
import uuid

from domain import keys
from domain.sealing import derive_key
from store import accounts, ledger
from store import keys as key_store
from store.connection import open_pool, transaction

CREDITS_MICROCREDITS = 1_000_000_000


async def open_accounts(environment: dict[str, str], count: int) -> list[str]:
    """The secrets of `count` full-access keys, one account each, on the plan with the widest limits."""
    pepper = derive_key(environment["BABYSEA_SECRET_KEY"], "api-keys")
    pool = await open_pool(environment["BABYSEA_DATABASE_URL"], size_max=2)
    made = []
    try:
        async with transaction(pool) as conn:
            for number in range(count):
                account = await accounts.create(conn, f"bench-{number}", plan="enterprise")
                await ledger.grant(
                    conn,
                    account_id=account.account_id,
                    amount=CREDITS_MICROCREDITS,
                    source=ledger.GrantSource.PROMOTION,
                    key=f"bench:{account.account_id}",
                )
                key = keys.mint(pepper, secrets.token_bytes(keys.RANDOM_BYTES))
                await key_store.insert(
                    conn,
                    key_store.ApiKeyRow(
                        api_key_id=str(uuid.uuid4()),
                        account_id=account.account_id,
                        name="bench",
                        prefix=key.prefix,
                        key_hash=key.key_hash,
                        scopes=[scope.value for scope in keys.PRESETS["full_access"]],
                        region=environment.get("BABYSEA_REGION", "us"),
                    ),
                )
                made.append(key.secret)
    finally:
        await pool.close()
    return made
