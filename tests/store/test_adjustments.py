"""Adjustments take two operators; what is proposed moves nothing until another one approves it."""

from __future__ import annotations

import asyncio
import os
import uuid
from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import ResourceNotFound, StateConflict
from domain.operators import mint_operator_key
from store import adjustments, operators
from store.adjustments import Adjustment, AdjustmentState
from store.connection import Pool, transaction
from store.operators import Operator
from tests.store.builders import CREDIT, an_account, standing

pytestmark = pytest.mark.usefixtures("books_that_balance")

Conn = AsyncConnection[Any]


async def an_operator(conn: Conn) -> Operator:
    made = await operators.create(
        conn, f"operator {uuid.uuid4().hex[:8]}", mint_operator_key(b"pepper", os.urandom(32))
    )
    return Operator(made.operator_id, made.name)


@pytest.fixture
async def alex(conn: Conn) -> Operator:
    return await an_operator(conn)


@pytest.fixture
async def kim(conn: Conn) -> Operator:
    return await an_operator(conn)


async def proposed(conn: Conn, by: Operator, account_id: str, credits: float, **facts: Any) -> Adjustment:
    asked: dict[str, Any] = {"reason": "granted twice", "key": str(uuid.uuid4())} | facts
    made, _ = await adjustments.propose(conn, by, account_id=account_id, amount=int(credits * CREDIT), **asked)
    return made


async def test_a_proposal_moves_nothing_until_another_operator_approves(
    conn: Conn, account_id: str, alex: Operator, kim: Operator
) -> None:
    proposal = await proposed(conn, alex, account_id, -2.5)
    before = await standing(conn, account_id)

    async with conn.transaction():
        approved = await adjustments.approve(conn, kim, proposal.adjustment_id)

    assert before == (10 * CREDIT, 0, 0)
    assert await standing(conn, account_id) == (7_500_000, 0, 0)
    assert (approved.state, approved.proposed_by, approved.decided_by) == (
        AdjustmentState.APPROVED,
        alex.name,
        kim.name,
    )


async def test_nobody_approves_an_adjustment_of_ones_own(conn: Conn, account_id: str, alex: Operator) -> None:
    proposal = await proposed(conn, alex, account_id, 5)

    with pytest.raises(StateConflict, match="by another operator"):
        await adjustments.approve(conn, alex, proposal.adjustment_id)

    assert (await adjustments.get(conn, proposal.adjustment_id)).state is AdjustmentState.PROPOSED
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)


async def test_what_is_decided_or_expired_stays_so(conn: Conn, account_id: str, alex: Operator, kim: Operator) -> None:
    withdrawn = await proposed(conn, alex, account_id, 5)
    await adjustments.reject(conn, alex, withdrawn.adjustment_id)
    expired = await proposed(conn, alex, account_id, 5, life=timedelta(0))

    for proposal, state in ((withdrawn, "rejected"), (expired, "expired")):
        for decide in (adjustments.approve, adjustments.reject):
            with pytest.raises(StateConflict, match=f"is {state}"):
                await decide(conn, kim, proposal.adjustment_id)
    with pytest.raises(ResourceNotFound):
        await adjustments.approve(conn, kim, str(uuid.uuid4()))
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)


async def test_more_than_there_is_cannot_be_taken(conn: Conn, account_id: str, alex: Operator, kim: Operator) -> None:
    proposal = await proposed(conn, alex, account_id, -11)

    with pytest.raises(StateConflict, match="The books refuse"):
        async with conn.transaction():
            await adjustments.approve(conn, kim, proposal.adjustment_id)

    assert (await adjustments.get(conn, proposal.adjustment_id)).state is AdjustmentState.PROPOSED


async def test_the_same_key_is_the_same_proposal(conn: Conn, account_id: str, alex: Operator) -> None:
    first = await proposed(conn, alex, account_id, 5, key=f"ticket {account_id}")

    again, is_new = await adjustments.propose(
        conn, alex, account_id=account_id, amount=5 * CREDIT, reason="granted twice", key=first.key
    )
    with pytest.raises(StateConflict, match="another adjustment"):
        await proposed(conn, alex, account_id, 6, key=first.key)

    assert (again, is_new) == (first, False)


async def test_of_eight_who_approve_at_once_one_does(shared_pool: Pool, conn: Conn, alex: Operator) -> None:
    account_id = await an_account(conn, credits=1)
    proposal = await proposed(conn, alex, account_id, 5)
    others = [await an_operator(conn) for _ in range(8)]

    async def approved(operator: Operator) -> bool:
        try:
            async with transaction(shared_pool) as own:
                await adjustments.approve(own, operator, proposal.adjustment_id)
        except StateConflict:
            return False
        return True

    assert sum(await asyncio.gather(*(approved(operator) for operator in others))) == 1
    assert await standing(conn, account_id) == (6 * CREDIT, 0, 0)
