"""A cancel, a sweep and a success at the same moment: one of them wins, and the money follows it.

BABYSEA_RACES makes it longer: the specification asks for ten thousand of each.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import pytest

from domain import ending
from domain.generation import Finished, GenerationRequest, GenerationStatus, Outcome
from store import generations, ledger
from store.connection import Pool, single
from store.ledger_verification import verify
from tests.store.builders import CREDIT, a_processing, an_account, cancellation, standing, success

RACES = int(os.environ.get("BABYSEA_RACES", "60"))
SIDE_BY_SIDE = 4


async def finished(pool: Pool, outcome: Outcome) -> Finished:
    await asyncio.sleep(random.random() / 500)
    async with single(pool) as conn:
        return await generations.finish(conn, outcome)


def expiry(request: GenerationRequest) -> Outcome:
    """What a sweep writes that finds no workflow."""
    return ending.expired(generation_id=request.generation_id, account_id=request.account_id)


async def race(pool: Pool, account_id: str, *rivals: Any) -> GenerationStatus:
    """All at once; each hears the same winner."""
    async with single(pool) as conn:
        request = await a_processing(conn, account_id, quote_microcredits=CREDIT)
    heard = await asyncio.gather(*(finished(pool, rival(request)) for rival in rivals))
    (winner,) = {each.status for each in heard}
    async with single(pool) as conn:
        record = await generations.get(conn, account_id, request.generation_id)
        hold = await ledger.hold(conn, account_id=account_id, work_id=request.generation_id)
    assert record is not None
    assert hold is not None
    assert record.status is winner
    delivered = winner is GenerationStatus.SUCCEEDED
    assert bool(record.assets) is delivered
    assert hold.settled_micros == (CREDIT if delivered else 0)
    return winner


@pytest.mark.parametrize(
    "rivals",
    [
        pytest.param((cancellation, success), id="C8 cancel and success"),
        pytest.param((cancellation, cancellation), id="C9 two cancels"),
        pytest.param((expiry, success), id="C10 sweep and success"),
        pytest.param((expiry, cancellation, success, success), id="all at once"),
    ],
)
async def test_whoever_ends_a_generation_first_decides_about_its_money(own_pool: Pool, rivals: tuple[Any, ...]) -> None:
    """C8, C9, C10: never paid without an artifact, never free with one."""
    async with single(own_pool) as conn:
        account_id = await an_account(conn, credits=RACES)
    lanes = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one() -> GenerationStatus:
        async with lanes:
            return await race(own_pool, account_id, *rivals)

    winners = await asyncio.gather(*(one() for _ in range(RACES)))

    async with single(own_pool) as conn:
        paid = winners.count(GenerationStatus.SUCCEEDED)
        assert await standing(conn, account_id) == ((RACES - paid) * CREDIT, 0, 0)
        assert (await verify(conn)).violations == []
