"""Accounts as the command line handles them: named by their name, made when first named."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from cli import derived_keys
from cli.errors import CommandFailed
from domain import keys as key_rules
from settings import Settings
from store import accounts, keys
from store.accounts import Account


async def account_named(conn: AsyncConnection[Any], name: str) -> Account:
    """Raises CommandFailed when there is none."""
    account = await accounts.by_name(conn, name)
    if account is None:
        raise CommandFailed(f"There is no account {name!r}. `babysea keys create --account {name}` makes one.")
    return account


async def account_named_or_made(conn: AsyncConnection[Any], name: str, *, plan: str = "free") -> Account:
    return await accounts.by_name(conn, name) or await accounts.create(conn, name, plan=plan)


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
    minted = key_rules.mint(derived_keys.api_keys(settings), os.urandom(key_rules.RANDOM_BYTES))
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
