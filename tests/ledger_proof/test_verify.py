"""`verify` finds nothing in good books, and each kind of damage in bad ones, by account and entry number."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg import AsyncConnection

from store import generations, ledger, ledger_payments
from store.connection import open_pool, single
from store.ledger_verification import Progress, verify
from tests.ledger_proof.conftest import damage, take_the_guards_down
from tests.store.builders import CREDIT, a_processing, a_work_id, an_account, failure, hold, let_go, settle, success
from tests.support.postgres import fresh_database

Conn = AsyncConnection[Any]
SMALL = 3  # transfers in a batch, so that accounts are read in many parts


async def an_account_with_everything(conn: Conn) -> str:
    account = await an_account(conn, credits=10)
    full, part, back, late, poor, open_one = (a_work_id() for _ in range(6))
    for work in (full, part, back, late, open_one):
        await hold(conn, account, work)
    await settle(conn, account, full)
    await settle(conn, account, part, CREDIT // 4)
    for work in (back, late):
        await let_go(conn, account, work)
    await settle(conn, account, late)
    await hold(conn, account, poor, 2 * CREDIT)
    await let_go(conn, account, poor)
    rest = await ledger.balance(conn, account)
    await hold(conn, account, a_work_id(), rest.available - CREDIT)
    await settle(conn, account, poor, 2 * CREDIT)
    await operations_on(conn, account, full)
    delivered, failed = [await a_processing(conn, account, quote_microcredits=0) for _ in range(2)]
    await generations.finish(conn, success(delivered))
    await generations.finish(conn, failure(failed))
    return account


async def operations_on(conn: Conn, account: str, settled: str) -> None:
    """Every operation with a key."""
    paid = f"stripe:pi:{account}"
    mine = {"account_id": account}
    people = {"actor_one": "ada", "actor_two": "bob", "reason": "a mistake"}
    await ledger.grant(conn, **mine, amount=4 * CREDIT, source=ledger.GrantSource.PAYMENT, key=paid)
    await ledger.refund_settled(
        conn, **mine, work_id=settled, amount=CREDIT // 2, actor="ada", reason="a bad picture", key="refund:1"
    )
    for name in ("1", "2"):
        await ledger_payments.claw_back(conn, **mine, amount=CREDIT, payment_key=paid, key=f"{paid}:back:{name}")
    await ledger_payments.restore_clawback(conn, **mine, clawback_key=f"{paid}:back:2", key=f"{paid}:failed")
    for outcome in ledger_payments.DisputeOutcome:
        dispute = f"{paid}:{outcome}"
        await ledger_payments.dispute_hold(
            conn, **mine, amount=CREDIT, dispute=dispute, payment_key=paid, key=f"{dispute}:held"
        )
        await ledger_payments.dispute_end(conn, **mine, dispute=dispute, outcome=outcome, key=f"{dispute}:end")
    await ledger_payments.adjust(conn, **mine, amount=CREDIT, **people, key="adjust:1")
    await ledger_payments.adjust(conn, **mine, amount=-CREDIT // 4, **people, key="adjust:2")


@pytest.fixture
async def books(conn: Conn) -> str:
    """One of three accounts that have everything; a fourth has nothing."""
    accounts = sorted([await an_account_with_everything(conn) for _ in range(3)])
    await an_account(conn)
    return accounts[1]


@pytest.mark.parametrize("batch_rows", [1, 2, SMALL, 1000])
async def test_good_books_are_read_whole_however_small_the_batches(conn: Conn, books: str, batch_rows: int) -> None:
    """R1, R6."""
    cursor = await conn.execute("SELECT 2 * count(*), (SELECT count(*) FROM ledger.holds) FROM ledger.transfers")
    entries, holds = await cursor.fetchone() or (0, 0)

    first = await verify(conn, batch_rows=batch_rows)
    again = await verify(conn, batch_rows=batch_rows)

    assert first.violations == again.violations == []
    assert (first.entries, first.holds, first.grants, first.generations) == (entries, holds, 6, 6)
    assert await ledger.check(conn) == []


async def test_one_account_is_read_alone(conn: Conn, books: str) -> None:
    whole = await verify(conn, batch_rows=SMALL)
    alone = await verify(conn, account_id=books, batch_rows=SMALL)

    assert alone.violations == []
    assert (alone.entries, alone.holds, alone.grants) == (whole.entries // 3, whole.holds // 3, 2)


async def test_an_empty_ledger_balances(conn: Conn) -> None:
    assert (await verify(conn)).rows == 0


async def test_progress_is_told_after_each_batch(conn: Conn, books: str) -> None:
    told: list[Progress] = []

    done = await verify(conn, progress=told.append, batch_rows=SMALL)

    assert [one.read for one in told] == sorted(one.read for one in told)
    assert len(told) > done.entries // (2 * SMALL)
    assert told[-1].read == done.rows


KINDS = {
    "an amount was changed": (
        "UPDATE ledger.transfers SET amount_micros = amount_micros + 1 WHERE mine AND operation = 'settle'"
        " AND debit_number = (SELECT min(debit_number) FROM ledger.transfers WHERE mine"
        " AND operation = 'settle')",
        "INV-4",
        r"Entry \d+ of the (held|revenue) balance.* of account {account} moves",
    ),
    "an entry's balance was changed": (
        "UPDATE ledger.transfers SET credit_balance_micros = credit_balance_micros - 5 WHERE mine"
        " AND operation = 'grant'",
        "INV-4",
        r"Entry 1 of the available balance.* of account {account} moves 10,000,000 .* says 9,999,995 micro-credits",
    ),
    "a transfer was removed": (
        "DELETE FROM ledger.transfers WHERE mine AND operation = 'reserve' AND transfer_id ="
        " (SELECT min(transfer_id) FROM ledger.transfers WHERE mine AND operation = 'reserve')",
        "INV-20",
        r"In the (available|held) balance.* of account {account} entry \d+ follows entry \d+: entry \d+ is missing",
    ),
    "the last transfers were removed": (
        "DELETE FROM ledger.transfers WHERE mine AND transfer_id ="
        " (SELECT max(transfer_id) FROM ledger.transfers WHERE mine)",
        "INV-4",
        r"balance.* of account {account} stands at .* after \d+ entries; its entries are \d+ and sum to",
    ),
    "every transfer was removed": (
        "DELETE FROM ledger.transfers WHERE mine",
        "INV-4",
        r"of account {account} stands at .* its entries are 0 and sum to 0 micro-credits",
    ),
    "a transfer was added": (
        "INSERT INTO ledger.transfers (transfer_id, amount_micros, debit_number, debit_balance_micros, credit_number,"
        " credit_balance_micros, created_at, debit, credit, operation, account_id, key, once)"
        " SELECT nextval('ledger.transfer_ids'), 7, 9, -10000007, 99, 7, now(), 'payment', 'available', 'grant',"
        " %(account)s, 'made up', false",
        "INV-20",
        r"of account {account} entry \d+ follows entry \d+: entry \d+ is missing",
    ),
    "a number was changed": (
        "UPDATE ledger.transfers SET debit_number = debit_number + 100 WHERE mine AND operation = 'shortfall'",
        "INV-20",
        r"In the debt balance.* of account {account} entry 101 follows entry 0: entry 1 is missing",
    ),
    "a transfer goes nowhere": (
        "UPDATE ledger.transfers SET credit = debit WHERE mine AND operation = 'grant'",
        "INV-3",
        r"Transfer \d+ of account {account} .* from promotion to promotion, which is no transfer",
    ),
    "a stored balance was changed": (
        "UPDATE ledger.books SET revenue_micros = revenue_micros + 1 WHERE mine AND shard = 0",
        "INV-4",
        r"The revenue balance.* of account {account} stands at",
    ),
    "a stored count was changed": (
        "UPDATE ledger.books SET available_entries = available_entries + 1 WHERE mine AND shard = 0",
        "INV-4",
        r"The available balance.* of account {account} stands at .* after \d+ entries; its entries are \d+",
    ),
    "the book was removed": (
        "DELETE FROM ledger.books WHERE mine AND shard = 0",
        "INV-4",
        r"The adjustment balance of account {account} stands at 0 micro-credits after 0 entries; its entries are 2",
    ),
    "credits were moved from one book to another": (
        "INSERT INTO ledger.books (account_id, shard, held_micros) VALUES (%(account)s, 3, 1), (%(account)s, 4, -1)",
        "INV-4",
        r"The held balance \(part 3\) of account {account} stands at",
    ),
    "a hold's amount was changed": (
        "UPDATE ledger.holds SET amount_micros = amount_micros + 1 WHERE mine AND state = 'held'",
        "INV-8/INV-11/INV-17",
        r"The hold of work .*, of account {account} is held: held",
    ),
    "an ended hold was opened again": (
        "UPDATE ledger.holds SET state = 'held' WHERE mine AND state = 'settled' AND corrected_at IS NULL"
        " AND amount_micros > 0",
        "INV-8/INV-11/INV-17",
        r"of account {account} is held: .* its transfers say",
    ),
    "an open hold says that it settled": (
        "UPDATE ledger.holds SET settled_micros = 7 WHERE mine AND state = 'held'",
        "INV-8/INV-11/INV-17",
        r"of account {account} is held: .* settled 7 micro-credits",
    ),
    "an open hold was ended": (
        "UPDATE ledger.holds SET state = 'released', released_micros = amount_micros WHERE mine AND state = 'held'",
        "INV-8/INV-11/INV-17",
        r"of account {account} is released",
    ),
    "a settlement was doubled": (
        "UPDATE ledger.holds SET settled_micros = 2 * settled_micros WHERE mine AND state = 'settled'"
        " AND amount_micros > 0",
        "INV-8/INV-11/INV-17",
        r"of account {account} is settled",
    ),
    "a hold was removed": (
        "DELETE FROM ledger.holds WHERE mine AND amount_micros > 0",
        "INV-15",
        r"Credits moved for work .*, of account {account}; it has no hold",
    ),
    "an open hold without a transfer was added": (
        "INSERT INTO ledger.holds (amount_micros, expires_at, try_number, account_id, work_id, price_version, stamp)"
        " SELECT 5, now(), 1, %(account)s, gen_random_uuid(), 'v', 0",
        "INV-8/INV-11/INV-17",
        r"of account {account} is held: held 5 micro-credits",
    ),
    "a grant's amount was changed": (
        "UPDATE ledger.grants SET amount_micros = 1 WHERE mine",
        "INV-7/INV-14",
        r"The grant 'promo:.*' of account {account} is of 1 micro-credits from promotion; its transfer "
        r"moved 10,000,000",
    ),
    "a grant was removed": (
        "DELETE FROM ledger.grants WHERE mine",
        "INV-7/INV-14",
        r"Entry 1 of the available balance of account {account} grants credits; nothing was granted",
    ),
    "a grant that never moved was added": (
        "INSERT INTO ledger.grants (key, account_id, amount_micros, source) SELECT 'never moved', %(account)s,"
        " 3, 'payment'",
        "INV-7/INV-14",
        r"The grant 'never moved' of account {account} moved credits 0 times",
    ),
    "a refund was written down twice as large": (
        "UPDATE ledger.keyed_operations SET amount_micros = 2 * amount_micros WHERE mine AND operation = 'refund'",
        "INV-12/INV-14",
        r"The refund 'refund:1' of account {account} should have moved 1,000,000 .* moved 500,000 micro-credits",
    ),
    "a clawback was forgotten": (
        "DELETE FROM ledger.keyed_operations WHERE mine AND operation = 'claw_back' AND key LIKE '%%back:1'",
        "INV-12/INV-14",
        r"Transfer \d+ of account {account} is of the claw_back 'stripe:pi:.*:back:1', which is written down nowhere",
    ),
    "a payment was taken back that granted less": (
        "UPDATE ledger.keyed_operations SET amount_micros = amount_micros + 9000000 WHERE mine"
        " AND operation = 'dispute_hold' AND dispute LIKE '%%lost'",
        "INV-18",
        r"The payment 'stripe:pi:.*' of account {account} granted 4,000,000 .*; 11,000,000 .* were taken back",
    ),
    "a hold's refund was changed": (
        "UPDATE ledger.holds SET refunded_micros = 1 WHERE mine AND refunded_micros > 0",
        "INV-8/INV-11/INV-17",
        r"of account {account} is settled: .* refunded 1 micro-credits; .* refunded 500,000 micro-credits",
    ),
    "a delivered generation was charged another amount": (
        "UPDATE store.generations SET settled_microcredits = 9 WHERE mine AND status = 'succeeded'",
        "INV-28/INV-29",
        r"Generation .* of account {account} was charged 9 micro-credits; its hold settled 0",
    ),
    "a failed generation says that it was delivered": (
        "UPDATE store.generations SET status = 'succeeded', settled_microcredits = 0, error_code = NULL,"
        " error_message = NULL WHERE mine AND status = 'failed'",
        "INV-28/INV-29",
        r"Generation .* of account {account} is succeeded and its hold is released",
    ),
}


@pytest.fixture(scope="module")
async def damaged() -> AsyncIterator[tuple[Conn, dict[str, str]]]:
    """A database in which every kind of damage was done, each to an account of its own."""
    pool = await open_pool(await fresh_database(), size_max=1)
    async with single(pool) as conn:
        accounts = {kind: await an_account_with_everything(conn) for kind in KINDS}
        assert (await verify(conn)).violations == []
        await take_the_guards_down(conn)
        for kind, account in accounts.items():
            await damage(conn, KINDS[kind][0], account)
        yield conn, accounts
    await pool.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_damage_is_found_and_named(damaged: tuple[Conn, dict[str, str]], kind: str) -> None:
    conn, account = damaged[0], damaged[1][kind]
    _, invariant, words = KINDS[kind]

    in_parts = await verify(conn, account_id=account, batch_rows=SMALL)
    at_once = await verify(conn, account_id=account)

    first = in_parts.violations[0]
    assert (first.invariant, first.account_id) == (invariant, account), first
    assert re.search(words.format(account=account), str(first)), first
    assert [str(one) for one in in_parts.violations] == [str(one) for one in at_once.violations]


async def test_of_many_damages_the_first_in_the_order_of_the_entries_is_named(
    damaged: tuple[Conn, dict[str, str]],
) -> None:
    conn, accounts = damaged
    in_entries = {accounts[kind] for kind, (_, invariant, _) in KINDS.items() if invariant in _OF_ENTRIES}

    found = await verify(conn, batch_rows=SMALL)

    assert found.violations[0].account_id == min(in_entries)


_OF_ENTRIES = {"INV-3", "INV-4", "INV-20"}
