"""kill -9 of the database in a stream of operations: nothing is half done, and a retry finds its answer."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.errors import DatabaseUnavailable
from domain.generation import GenerationStatus
from embedded.postgres import EmbeddedPostgres, EmbeddedPostgresFailed
from store import attempts, generations, ledger
from store.connection import Pool, open_pool, single, transaction
from store.migrate import migrate
from tests.store.builders import CREDIT, a_job, a_work_id, an_account, an_intent, cancellation, standing, success
from tests.support.requests import a_request

STREAMS = 6
KILLS = 2


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="bs-") as root:
        server = EmbeddedPostgres(Path(root) / "pg")
        yield server
        server.stop()


def kill(server: EmbeddedPostgres) -> None:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


async def patiently(pool: Pool, step: object, *arguments: object) -> object:
    """As an activity does: again, with the same ids, until the database answers."""
    async with asyncio.timeout(60):
        while True:
            try:
                async with transaction(pool) as conn:
                    return await step(conn, *arguments)  # type: ignore[operator]
            except DatabaseUnavailable:
                await asyncio.sleep(0.02)


async def stream(pool: Pool, account_id: str, stop: asyncio.Event, walked: list[str]) -> None:
    """Whole generations, one after the other, every second one canceled. A slot that leaked would refuse the next."""
    job = a_job()
    while not stop.is_set():
        request = a_request(account_id=account_id, in_flight_max=STREAMS)
        intent = an_intent(request)
        await patiently(pool, generations.admit, request)
        await patiently(pool, attempts.begin, intent)
        await patiently(pool, attempts.accepted, intent.attempt_id, type(job)(request.generation_id))
        outcome = success(request) if len(walked) % 2 else cancellation(request)
        finished = await patiently(pool, generations.finish, outcome)
        assert finished.status is outcome.status  # type: ignore[attr-defined]
        walked.append(request.generation_id)


async def test_a_killed_database_loses_nothing_and_doubles_nothing(server: EmbeddedPostgres) -> None:
    """K2, K7, K10."""
    url = server.start()
    migrate(url)
    pool = await open_pool(url, size_max=STREAMS)
    pool.timeout = 1
    async with single(pool) as conn:
        account_id = await an_account(conn, credits=1_000)
    stop, walked = asyncio.Event(), list[str]()
    streams = [asyncio.create_task(stream(pool, account_id, stop, walked)) for _ in range(STREAMS)]

    async with asyncio.timeout(60):
        await kill_in_between(server, streams, walked)
        stop.set()
        await asyncio.gather(*streams)

    async with single(pool) as conn:
        assert await ledger.check(conn) == []
        ended = await conn.execute(
            "SELECT count(*), bool_and(completed_at IS NOT NULL), coalesce(sum(settled_microcredits), 0)"
            "  FROM store.generations WHERE account_id = %s",
            [account_id],
        )
        total, all_ended, charged = await ended.fetchone() or (0, False, 0)
        available, held, debt = await standing(conn, account_id)
    await pool.close()
    assert total == len(walked)
    assert all_ended
    assert (available, held, debt) == (1_000 * CREDIT - charged, 0, 0)


async def kill_in_between(server: EmbeddedPostgres, streams: list[asyncio.Task[None]], walked: list[str]) -> None:
    for _ in range(KILLS):
        await under_way(streams, walked)
        kill(server)
        server.start()


async def under_way(streams: list[asyncio.Task[None]], walked: list[str]) -> None:
    """Until some more generations have ended; others are in the middle then. A stream that broke ends the wait."""
    enough = len(walked) + 25
    while len(walked) < enough:
        broken, _ = await asyncio.wait(streams, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)
        if broken:
            return


@pytest.fixture
def books() -> Iterator[Books]:
    """An account that is busy, on a server that flushes only what a commit waits for."""
    with tempfile.TemporaryDirectory(prefix="bs-") as root:
        server = EmbeddedPostgres(Path(root) / "pg", settings={"fsync": "off"})  # kills lose nothing that was written
        books = Books(server)
        books.start()
        yield books
        books.kill()


class Books:
    account_id = "00000000-0000-4000-8000-000000000001"

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        migrate(server.start())
        with psycopg.connect(server.url, autocommit=True) as conn:
            conn.execute("INSERT INTO store.accounts (account_id, name) VALUES (%s, 'busy')", [self.account_id])
            conn.execute("SELECT ledger.grant_credits(%s, 100, 'payment', 'paid', NULL)", [self.account_id])
        server.stop()

    def start(self) -> None:
        """Start, stop the process that flushes behind everybody's back, and make the account busy."""
        self.conn = psycopg.connect(self.server.start(), autocommit=True)
        (self.walwriter,) = self._one("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
        os.kill(self.walwriter, signal.SIGSTOP)
        for _ in range(6):
            self.reserve(a_work_id())

    def kill(self) -> None:
        kill(self.server)
        os.kill(self.walwriter, signal.SIGKILL)
        self.conn.close()

    def reserve(self, work_id: str) -> str:
        """As whoever promises no flush afterwards."""
        return str(self._one("SELECT ledger.reserve(%s, %s, 1, 1, 'p', now())", self.account_id, work_id)[0])

    async def reserve_and_flush(self, work_id: str) -> str:
        async with self.connected() as conn:
            return await ledger.reserve(
                conn,
                account_id=self.account_id,
                work_id=work_id,
                amount=1,
                price_version="p",
                expires_at=datetime.now(UTC),
            )

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        async with await psycopg.AsyncConnection.connect(self.server.url, autocommit=True) as conn:
            yield conn

    def reserve_and_die_before_the_flush(self, work_id: str) -> None:
        """What that does until its first commit."""
        with self.conn.transaction():
            self._one("SELECT set_config('ledger.flushes_after', 'on', true)")
            assert self.reserve(work_id) == "held"

    def settle_and_die_before_the_flush(self, work_id: str) -> None:
        with self.conn.transaction():
            self._one("SELECT set_config('ledger.flushes_after', 'on', true)")
            assert self._one("SELECT ledger.settle(%s, %s, 1, 1)", self.account_id, work_id) == ("settled",)

    def release(self, work_id: str) -> str:
        return str(self._one("SELECT ledger.release(%s, %s, 1, 'late')", self.account_id, work_id)[0])

    def _one(self, query: str, *parameters: object) -> tuple[Any, ...]:
        row = self.conn.execute(query.encode(), parameters).fetchone()
        assert row is not None
        return row


async def test_k1_a_commit_that_was_not_flushed_yet_was_not_answered_either(books: Books) -> None:
    """Of a busy account. It may be lost; its repeat holds once. What was answered is there, first or repeated."""
    lost, kept, answered = a_work_id(), a_work_id(), a_work_id()
    books.reserve_and_die_before_the_flush(lost)
    books.kill()
    books.start()
    assert books.reserve(lost) == "held"
    assert books.reserve(lost) == "already_held"

    books.reserve_and_die_before_the_flush(kept)
    assert books.reserve(kept) == "already_held"  # told of what is not on disk: by telling, it gets there
    books.kill()
    books.start()
    assert books.reserve(kept) == "already_held"

    books.settle_and_die_before_the_flush(kept)
    assert books.release(kept) == "already_settled"  # the same of an end
    books.kill()
    books.start()
    assert books.release(kept) == "already_settled"

    assert await books.reserve_and_flush(answered) == "held"
    books.kill()
    books.start()
    assert books.reserve(answered) == "already_held"
    async with books.connected() as conn:
        assert await ledger.check(conn) == []


async def test_k1_what_was_answered_of_a_generation_of_a_busy_account_is_on_disk(books: Books) -> None:
    request = a_request(account_id=books.account_id, quote_microcredits=1)
    async with books.connected() as conn:
        await generations.admit(conn, request)
    books.kill()
    books.start()
    async with books.connected() as conn:
        assert await generations.admit(conn, request) == request.admission
        ended = await generations.finish(conn, success(request))
    books.kill()
    books.start()
    async with books.connected() as conn:
        record = await generations.get(conn, books.account_id, request.generation_id)
        assert record is not None
        assert record.status is ended.status is GenerationStatus.SUCCEEDED


async def test_a_second_server_on_the_same_folder_says_so(server: EmbeddedPostgres) -> None:
    server.start()

    with pytest.raises(EmbeddedPostgresFailed, match="already exists"):
        EmbeddedPostgres(server.root, start_within=timedelta(seconds=2)).start()


async def test_a_start_that_cannot_work_says_what_postgres_said(server: EmbeddedPostgres) -> None:
    broken = EmbeddedPostgres(server.root, settings={"shared_buffers": "nonsense"})

    with pytest.raises(EmbeddedPostgresFailed, match="shared_buffers"):
        broken.start()
    assert broken.pid is None


async def test_starting_twice_and_stopping_twice_is_harmless(server: EmbeddedPostgres) -> None:
    first, pid = server.start(), server.pid

    assert (server.start(), server.pid) == (first, pid)
    server.stop()
    server.stop()
    assert server.pid is None


async def test_a_path_too_long_for_a_socket_is_no_obstacle() -> None:
    with tempfile.TemporaryDirectory(prefix="bs-") as root:
        server = EmbeddedPostgres(Path(root) / ("long" * 25))
        migrated = migrate(server.start(), [])
        server.stop()

    assert migrated == []
