"""Reading generations, and deleting them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import (
    GenerationInProgress,
    GenerationNotFound,
)
from domain.generation import MediaType
from store import generations, shown
from store.shown import ShownGeneration
from store.timeline import timeline
from tests.store.builders import (
    a_processing,
    an_account,
    an_admitted,
    an_asset,
    cancellation,
    failure,
    success,
)

pytestmark = pytest.mark.usefixtures("books_that_balance")

Conn = AsyncConnection[Any]


async def test_another_accounts_generation_is_not_there(conn: Conn, account_id: str) -> None:
    """INV-23."""
    request = await an_admitted(conn, account_id)

    stranger = await an_account(conn)

    assert await generations.get(conn, stranger, request.generation_id) is None
    assert await shown.get(conn, stranger, request.generation_id) is None


async def test_a_page_lists_the_newest_first_and_counts_all(conn: Conn, account_id: str) -> None:
    requests = [await an_admitted(conn, account_id) for _ in range(3)]

    first, total = await shown.page(conn, account_id, limit=2, offset=0)
    rest, _ = await shown.page(conn, account_id, limit=2, offset=2)
    beyond = await shown.page(conn, account_id, limit=2, offset=4)

    assert (total, beyond) == (3, ([], 3))
    assert [one.generation_id for one in first + rest] == [one.generation_id for one in reversed(requests)]


async def test_a_page_shows_what_the_record_says(conn: Conn, account_id: str) -> None:
    await an_admitted(conn, account_id)
    failing = await a_processing(conn, account_id)
    await generations.finish(conn, failure(failing))
    delivered = await a_processing(conn, account_id)
    await generations.finish(conn, success(delivered, assets=[an_asset(delivered, 0), an_asset(delivered, 1)]))

    listed, _ = await shown.page(conn, account_id, limit=10, offset=0)

    assert len(listed) == 3
    for one in listed:
        record = await generations.get(conn, account_id, one.generation_id)
        assert record is not None
        told = {name: value for name, value in asdict(record).items() if name in one._fields}
        assert one == ShownGeneration(**told, asset_keys=[asset.key for asset in record.assets])
        assert one == await shown.get(conn, account_id, one.generation_id)


async def test_what_has_not_ended_is_in_flight(conn: Conn, account_id: str) -> None:
    await an_admitted(conn, account_id)
    await a_processing(conn, account_id)
    await generations.finish(conn, cancellation(await an_admitted(conn, account_id)))
    await an_admitted(conn, account_id, media_type=MediaType.VIDEO)

    assert await generations.in_flight(conn, account_id, MediaType.IMAGE) == 2
    assert await generations.in_flight(conn, account_id, MediaType.VIDEO) == 1


async def test_a_deletion_hides_the_record_and_forgets_the_prompt(conn: Conn, account_id: str) -> None:
    """INV-22: the books keep their rows."""
    request = await a_processing(conn, account_id)
    with pytest.raises(GenerationInProgress):
        await generations.mark_deleted(conn, account_id, request.generation_id)
    await generations.finish(conn, success(request))
    with pytest.raises(GenerationNotFound):
        await generations.mark_deleted(conn, await an_account(conn), request.generation_id)

    await generations.mark_deleted(conn, account_id, request.generation_id)

    assert await generations.get(conn, account_id, request.generation_id) is None
    assert await shown.get(conn, account_id, request.generation_id) is None
    assert await shown.page(conn, account_id, limit=10, offset=0) == ([], 0)
    left = (await timeline(conn, request.generation_id)).record
    assert (left.params, left.files_removed) == ({}, True)
    with pytest.raises(GenerationNotFound):
        await generations.mark_deleted(conn, account_id, request.generation_id)
