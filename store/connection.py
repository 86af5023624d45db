"""The pool and the two ways to use it: `transaction` for several statements, `single` for one that commits itself."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg.abc import PQGen
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic_core import from_json

from domain.errors import DatabaseUnavailable

Pool = AsyncConnectionPool[AsyncConnection[Any]]

set_json_loads(from_json)  # of every column that holds JSON: a third of the standard library's time

STATEMENT_TIMEOUT = timedelta(seconds=10)
LOCK_TIMEOUT = timedelta(seconds=5)  # below the statement's: a queue for one row is told apart from slow work
IDLE_IN_TRANSACTION_TIMEOUT = timedelta(seconds=30)  # a client that died in the middle must not keep its locks
POOL_TIMEOUT = timedelta(seconds=5)
ANSWER_TIMEOUT = STATEMENT_TIMEOUT + timedelta(seconds=2)  # for a server that cannot end the statement itself

_FLUSH = b"SELECT pg_logical_emit_message(true, '', '')"  # writes the least; its commit waits for all before it
_UNFLUSHED = "_unflushed"

_Found = TypeVar("_Found")


class _Connection(AsyncConnection[Any]):
    """Gives a server up that has fallen silent: frozen, or cut off by a network that drops everything."""

    async def wait(self, gen: PQGen[_Found], *args: Any, **kwargs: Any) -> _Found:
        alarm = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT.total_seconds(), self._hang_up)
        try:
            return await super().wait(gen, *args, **kwargs)
        finally:
            alarm.cancel()

    def _hang_up(self) -> None:
        """Whoever waits sees the stream end, as if the server had closed it; the pool replaces the connection."""
        with socket.socket(fileno=os.dup(self.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


async def open_pool(url: str, *, size_max: int, wait: bool = True, patience: timedelta = POOL_TIMEOUT) -> Pool:
    """A pool with its first connection made, or without `wait`, being made. The caller closes it.

    `patience` is how long anybody waits for a connection.

    Raises DatabaseUnavailable when it waited and no connection can be had.
    """
    pool: Pool = AsyncConnectionPool(
        url,
        connection_class=_Connection,
        min_size=1,
        max_size=size_max,
        timeout=patience.total_seconds(),
        kwargs={"autocommit": True, "prepare_threshold": 0, "options": _options()},
        check=_still_open,
        open=False,
    )
    try:
        with _named_failures():
            await pool.open(wait=wait, timeout=patience.total_seconds())
    except DatabaseUnavailable:
        await pool.close()
        raise
    return pool


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[AsyncConnection[Any]]:
    """One transaction: committed at the end of the block, rolled back when it raises.

    Raises DatabaseUnavailable for every failure of the connection, of a lock or of time. It may also mean that the
    commit happened and only its answer was lost: callers repeat with the same ids.
    """
    with _named_failures():
        async with pool.connection() as conn, conn.transaction():
            yield conn


@asynccontextmanager
async def single(pool: Pool) -> AsyncIterator[AsyncConnection[Any]]:
    """A connection on which each statement is a transaction of its own: the quickest way for one statement.

    Raises as `transaction` does.
    """
    with _named_failures():
        conn = await pool.getconn()  # not pool.connection(): that commits at the end, and here nothing is open
        try:
            yield conn
        finally:
            await pool.putconn(conn)


async def flushed(conn: AsyncConnection[Any], query: bytes, parameters: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The row of a statement that moves credits among other things, once all that it says is on disk.

    The statement's first column promises that, where the parameter `flushes_after` is true; the last one says whether
    it is left to be done, because the account is busy and was let go before, or because nothing was written. Neither is
    in the row that is returned. In a transaction of the caller's nothing is promised: its commit flushes.
    """
    promised = _stands_alone(conn)
    row = await (await conn.execute(query, {**parameters, "flushes_after": promised})).fetchone()
    if row is None:
        return None
    *answer, unflushed = row[1:]
    if promised and unflushed:
        await conn.execute(_FLUSH)
    return tuple(answer)


async def flushed_word(conn: AsyncConnection[Any], query: bytes, parameters: Mapping[str, Any]) -> str:
    """The word of an operation of the ledger that takes the parameter `flushes_after`, once it is on disk.

    As `flushed`, for less: what is left to be done is told by the word's end.
    """
    row = await (await conn.execute(query, {**parameters, "flushes_after": _stands_alone(conn)})).fetchone()
    assert row is not None
    word = str(row[0])
    if word.endswith(_UNFLUSHED):
        await conn.execute(_FLUSH)
    return word.removesuffix(_UNFLUSHED)


def _stands_alone(conn: AsyncConnection[Any]) -> bool:
    """Whether the next statement is a transaction of its own."""
    return conn.autocommit and conn.info.transaction_status is TransactionStatus.IDLE


@contextmanager
def _named_failures() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, ReadOnlySqlTransaction, PoolTimeout) as error:
        raise DatabaseUnavailable("The database does not answer.") from error


async def _still_open(conn: AsyncConnection[Any]) -> None:
    """Discard a connection that the server has closed meanwhile, without a round trip.

    An idle connection has nothing to read; when it has, the server said good-bye.
    """
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    if poll.poll(0):
        conn.pgconn.consume_input()  # raises OperationalError at the end of the stream
        raise OperationalError("the server spoke on an idle connection")


def _options() -> str:
    settings = {
        "statement_timeout": STATEMENT_TIMEOUT,
        "lock_timeout": LOCK_TIMEOUT,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT,
    }
    return " ".join(f"-c {name}={round(value.total_seconds() * 1000)}" for name, value in settings.items())
