"""Copies of input files leave the store once nobody needs them, wherever a sweep was broken off."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection
from temporalio.testing import ActivityEnvironment

from activities.input_files import InputFileActivities
from adapters.local_store import LocalStore
from domain.errors import StorageUnavailable
from store import generations, input_files
from store.connection import Pool, open_pool, single
from tests.store.builders import CREDIT, an_account, an_admitted, cancellation
from tests.support.postgres import fresh_database

Conn = AsyncConnection[Any]
BODY = b"a picture"


class Shelf(LocalStore):
    """A folder that may refuse to remove some keys."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "http://files.example.com", b"key")
        self.stuck: set[str] = set()
        self.asked: list[str] = []

    async def delete(self, key: str) -> bool:
        self.asked.append(key)
        if key in self.stuck:
            raise StorageUnavailable("The object store refused.")
        return await super().delete(key)

    async def keep(self, key: str) -> None:
        digest = hashlib.sha256(BODY).hexdigest()
        await self.put_once(key, io.BytesIO(BODY), size_bytes=len(BODY), sha256=digest, content_type="image/png")


@pytest.fixture
async def own_pool() -> AsyncIterator[Pool]:
    """A sweep looks at the whole database."""
    pool = await open_pool(await fresh_database(), size_max=4)
    yield pool
    await pool.close()


@pytest.fixture
async def conn(own_pool: Pool) -> AsyncIterator[Conn]:
    async with single(own_pool) as conn:
        yield conn


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


async def copies_of(conn: Conn, shelf: Shelf, generation_id: str, count: int = 1) -> list[str]:
    keys = [f"inputs/{generation_id}/{number}.png" for number in range(count)]
    await input_files.announce(conn, generation_id, keys)
    for key in keys:
        await shelf.keep(key)
    return keys


async def of_an_ended_generation(conn: Conn, shelf: Shelf, count: int = 1) -> list[str]:
    account_id = await an_account(conn, credits=10)
    request = await an_admitted(conn, account_id, quote_microcredits=CREDIT)
    keys = await copies_of(conn, shelf, request.generation_id, count)
    await generations.finish(conn, cancellation(request))
    return keys


async def listed(conn: Conn) -> set[str]:
    cursor = await conn.execute("SELECT key FROM store.input_files")
    return {row[0] for row in await cursor.fetchall()}


async def sweep(pool: Pool, shelf: Shelf, after: str | None = None, *, page_rows: int = 100) -> str | None:
    steps = InputFileActivities(pool=pool, assets=shelf, page_rows=page_rows)
    answer: str | None = await ActivityEnvironment().run(steps.remove_input_files, after)
    return answer


async def test_copies_go_when_their_generation_has_ended(own_pool: Pool, conn: Conn, shelf: Shelf):
    keys = await of_an_ended_generation(conn, shelf, count=3)

    assert await sweep(own_pool, shelf) is None

    assert not any(shelf.path(key).exists() for key in keys)
    assert await listed(conn) == set()


async def test_copies_of_a_generation_under_way_stay_however_old(own_pool: Pool, conn: Conn, shelf: Shelf):
    request = await an_admitted(conn, await an_account(conn, credits=10), quote_microcredits=CREDIT)
    keys = await copies_of(conn, shelf, request.generation_id)
    await conn.execute("UPDATE store.input_files SET created_at = created_at - interval '7 days'")

    await sweep(own_pool, shelf)

    assert shelf.path(keys[0]).read_bytes() == BODY
    assert await listed(conn) == set(keys)


@pytest.mark.parametrize(("minutes", "stays"), [(59, True), (61, False)])
async def test_copies_for_a_generation_that_never_came_to_be_go_after_an_hour(
    own_pool: Pool, conn: Conn, shelf: Shelf, minutes: int, stays: bool
):
    (key,) = await copies_of(conn, shelf, str(uuid.uuid4()))
    await conn.execute("UPDATE store.input_files SET created_at = created_at - make_interval(mins => %s)", [minutes])

    await sweep(own_pool, shelf)

    assert shelf.path(key).exists() is stays
    assert (key in await listed(conn)) is stays


async def test_a_copy_that_was_announced_and_never_written_leaves_the_list(own_pool: Pool, conn: Conn, shelf: Shelf):
    (key,) = await of_an_ended_generation(conn, shelf)
    shelf.path(key).unlink()

    await sweep(own_pool, shelf)

    assert await listed(conn) == set()


async def test_a_sweep_goes_page_by_page(own_pool: Pool, conn: Conn, shelf: Shelf):
    keys = sorted(await of_an_ended_generation(conn, shelf, count=3) + await of_an_ended_generation(conn, shelf))

    after = await sweep(own_pool, shelf, page_rows=2)
    assert after == keys[1]
    assert await sweep(own_pool, shelf, after, page_rows=2) == keys[3]
    assert await sweep(own_pool, shelf, keys[3], page_rows=2) is None

    assert await listed(conn) == set()


async def test_a_copy_that_cannot_be_removed_hides_none_behind_it(own_pool: Pool, conn: Conn, shelf: Shelf):
    keys = sorted(await of_an_ended_generation(conn, shelf, count=3))
    shelf.stuck = {keys[0]}

    assert await sweep(own_pool, shelf) is None

    assert await listed(conn) == {keys[0]}
    shelf.stuck = set()
    await sweep(own_pool, shelf)
    assert await listed(conn) == set()


async def test_a_store_that_is_down_ends_the_sweep(own_pool: Pool, conn: Conn, shelf: Shelf):
    keys = [key for _ in range(5) for key in await of_an_ended_generation(conn, shelf, count=9)]
    shelf.stuck = set(keys)

    assert await sweep(own_pool, shelf) is None

    assert len(shelf.asked) == 16
    assert await listed(conn) == set(keys)
