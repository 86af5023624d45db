"""Accounts and API keys."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection, errors

from domain.errors import AccountNotFound, ResourceNotFound, StateConflict
from store import accounts, keys
from store.connection import Pool, transaction
from store.keys import ApiKeyRow, KeyOwner, Successor
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


def a_successor() -> Successor:
    return Successor(str(uuid.uuid4()), "bye_fghij", hashlib.sha256(uuid.uuid4().bytes).digest())


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

    with pytest.raises(StateConflict):
        await accounts.create(conn, name)


async def test_an_unknown_account_is_not_found(conn: Conn) -> None:
    nobody = str(uuid.uuid4())

    assert await accounts.get(conn, nobody) is None
    assert await accounts.by_name(conn, nobody) is None


async def test_a_key_is_found_by_its_hash_together_with_its_account(conn: Conn, account_id: str) -> None:
    expires = datetime.now(UTC) + timedelta(days=30)
    key = a_key(account_id, ip_allowlist=["192.0.2.1", "2001:db8::/32"], expires_at=expires)
    await keys.insert(conn, key)

    owner = await keys.find(conn, key.key_hash)

    assert owner is not None
    assert (owner.api_key_id, owner.account_id) == (key.api_key_id, account_id)
    assert (owner.scopes, owner.ip_allowlist, owner.expires_at) == (key.scopes, key.ip_allowlist, expires)
    assert (owner.account_plan, owner.account_closed) == ("free", False)
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

    await keys.revoke(conn, key.api_key_id)

    owner = await keys.find(conn, key.key_hash)
    assert owner is not None
    assert owner.revoked_at is not None
    with pytest.raises(StateConflict):
        await keys.revoke(conn, key.api_key_id)


async def test_a_deleted_key_leaves_nothing(conn: Conn, account_id: str) -> None:
    key = a_key(account_id)
    await keys.insert(conn, key)

    await keys.delete(conn, key.api_key_id)

    assert await keys.find(conn, key.key_hash) is None
    with pytest.raises(ResourceNotFound):
        await keys.delete(conn, key.api_key_id)


@pytest.mark.parametrize("change", [keys.get, keys.revoke, keys.delete])
async def test_a_key_of_another_account_is_not_there(conn: Conn, account_id: str, change: Any) -> None:
    key = a_key(account_id)
    await keys.insert(conn, key)
    stranger = await an_account(conn)

    with pytest.raises(ResourceNotFound):
        await change(conn, key.api_key_id, account_id=stranger)
    with pytest.raises(ResourceNotFound):
        await keys.rotate(conn, key.api_key_id, a_successor(), account_id=stranger)

    owner = await keys.get(conn, key.api_key_id, account_id=account_id)
    assert (owner.revoked_at, owner.rotated_at) == (None, None)


async def test_a_key_belongs_to_an_account_that_exists(conn: Conn) -> None:
    with pytest.raises(AccountNotFound):
        await keys.insert(conn, a_key(str(uuid.uuid4())))


async def test_two_keys_never_share_a_hash(conn: Conn, account_id: str) -> None:
    key = a_key(account_id)
    await keys.insert(conn, key)

    with pytest.raises(errors.UniqueViolation):
        await keys.insert(conn, a_key(await an_account(conn), key_hash=key.key_hash))


# --- rotation -----------------------------------------------------------------------------------------------------

GRACE = timedelta(hours=24)


async def test_a_successor_may_do_what_the_old_key_may(conn: Conn, account_id: str) -> None:
    key, successor = a_key(account_id, ip_allowlist=["192.0.2.0/24"], region="eu"), a_successor()
    await keys.insert(conn, key)

    made = await keys.rotate(conn, key.api_key_id, successor, grace=GRACE)

    assert made == await keys.find(conn, successor.key_hash)
    assert (made.api_key_id, made.prefix, made.account_id) == (successor.api_key_id, "bye_fghij", account_id)
    assert (made.name, made.scopes, made.ip_allowlist) == (key.name, key.scopes, key.ip_allowlist)
    assert (made.region, made.expires_at, made.rotated_at, made.revoked_at) == ("eu", None, None, None)


def a_while(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("old_lives_h", "old_ends_h", "new_lives_h"),
    [
        pytest.param(None, 24, None, id="without an end: the old one ends with the grace period"),
        pytest.param(1, 1, None, id="ending within the grace period: no longer for that; the new one has no end"),
        pytest.param(100, 24, 100, id="ending after it: the new one inherits the end"),
    ],
)
async def test_section_3_5_when_the_two_keys_of_a_rotation_end(
    conn: Conn, account_id: str, old_lives_h: int | None, old_ends_h: int, new_lives_h: int | None
) -> None:
    key = a_key(account_id, expires_at=None if old_lives_h is None else a_while(old_lives_h))
    await keys.insert(conn, key)

    new = await keys.rotate(conn, key.api_key_id, a_successor(), grace=GRACE)

    old = await keys.get(conn, key.api_key_id)
    assert old.rotated_at is not None
    assert old.expires_at is not None
    assert abs(old.expires_at - a_while(old_ends_h)) < timedelta(minutes=5)
    assert new.expires_at == (None if new_lives_h is None else key.expires_at)


async def rotated(conn: Conn, key: ApiKeyRow) -> None:
    await keys.rotate(conn, key.api_key_id, a_successor())


async def revoked(conn: Conn, key: ApiKeyRow) -> None:
    await keys.revoke(conn, key.api_key_id)


async def expired(conn: Conn, key: ApiKeyRow) -> None:
    await conn.execute("UPDATE store.api_keys SET expires_at = now() WHERE api_key_id = %s", [key.api_key_id])


@pytest.mark.parametrize("ended", [rotated, revoked, expired])
async def test_section_3_5_only_an_active_key_is_rotated(conn: Conn, account_id: str, ended: Any) -> None:
    key, successor = a_key(account_id), a_successor()
    await keys.insert(conn, key)
    await ended(conn, key)

    with pytest.raises(StateConflict) as refused:
        await keys.rotate(conn, key.api_key_id, successor)

    assert refused.value.details == {"state": ended.__name__}
    assert await keys.find(conn, successor.key_hash) is None


async def test_of_many_rotations_of_one_key_at_once_exactly_one_wins(
    shared_pool: Pool, conn: Conn, account_id: str
) -> None:
    key = a_key(account_id)
    await keys.insert(conn, key)

    async def rotate() -> KeyOwner | StateConflict:
        try:
            async with transaction(shared_pool) as own:
                return await keys.rotate(own, key.api_key_id, a_successor())
        except StateConflict as conflict:
            return conflict

    answers = await asyncio.gather(*(rotate() for _ in range(8)))

    (won,) = [answer for answer in answers if isinstance(answer, KeyOwner)]
    kept = await keys.of_account(conn, account_id)
    assert [row.api_key_id for row in kept] == [key.api_key_id, won.api_key_id]
