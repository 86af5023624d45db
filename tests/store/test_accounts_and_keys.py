"""Accounts and API keys."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection, errors

from domain.errors import AccountNotFound, InvalidInput
from store import accounts, keys
from store.keys import ApiKeyRow
from tests.store.builders import an_account, standing

Conn = AsyncConnection[Any]


def a_key(account_id: str, **changes: Any) -> ApiKeyRow:
    facts: dict[str, Any] = {
        "api_key_id": str(uuid.uuid4()),
        "account_id": account_id,
        "name": "production",
        "prefix": "bye_abcde",
        "key_hash": hashlib.sha256(uuid.uuid4().bytes).digest(),
        "scopes": ["generation:write", "generation:read"],
        "region": "us",
    } | changes
    return ApiKeyRow(**facts)


async def test_an_account_begins_with_an_empty_ledger(conn: Conn) -> None:
    name = f"acme {uuid.uuid4()}"

    account = await accounts.create(conn, name, email="ops@acme.example", plan="pro", is_personal=False)

    assert (account.name, account.email, account.plan) == (name, "ops@acme.example", "pro")
    assert (account.frozen, account.is_personal) == (False, False)
    assert await accounts.get(conn, account.account_id) == account
    assert await accounts.by_name(conn, name) == account
    assert await standing(conn, account.account_id) == (0, 0, 0)


async def test_a_name_is_given_once(conn: Conn) -> None:
    name = f"acme {uuid.uuid4()}"
    await accounts.create(conn, name)

    with pytest.raises(InvalidInput):
        await accounts.create(conn, name)


async def test_an_unknown_account_is_not_found(conn: Conn) -> None:
    nobody = str(uuid.uuid4())

    assert await accounts.get(conn, nobody) is None
    assert await accounts.by_name(conn, nobody) is None
    with pytest.raises(AccountNotFound):
        await accounts.set_frozen(conn, nobody, frozen=True)


async def test_a_key_is_found_by_its_hash_together_with_its_account(conn: Conn, account_id: str) -> None:
    expires = datetime.now(UTC) + timedelta(days=30)
    key = a_key(account_id, ip_allowlist=["192.0.2.1", "2001:db8::/32"], expires_at=expires)
    await keys.insert(conn, key)
    await accounts.set_frozen(conn, account_id, frozen=True)

    owner = await keys.find(conn, key.key_hash)

    account = await accounts.get(conn, account_id)
    assert owner is not None
    assert account is not None
    assert (owner.api_key_id, owner.account_id, owner.account_name) == (key.api_key_id, account_id, account.name)
    assert (owner.scopes, owner.ip_allowlist, owner.expires_at) == (key.scopes, key.ip_allowlist, expires)
    assert (owner.account_plan, owner.account_frozen) == ("free", True)
    assert (owner.revoked_at, owner.last_used_at) == (None, None)
    assert await keys.of_account(conn, account_id) == [owner]


async def test_an_unknown_hash_finds_nothing(conn: Conn) -> None:
    assert await keys.find(conn, b"\x00" * 32) is None


async def test_a_use_is_noted_at_most_once_a_minute(conn: Conn, account_id: str) -> None:
    key = a_key(account_id)
    await keys.insert(conn, key)

    await keys.touch(conn, key.api_key_id)
    first = await keys.find(conn, key.key_hash)
    await keys.touch(conn, key.api_key_id)

    assert first is not None
    assert first.last_used_at is not None
    assert await keys.find(conn, key.key_hash) == first


async def test_a_key_is_revoked_once(conn: Conn, account_id: str) -> None:
    key = a_key(account_id)
    await keys.insert(conn, key)

    assert [await keys.revoke(conn, key.api_key_id) for _ in range(2)] == [True, False]
    owner = await keys.find(conn, key.key_hash)
    assert owner is not None
    assert owner.revoked_at is not None


async def test_two_keys_never_share_a_hash(conn: Conn, account_id: str) -> None:
    key = a_key(account_id)
    await keys.insert(conn, key)

    with pytest.raises(errors.UniqueViolation):
        await keys.insert(conn, a_key(await an_account(conn), key_hash=key.key_hash))
