"""The least that answers a request from the database: one FastAPI route, one pooled query.

No key, no limit, no log, no envelope. Run as the API is: the same uvicorn flags, a pool of the same size.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

DATABASE_URL = "BENCH_DATABASE_URL"
POOL_MAX = "BENCH_POOL_MAX"

_LIST = b"""
SELECT generation_id::text, account_id::text, model, provider_order, provider_used, prediction_id::text, status, params,
       created_at, started_at, completed_at, predict_time_s,
       ARRAY(SELECT key FROM store.assets WHERE assets.generation_id = generations.generation_id) AS files
  FROM store.generations
 WHERE account_id = %s AND deleted_at IS NULL
 ORDER BY created_at DESC, generation_id DESC LIMIT %s"""

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]


def create_app() -> FastAPI:
    app = FastAPI(lifespan=_lifespan)

    @app.get("/accounts/{account_id}")
    async def read_account(request: Request, account_id: str) -> dict[str, Any] | None:
        """One row by its primary key."""
        pool: Pool = request.app.state.pool
        async with pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT account_id::text, name, plan FROM store.accounts WHERE account_id = %s", (account_id,)
            )
            return await cursor.fetchone()

    @app.get("/accounts/{account_id}/generations")
    async def list_generations(request: Request, account_id: str, limit: int) -> list[dict[str, Any]]:
        """The rows that the API's list shows, as they are."""
        pool: Pool = request.app.state.pool
        async with pool.connection() as conn:
            cursor = await conn.execute(_LIST, (account_id, limit))
            return await cursor.fetchall()

    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    pool: Pool = AsyncConnectionPool(
        os.environ[DATABASE_URL],
        min_size=1,
        max_size=int(os.environ[POOL_MAX]),
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
        open=False,
    )
    async with pool:
        app.state.pool = pool
        yield
