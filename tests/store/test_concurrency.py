"""Races, against the real database over many connections. BABYSEA_ROUNDS says how often each is run.

The names C1 to C17 are those of the ledger's catalogue of races. After each test every invariant is recomputed.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from psycopg import AsyncConnection

from domain.errors import DatabaseUnavailable, EngineUnavailable, GenerationNotFound
from domain.generation import Admission, Finished, GenerationStatus
from store import attempts, generations, idempotency, ledger, retention, usage
from store.attempts import BeginState
from store.connection import Pool, open_pool, single
from store.idempotency import ClaimState
from store.ledger import Granted, GrantSource, Released, Reserved, Settled
from store.timeline import timeline
from tests.store.builders import (
    CREDIT,
    a_job,
    a_processing,
    a_work_id,
    an_account,
    an_admitted,
    an_endpoint,
    an_intent,
    cancellation,
    failure,
    give,
    hold,
    let_go,
    settle,
    standing,
    success,
)
from tests.support.postgres import fresh_database
from tests.support.requests import a_request

ROUNDS = int(os.environ.get("BABYSEA_ROUNDS", "12"))
CONNECTIONS = 10

T = TypeVar("T")
Step = Callable[[AsyncConnection[Any]], Awaitable[T]]
rounds = pytest.mark.parametrize("round_", range(ROUNDS), ids=lambda number: f"round {number}")


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = await open_pool(await fresh_database(), size_max=CONNECTIONS)
    await pool.resize(CONNECTIONS, CONNECTIONS)
    await pool.wait()
    yield pool
    await pool.close()


@pytest.fixture(autouse=True, scope="module")
async def books_that_balance(pool: Pool) -> AsyncIterator[None]:
    yield
    async with single(pool) as conn:
        assert await ledger.check(conn) == []


async def alone(pool: Pool, step: Step[T]) -> T:
    async with single(pool) as conn:
        return await step(conn)


async def at_once(pool: Pool, *steps: Step[Any]) -> list[Any]:
    """Each on a connection of its own, begun in random order and a random moment apart."""

    async def run(step: Step[Any]) -> Any:
        async with single(pool) as conn:
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            return await step(conn)

    order = random.sample(range(len(steps)), len(steps))
    tasks = {index: asyncio.create_task(run(steps[index])) for index in order}
    await asyncio.gather(*tasks.values())
    return [tasks[index].result() for index in range(len(steps))]


async def account_with(pool: Pool, micros: int) -> str:
    async with single(pool) as conn:
        account = await an_account(conn)
        if micros:
            await give(conn, account, micros)
        return account


async def balance_of(pool: Pool, account: str) -> tuple[int, int, int]:
    return await alone(pool, lambda conn: standing(conn, account))


async def test_c1_a_hundred_holds_of_one_on_a_balance_of_ten(pool: Pool) -> None:
    account = await account_with(pool, 10 * CREDIT)
    works = [a_work_id() for _ in range(100)]

    words = await at_once(pool, *(lambda conn, work=work: hold(conn, account, work) for work in works))

    assert Counter(words) == {Reserved.HELD: 10, Reserved.INSUFFICIENT: 90}
    assert await balance_of(pool, account) == (0, 10 * CREDIT, 0)
    held = [work for work, word in zip(works, words, strict=True) if word is Reserved.HELD]
    await at_once(pool, *(lambda conn, work=work: let_go(conn, account, work) for work in held))
    assert await balance_of(pool, account) == (10 * CREDIT, 0, 0)


@rounds
async def test_c2_two_holds_that_only_one_can_afford(pool: Pool, round_: int) -> None:
    """E1: two clicks at once."""
    account = await account_with(pool, CREDIT)

    words = await at_once(pool, *[lambda conn: hold(conn, account, a_work_id(), 800_000)] * 2)

    assert sorted(words) == [Reserved.HELD, Reserved.INSUFFICIENT]


async def test_c3_the_same_hold_fifty_times(pool: Pool) -> None:
    account, work = await account_with(pool, 2 * CREDIT), a_work_id()

    words = await at_once(pool, *[lambda conn: hold(conn, account, work)] * 50)

    assert Counter(words) == {Reserved.HELD: 1, Reserved.ALREADY_HELD: 49}
    assert await balance_of(pool, account) == (CREDIT, CREDIT, 0)


async def test_the_same_hold_fifty_times_without_the_credits(pool: Pool) -> None:
    """The one that is refused takes its hold back; the others must not mistake that for a hold."""
    account, work = await account_with(pool, CREDIT - 1), a_work_id()

    words = await at_once(pool, *[lambda conn: hold(conn, account, work)] * 50)

    assert Counter(words) == {Reserved.INSUFFICIENT: 50}


@rounds
async def test_c4_the_same_hold_with_two_amounts(pool: Pool, round_: int) -> None:
    account, work = await account_with(pool, 10 * CREDIT), a_work_id()

    words = await at_once(
        pool, lambda conn: hold(conn, account, work, CREDIT), lambda conn: hold(conn, account, work, 2 * CREDIT)
    )

    assert sorted(words) == [Reserved.CONFLICT, Reserved.HELD]
    _, held, _ = await balance_of(pool, account)
    assert held == (CREDIT if words[0] is Reserved.HELD else 2 * CREDIT)


@rounds
async def test_c5_settle_against_release(pool: Pool, round_: int) -> None:
    account, work = await account_with(pool, CREDIT), a_work_id()
    await alone(pool, lambda conn: hold(conn, account, work))

    settled, released = await at_once(
        pool, lambda conn: settle(conn, account, work), lambda conn: let_go(conn, account, work)
    )

    # A settlement behind the release is a late success: the work was delivered.
    assert (settled, released) in {
        (Settled.SETTLED, Released.ALREADY_SETTLED),
        (Settled.RECOLLECTED, Released.RELEASED),
    }
    assert await balance_of(pool, account) == (0, 0, 0)


async def test_c6_settle_fifty_times_and_release_fifty_times(pool: Pool) -> None:
    account, settled, released = await account_with(pool, 3 * CREDIT), a_work_id(), a_work_id()
    async with single(pool) as conn:
        for work in (settled, released):
            await hold(conn, account, work)

    settlements = await at_once(pool, *[lambda conn: settle(conn, account, settled)] * 50)
    releases = await at_once(pool, *[lambda conn: let_go(conn, account, released)] * 50)

    assert Counter(settlements) == {Settled.SETTLED: 1, Settled.ALREADY_SETTLED: 49}
    assert Counter(releases) == {Released.RELEASED: 1, Released.ALREADY_RELEASED: 49}
    assert await balance_of(pool, account) == (2 * CREDIT, 0, 0)


@rounds
async def test_c7_a_late_success_against_a_new_hold_on_the_last_credit(pool: Pool, round_: int) -> None:
    account, late = await account_with(pool, CREDIT), a_work_id()
    await alone(pool, lambda conn: hold(conn, account, late))
    await alone(pool, lambda conn: let_go(conn, account, late))

    words = await at_once(pool, lambda conn: settle(conn, account, late), lambda conn: hold(conn, account, a_work_id()))

    ends = {
        (Settled.RECOLLECTED, Reserved.INSUFFICIENT): (0, 0, 0),
        (Settled.SHORTFALL, Reserved.HELD): (0, CREDIT, CREDIT),
    }
    assert await balance_of(pool, account) == ends[(words[0], words[1])]


@rounds
async def test_c8_cancel_against_success(pool: Pool, round_: int) -> None:
    """Never paid without artifact, never free with artifact; the customer is told of one end."""
    account = await account_with(pool, CREDIT)
    await alone(pool, lambda conn: an_endpoint(conn, account))
    request = await alone(pool, lambda conn: a_processing(conn, account))

    finished: list[Finished] = await at_once(
        pool,
        lambda conn: generations.finish(conn, success(request)),
        lambda conn: generations.finish(conn, cancellation(request)),
    )

    assert finished[0] == finished[1]
    story = await alone(pool, lambda conn: timeline(conn, request.generation_id))
    paid = CREDIT - (await balance_of(pool, account))[0]
    assert story.record.status is finished[0].status
    assert (paid, len(story.assets)) == ((5_000, 1) if finished[0].status is GenerationStatus.SUCCEEDED else (0, 0))
    assert [one.event for one in story.deliveries if one.event != "generation.started"] == [
        "generation.completed" if paid else "generation.canceled"
    ]


@rounds
async def test_c9_two_cancels_release_once(pool: Pool, round_: int) -> None:
    account = await account_with(pool, CREDIT)
    request = await alone(pool, lambda conn: an_admitted(conn, account))

    finished = await at_once(pool, *[lambda conn: generations.finish(conn, cancellation(request))] * 2)

    assert finished == [Finished(GenerationStatus.CANCELED, [], credits_released=True)] * 2
    assert await balance_of(pool, account) == (CREDIT, 0, 0)


@rounds
async def test_c10_the_sweeper_against_success(pool: Pool, round_: int) -> None:
    account = await account_with(pool, CREDIT)
    request = await alone(pool, lambda conn: a_processing(conn, account))

    finished, _ = await at_once(
        pool,
        lambda conn: generations.finish(conn, success(request)),
        lambda conn: ledger.release(conn, account_id=account, work_id=request.generation_id, reason=ledger.EXPIRED),
    )

    assert finished.status is GenerationStatus.SUCCEEDED
    assert await balance_of(pool, account) == (CREDIT - 5_000, 0, 0)


_PAYMENT = """
import asyncio, sys
from store import ledger
from store.connection import open_pool, single

async def deliver(pool, account_id, key):
    async with single(pool) as conn:
        return await ledger.grant(
            conn, account_id=account_id, amount=7, source=ledger.GrantSource.PAYMENT, key=key
        )

async def main(url, account_id, key):
    pool = await open_pool(url, size_max=5)
    sys.stdin.readline()
    words = await asyncio.gather(*(deliver(pool, account_id, key) for _ in range(5)))
    await pool.close()
    print(" ".join(words))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_c11_the_same_payment_twenty_times_in_four_processes(pool: Pool) -> None:
    account, key = await account_with(pool, 0), f"stripe:invoice:{uuid.uuid4()}"
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _PAYMENT,
            str(pool.conninfo),
            account,
            key,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(4)
    ]

    answers = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))

    words = Counter(" ".join(answer.decode() for answer, _ in answers).split())
    assert words == {Granted.GRANTED: 1, Granted.ALREADY_GRANTED: 19}
    assert await balance_of(pool, account) == (7, 0, 0)


async def test_c12_grants_late_successes_and_eight_spenders(pool: Pool) -> None:
    """Never below zero; debt is exactly what was missing."""
    account = await account_with(pool, 5 * CREDIT)
    late = [a_work_id() for _ in range(5)]
    async with single(pool) as conn:
        for work in late:
            await hold(conn, account, work)
        for work in late:
            await let_go(conn, account, work)
    spent = [a_work_id() for _ in range(8)]

    async def spend(conn: AsyncConnection[Any], work: str) -> Reserved:
        word = await hold(conn, account, work, 700_000)
        if word is Reserved.HELD:
            await settle(conn, account, work, 700_000)
        return word

    async def grant(conn: AsyncConnection[Any]) -> None:
        await give(conn, account, CREDIT)

    words = await at_once(
        pool,
        *(lambda conn, work=work: spend(conn, work) for work in spent),
        *(lambda conn, work=work: settle(conn, account, work) for work in late),
        *[grant] * 2,
    )

    available, held, debt = await balance_of(pool, account)
    charged = 700_000 * words.count(Reserved.HELD) + 5 * CREDIT
    assert held == 0
    assert 7 * CREDIT - charged == available - debt


async def test_c14_opposite_movements_never_deadlock(pool: Pool) -> None:
    """Part settlements move held to available while reservations move available to held."""
    account = await account_with(pool, 100 * CREDIT)

    async def churn(conn: AsyncConnection[Any]) -> Settled:
        work = a_work_id()
        await hold(conn, account, work)
        return await settle(conn, account, work, CREDIT // 2)

    words = await at_once(pool, *[churn] * 60)

    assert Counter(words) == {Settled.SETTLED: 60}
    assert await balance_of(pool, account) == (70 * CREDIT, 0, 0)


@rounds
async def test_c15_two_tenants_with_the_same_work_and_key(pool: Pool, round_: int) -> None:
    one, other, work = await account_with(pool, CREDIT), await account_with(pool, CREDIT), a_work_id()

    words = await at_once(
        pool,
        lambda conn: hold(conn, one, work, key="same"),
        lambda conn: hold(conn, other, work, key="same"),
        lambda conn: idempotency.claim(conn, one, "same", "print", work),
        lambda conn: idempotency.claim(conn, other, "same", "print", work),
    )

    assert words[:2] == [Reserved.HELD, Reserved.HELD]
    assert [claim.state for claim in words[2:]] == [ClaimState.NEW, ClaimState.NEW]


@rounds
async def test_admission_against_abandonment_exactly_one_wins(pool: Pool, round_: int) -> None:
    account = await account_with(pool, CREDIT)
    request = a_request(account_id=account)

    async def admit(conn: AsyncConnection[Any]) -> bool:
        try:
            return isinstance(await generations.admit(conn, request), Admission)
        except EngineUnavailable:
            return False

    async def abandon(conn: AsyncConnection[Any]) -> bool:
        return await generations.abandon(conn, request, code="BSE5004", message="nobody answered")

    words = await at_once(pool, admit, abandon, admit, abandon)

    assert words in ([True, False, True, False], [False, True, False, True])
    assert await balance_of(pool, account) == ((CREDIT - 5_000, 5_000, 0) if words[0] else (CREDIT, 0, 0))


async def test_the_same_admission_fifty_times(pool: Pool) -> None:
    """With credits for exactly one: a repeat is never told that they are missing."""
    account = await account_with(pool, 5_000)
    request = a_request(account_id=account)

    answers = await at_once(pool, *[lambda conn: generations.admit(conn, request)] * 50)

    assert len(set(map(str, answers))) == 1
    assert await balance_of(pool, account) == (0, 5_000, 0)


@rounds
async def test_of_many_workers_one_may_submit(pool: Pool, round_: int) -> None:
    account = await account_with(pool, CREDIT)
    request = await alone(pool, lambda conn: an_admitted(conn, account))

    begun = await at_once(pool, *[lambda conn: attempts.begin(conn, an_intent(request))] * 8)

    assert Counter(one.state for one in begun) == {BeginState.NEW: 1, BeginState.AMBIGUOUS: 7}


@rounds
async def test_no_intent_is_left_open_by_a_cancel_at_the_same_moment(pool: Pool, round_: int) -> None:
    """INV-27."""
    account = await account_with(pool, CREDIT)
    request = await alone(pool, lambda conn: an_admitted(conn, account))

    async def submit(conn: AsyncConnection[Any]) -> BeginState:
        begun = await attempts.begin(conn, an_intent(request))
        if begun.state is BeginState.NEW:
            await attempts.accepted(conn, an_intent(request).attempt_id, a_job())
        return begun.state

    await at_once(pool, submit, lambda conn: generations.finish(conn, cancellation(request)))

    story = await alone(pool, lambda conn: timeline(conn, request.generation_id))
    assert story.record.status is GenerationStatus.CANCELED
    assert all(one.ended_at is not None for one in story.attempts)


@rounds
async def test_an_acceptance_announced_by_many_is_announced_once(pool: Pool, round_: int) -> None:
    account = await account_with(pool, CREDIT)
    await alone(pool, lambda conn: an_endpoint(conn, account))
    request = await alone(pool, lambda conn: an_admitted(conn, account))
    intent, job = an_intent(request), a_job()
    await alone(pool, lambda conn: attempts.begin(conn, intent))

    answers = await at_once(pool, *[lambda conn: attempts.accepted(conn, intent.attempt_id, job)] * 8)

    assert len(answers[0]) == 1
    assert answers == [answers[0]] * 8


@rounds
async def test_a_record_that_is_purged_while_all_else_happens_is_counted_once_and_keeps_its_end(
    pool: Pool, round_: int
) -> None:
    account = await account_with(pool, CREDIT)
    request = await alone(pool, lambda conn: a_processing(conn, account))
    outcome = random.choice([success, failure, cancellation])(request)
    first = await alone(pool, lambda conn: generations.finish(conn, outcome))
    await alone(pool, lambda conn: retention.mark_files_removed(conn, [request.generation_id]))
    before = await balance_of(pool, account)

    async def delete(conn: AsyncConnection[Any]) -> None:
        with suppress(GenerationNotFound):
            await generations.mark_deleted(conn, account, request.generation_id)

    async def purge(conn: AsyncConnection[Any]) -> int:
        return await retention.purge_generations(conn, account, timedelta(0), limit=10)

    async def counted(conn: AsyncConnection[Any]) -> tuple[int, int]:
        used = await usage.of_account(conn, account, days=1)
        return used.generations, sum(provider.submissions for provider in used.providers)

    again = [lambda conn, late=late: generations.finish(conn, late) for late in (outcome, cancellation(request))]
    *ends, meanwhile, one, other, _ = await at_once(pool, *again, counted, purge, purge, delete)

    assert one + other + await alone(pool, purge) == 1
    assert {(end.status, end.credits_released) for end in ends} == {(first.status, first.credits_released)}
    assert meanwhile == await alone(pool, counted) == (1, 1)
    assert await balance_of(pool, account) == before


@rounds
async def test_one_of_many_requests_gets_the_key(pool: Pool, round_: int) -> None:
    account = await account_with(pool, 0)

    claims = await at_once(pool, *[lambda conn: idempotency.claim(conn, account, "k", "print", str(uuid.uuid4()))] * 8)

    assert Counter(one.state for one in claims) == {ClaimState.NEW: 1, ClaimState.IN_PROGRESS: 7}
    assert len({one.generation_id for one in claims}) == 1


async def test_grants_from_every_source_at_once_add_up(pool: Pool) -> None:
    account = await account_with(pool, 0)

    async def grant(conn: AsyncConnection[Any]) -> Granted:
        return await ledger.grant(
            conn, account_id=account, amount=3, source=random.choice(list(GrantSource)), key=str(uuid.uuid4())
        )

    words = await at_once(pool, *[grant] * 40)

    assert Counter(words) == {Granted.GRANTED: 40}
    assert await balance_of(pool, account) == (120, 0, 0)


_DISTURB = """
CREATE FUNCTION store.disturb() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF random() < 0.3 THEN
        RAISE EXCEPTION 'disturbed' USING ERRCODE = CASE WHEN random() < 0.5 THEN '40001' ELSE '40P01' END;
    END IF;
    RETURN NULL;
END $$
"""


async def test_c17_serialization_failures_and_deadlocks_are_repeated_until_the_effect_is_there_once(
    own_pool: Pool,
) -> None:
    """The caller repeats what fails in this way, as every step of a workflow does."""
    account = await account_with(own_pool, 30 * CREDIT)
    async with single(own_pool) as conn:
        await conn.execute(_DISTURB)
        await conn.execute(
            "CREATE TRIGGER disturb AFTER INSERT ON ledger.transfers FOR EACH ROW EXECUTE FUNCTION store.disturb()"
        )
    failures = 0

    async def until_answered(step: Step[Any]) -> Any:
        nonlocal failures
        while True:
            with suppress(DatabaseUnavailable):
                return await alone(own_pool, step)
            failures += 1

    async def buy() -> tuple[Reserved, Settled]:
        work = a_work_id()
        reserved = await until_answered(lambda conn: hold(conn, account, work))
        return reserved, await until_answered(lambda conn: settle(conn, account, work, CREDIT // 2))

    words = await asyncio.gather(*(buy() for _ in range(20)))

    assert Counter(words) == {(Reserved.HELD, Settled.SETTLED): 20}
    assert failures > 0
    assert await balance_of(own_pool, account) == (20 * CREDIT, 0, 0)
    assert await alone(own_pool, ledger.check) == []
