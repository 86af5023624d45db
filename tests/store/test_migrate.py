"""Migrations: forward only, once, by one at a time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg
import pytest

from store.migrate import Migration, MigrationError, files, migrate
from tests.support.postgres import fresh_database
from tests.support.waiting import until_async

FIRST = Migration("0001_first.sql", b"CREATE TABLE first (n integer); INSERT INTO first VALUES (1);")
SECOND = Migration("0002_second.sql", b"CREATE TABLE second (n integer)")


@pytest.fixture
async def empty_url() -> str:
    return await fresh_database(migrated=False)


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as conn:
        rows = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {row[0] for row in rows} - {"schema_migrations"}


def test_the_files_are_numbered_without_a_gap() -> None:
    assert [int(one.name[:4]) for one in files()] == list(range(1, len(files()) + 1))


async def test_an_empty_database_gets_everything_and_a_full_one_nothing(empty_url: str) -> None:
    assert migrate(empty_url) == [one.name for one in files()]
    assert migrate(empty_url) == []


async def test_only_what_is_missing_is_applied(empty_url: str) -> None:
    assert migrate(empty_url, [FIRST]) == ["0001_first.sql"]
    assert migrate(empty_url, [FIRST, SECOND]) == ["0002_second.sql"]
    assert tables(empty_url) == {"first", "second"}


async def test_a_file_changed_after_it_was_applied_is_an_error(empty_url: str) -> None:
    migrate(empty_url, [FIRST])

    with pytest.raises(MigrationError, match=r"0001_first\.sql"):
        migrate(empty_url, [replace(FIRST, script=FIRST.script + b" "), SECOND])
    assert tables(empty_url) == {"first"}


async def test_a_file_numbered_below_an_applied_one_is_an_error(empty_url: str) -> None:
    migrate(empty_url, [SECOND])

    with pytest.raises(MigrationError, match=r"0001_first\.sql"):
        migrate(empty_url, [FIRST, SECOND])


async def test_a_migration_that_meets_a_deadlock_is_tried_again(empty_url: str) -> None:
    migrate(empty_url, [FIRST, SECOND])
    third = Migration("0003_third.sql", b"LOCK first; LOCK second; CREATE TABLE third (n integer)")
    waits = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'second'::regclass"
    async with await psycopg.AsyncConnection.connect(empty_url) as busy:
        await busy.execute("SET LOCAL deadlock_timeout = '20s'")  # so that it is the other one who finds it
        await busy.execute("LOCK second")
        migrating = asyncio.create_task(asyncio.to_thread(migrate, empty_url, [FIRST, SECOND, third]))
        async with await psycopg.AsyncConnection.connect(empty_url, autocommit=True) as watching:

            async def is_waiting() -> bool:
                return (await (await watching.execute(waits)).fetchone()) == (True,)

            await until_async(is_waiting)
        await busy.execute("LOCK first")  # each has what the other one waits for
        await busy.commit()

    assert await migrating == ["0003_third.sql"]
    assert tables(empty_url) == {"first", "second", "third"}


async def test_a_database_ahead_of_the_code_is_left_alone(empty_url: str) -> None:
    """The old code keeps running while the new one is rolled out."""
    migrate(empty_url, [FIRST, SECOND])

    assert migrate(empty_url, [FIRST]) == []


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty_url: str) -> None:
    broken = Migration("0002_broken.sql", b"CREATE TABLE half (n integer); SELECT 1 / 0;")

    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_url, [FIRST, broken])

    assert tables(empty_url) == {"first"}
    assert migrate(empty_url, [FIRST, SECOND]) == ["0002_second.sql"]


async def test_of_two_migrators_at_once_one_finds_nothing_to_do(empty_url: str) -> None:
    done = await asyncio.gather(*(asyncio.to_thread(migrate, empty_url) for _ in range(2)))

    assert sorted(done, key=len) == [[], [one.name for one in files()]]
