"""Accounts as the command line handles them: named by their name, made when first named."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from cli.errors import CommandFailed
from domain import keys as key_rules
from domain.sealing import Keys
from settings import Settings
from store import accounts, keys, ledger
from store.accounts import Account


async def account_named(conn: AsyncConnection[Any], name: str) -> Account:
    """Raises CommandFailed when there is none."""
    account = await accounts.by_name(conn, name)
    if account is None:
        raise CommandFailed(f"There is no account {name!r}. `babysea keys create --account {name}` makes one.")
    return account


async def account_named_or_made(conn: AsyncConnection[Any], name: str, *, plan: str = "free") -> Account:
    return await accounts.by_name(conn, name) or await accounts.create(conn, name, plan=plan)


async def account_with_credits(
    conn: AsyncConnection[Any], name: str, *, plan: str, microcredits: int, reason: str
) -> Account:
    """Make the account, and grant the credits: once for a reason, however often this is repeated."""
    account = await account_named_or_made(conn, name, plan=plan)
    await ledger.grant(
        conn,
        account_id=account.account_id,
        amount=microcredits,
        source=ledger.GrantSource.PROMOTION,
        key=f"{reason}/{account.account_id}",
    )
    return account


async def make_key(
    conn: AsyncConnection[Any],
    settings: Settings,
    account: Account,
    *,
    scopes: list[str],
    name: str,
    expires_in: timedelta | None = None,
    ip_allowlist: list[str] | None = None,
) -> tuple[keys.ApiKeyRow, str]:
    """The stored row, and the key itself, which is kept nowhere. Raises InvalidInput."""
    derived = Keys.derived_from(settings.secret_key.get_secret_value())
    minted = key_rules.mint(derived.api_keys, os.urandom(key_rules.RANDOM_BYTES))
    now = datetime.now(UTC)
    row = keys.ApiKeyRow(
        api_key_id=str(uuid.uuid4()),
        account_id=account.account_id,
        name=name,
        prefix=minted.prefix,
        key_hash=minted.key_hash,
        scopes=[scope.value for scope in key_rules.scopes_of(scopes)],
        region=settings.region,
        ip_allowlist=key_rules.normal_allowlist(ip_allowlist or []),
        expires_at=now + expires_in if expires_in else None,
    )
    await keys.insert(conn, row)
    return row, minted.secret
