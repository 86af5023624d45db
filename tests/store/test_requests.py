"""The request log (contract section 14) and the counts that outlive it."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import InternalError
from store import keys, requests
from store.connection import Pool, single, transaction
from store.keys import ApiKeyRow
from store.requests import Entry
from tests.store.builders import an_account

NOW = time.time()


async def a_key(conn: AsyncConnection[Any], account_id: str) -> str:
    key_id = str(uuid.uuid4())
    row = ApiKeyRow(key_id, account_id, "worker", "bye_Qk7Zd", uuid.uuid4().bytes * 2, ["account:read"], "us")
    await keys.insert(conn, row)
    return key_id


def an_entry(account_id: str, key_id: str, **changes: Any) -> Entry:
    facts: dict[str, Any] = {
        "came_at": NOW,
        "request_id": f"req_{uuid.uuid4().hex}",
        "key_state": "active",
        "method": "GET",
        "path": "/v1/status",
        "endpoint": "/v1/status",
        "query": None,
        "status": 200,
        "code": None,
        "replayed": False,
        "client_ip_hash": "ab" * 32,
        "user_agent": "babysea-node/1.4.6 (node/20.11.1)",
        "sdk_name": "babysea-node",
        "sdk_version": "1.4.6",
        "sdk_runtime": "node",
        "sdk_runtime_version": "20.11.1",
        "duration_ms": 3,
    } | changes
    return Entry(account_id=account_id, api_key_id=key_id, **facts)


def a_writer() -> str:
    return str(uuid.uuid4())


async def counts(conn: AsyncConnection[Any], account_id: str) -> list[tuple[str, int, str, int]]:
    cursor = await conn.execute(
        "SELECT endpoint, status, code, sum(requests)::bigint FROM store.request_stats WHERE account_id = %s"
        " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        [account_id],
    )
    return await cursor.fetchall()


async def paths(conn: AsyncConnection[Any], account_id: str, **asked: Any) -> list[str]:
    return [row.path for row in await requests.page(conn, account_id, **{"limit": 500, **asked})]


async def test_a_batch_writes_its_rows_and_its_counts(conn: AsyncConnection[Any], account_id: str):
    key_id = await a_key(conn, account_id)
    told = an_entry(account_id, key_id, query="days=7", status=429, code="BSE1005", replayed=True, key_state="rotated")

    await requests.add(conn, a_writer(), 1, [told, an_entry(account_id, key_id, came_at=NOW - 1)])

    newest, oldest = await requests.page(conn, account_id, limit=500)
    assert (newest.key_name, newest.key_prefix) == ("worker", "bye_Qk7Zd")
    kept = {name: getattr(newest, name) for name in Entry._fields if hasattr(newest, name)}
    assert kept == {name: value for name, value in told._asdict().items() if name in kept}
    assert newest.occurred_at.timestamp() == pytest.approx(NOW, abs=1e-5)
    assert oldest.code is None
    assert await counts(conn, account_id) == [("/v1/status", 200, "", 1), ("/v1/status", 429, "BSE1005", 1)]


async def test_a_batch_whose_answer_was_lost_is_sent_again_and_counts_once(conn: AsyncConnection[Any], account_id: str):
    key_id, writer = await a_key(conn, account_id), a_writer()
    batch = [an_entry(account_id, key_id)]

    await requests.add(conn, writer, 1, batch)
    await requests.add(conn, writer, 1, batch)
    await requests.add(conn, writer, 2, [an_entry(account_id, key_id)])

    assert await counts(conn, account_id) == [("/v1/status", 200, "", 2)]
    assert len(await paths(conn, account_id)) == 2


async def test_counts_of_one_hour_add_up_and_hours_stay_apart(conn: AsyncConnection[Any], account_id: str):
    key_id = await a_key(conn, account_id)
    hour = 1_767_225_600  # 2026-01-01T00:00:00Z

    for batch, came_at in enumerate([hour, hour + 3_599.9, hour + 3_600], start=1):
        await requests.add(conn, a_writer(), batch, [an_entry(account_id, key_id, came_at=came_at)])

    cursor = await conn.execute(
        "SELECT extract(epoch FROM hour)::bigint, requests FROM store.request_stats WHERE account_id = %s ORDER BY 1",
        [account_id],
    )
    assert await cursor.fetchall() == [(hour, 2), (hour + 3_600, 1)]


async def test_pages_follow_each_other_newest_first_without_gap_or_repeat(conn: AsyncConnection[Any], account_id: str):
    key_id = await a_key(conn, account_id)
    moments = [NOW, NOW, NOW, NOW - 1, NOW - 2]  # three of one moment: the number tells them apart
    entries = [an_entry(account_id, key_id, came_at=at, path=f"/{n}") for n, at in enumerate(moments)]
    await requests.add(conn, a_writer(), 1, entries)

    walked: list[str] = []
    before = None
    while rows := await requests.page(conn, account_id, limit=2, before=before):
        walked += [row.path for row in rows]
        before = rows[-1].position

    assert walked == ["/2", "/1", "/0", "/3", "/4"]


async def test_a_page_is_of_one_account_and_has_at_most_five_hundred_rows(conn: AsyncConnection[Any], account_id: str):
    other = await an_account(conn)
    key_id, foreign = await a_key(conn, account_id), await a_key(conn, other)
    await requests.add(conn, a_writer(), 1, [an_entry(account_id, key_id) for _ in range(501)])
    await requests.add(conn, a_writer(), 1, [an_entry(other, foreign, path="/other")])

    rows = await requests.page(conn, account_id, limit=10_000)

    assert (len(rows), {row.path for row in rows}) == (500, {"/v1/status"})


async def test_section_3_5_the_deletion_of_a_key_removes_its_rows_and_not_the_counts(
    conn: AsyncConnection[Any], account_id: str
):
    deleted, kept = await a_key(conn, account_id), await a_key(conn, account_id)
    for batch, key_id in enumerate([deleted, kept], start=1):
        await requests.add(conn, a_writer(), batch, [an_entry(account_id, key_id, path=f"/{key_id}")])

    await conn.execute("DELETE FROM store.api_keys WHERE api_key_id = %s", [deleted])
    await requests.add(conn, a_writer(), 1, [an_entry(account_id, deleted)])  # noted before, written after

    assert await paths(conn, account_id) == [f"/{kept}"]
    cursor = await conn.execute("SELECT count(*) FROM store.request_log WHERE api_key_id = %s", [deleted])
    assert await cursor.fetchone() == (0,)
    assert await counts(conn, account_id) == [("/v1/status", 200, "", 3)]


async def test_section_3_5_a_key_with_very_many_rows_is_forgotten_in_parts(conn: AsyncConnection[Any], account_id: str):
    key_id = await a_key(conn, account_id)
    await requests.add(conn, a_writer(), 1, [an_entry(account_id, key_id) for _ in range(5)])

    cursor = await conn.execute(
        "SELECT store.forget_requests(%(key)s::uuid, 2), store.forget_requests(%(key)s::uuid, 2),"
        " store.forget_requests(%(key)s::uuid, 2)",
        {"key": key_id},
    )

    assert await cursor.fetchone() == (False, False, True)
    assert await paths(conn, account_id) == []


async def test_section_3_5_what_is_left_of_a_deleted_key_is_removed_later(conn: AsyncConnection[Any], account_id: str):
    deleted, kept = await a_key(conn, account_id), await a_key(conn, account_id)
    for key_id in (deleted, kept):
        await requests.add(conn, a_writer(), 1, [an_entry(account_id, key_id)])
    await conn.execute("INSERT INTO store.forgotten_keys (api_key_id) VALUES (%s)", [deleted])

    await requests.forget_deleted_keys(conn)

    cursor = await conn.execute("SELECT api_key_id::text FROM store.request_log WHERE account_id = %s", [account_id])
    assert await cursor.fetchall() == [(kept,)]
    cursor = await conn.execute("SELECT FROM store.forgotten_keys WHERE api_key_id = %s", [deleted])
    assert await cursor.fetchone() is None


async def test_a_key_that_is_deleted_while_its_requests_are_written_leaves_no_row(
    shared_pool: Pool, conn: AsyncConnection[Any], account_id: str
):
    key_id = await a_key(conn, account_id)

    async with transaction(shared_pool) as deleting:
        await deleting.execute("DELETE FROM store.api_keys WHERE api_key_id = %s", [key_id])
        writing = asyncio.create_task(requests.add(conn, a_writer(), 1, [an_entry(account_id, key_id)]))
        await blocked(deleting, conn.info.backend_pid)
    await writing

    assert await paths(conn, account_id) == []
    assert await counts(conn, account_id) == [("/v1/status", 200, "", 1)]


async def test_two_writers_of_the_same_counts_in_opposite_order_do_not_deadlock(shared_pool: Pool):
    async with single(shared_pool) as conn:
        accounts = [await an_account(conn) for _ in range(8)]
        keys_of = {account_id: await a_key(conn, account_id) for account_id in accounts}
    entries = [
        an_entry(account_id, keys_of[account_id], endpoint=f"/v1/{endpoint}", status=status)
        for account_id in accounts
        for endpoint in range(4)
        for status in (200, 404)
    ]

    async def write(order: list[Entry]) -> None:
        writer = a_writer()
        async with single(shared_pool) as conn:
            for batch in range(1, 21):
                await requests.add(conn, writer, batch, order)

    async with asyncio.TaskGroup() as writers:
        for order in (entries, entries[::-1], entries[::2] + entries[1::2]):
            writers.create_task(write(order))

    async with single(shared_pool) as conn:
        found = await conn.execute(
            "SELECT DISTINCT requests FROM store.request_stats WHERE account_id = ANY (%s::uuid[])", [accounts]
        )
        assert await found.fetchall() == [(60,)]


async def test_what_the_database_cannot_hold_is_named_and_writes_nothing(conn: AsyncConnection[Any], account_id: str):
    key_id = await a_key(conn, account_id)

    with pytest.raises(InternalError):
        await requests.add(conn, a_writer(), 1, [an_entry(account_id, key_id, path="nul \x00")])

    assert await counts(conn, account_id) == []


async def test_writers_that_are_gone_are_forgotten_and_the_others_are_not(own_pool: Pool):
    async with single(own_pool) as conn:
        account_id = await an_account(conn)
        gone, idle = a_writer(), a_writer()
        for writer in (gone, idle):
            await requests.add(conn, writer, 1, [an_entry(account_id, await a_key(conn, account_id))])
        await conn.execute(
            "UPDATE store.request_log_writers SET written_at = written_at - interval '25 hours' WHERE writer_id = %s",
            [gone],
        )

        await requests.forget_writers(conn)

        cursor = await conn.execute("SELECT writer_id::text FROM store.request_log_writers")
        assert await cursor.fetchall() == [(idle,)]


async def blocked(watching: AsyncConnection[Any], backend: int) -> None:
    """Until that backend waits for a lock."""
    async with asyncio.timeout(10):
        while True:
            cursor = await watching.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [backend])
            if await cursor.fetchone() == (True,):
                return
