"""Random operations against a model that fits on a page. Each step's answer and balance must be the model's."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from psycopg import AsyncConnection

from store import ledger
from store.ledger import Granted, GrantSource, Released, Reserved, Settled
from tests.store.builders import a_work_id, an_account, freeze, hold
from tests.support.postgres import fresh_database

AMOUNTS = st.sampled_from([0, 1, 2, 5, 8, 9])  # few, so that repeats and parts are common
ROUNDS = int(os.environ.get("BABYSEA_ROUNDS", "12"))


@dataclass
class Held:
    amount: int
    state: str = "held"
    settled: int = 0


class LedgerMachine(RuleBasedStateMachine):
    """One account with too little for all that is asked of it."""

    works = Bundle("works")

    runner: asyncio.Runner
    conn: AsyncConnection[Any]

    @initialize()
    def open(self) -> None:
        self.run = self.runner.run
        self.account = self.run(an_account(self.conn))
        self.holds: dict[str, Held] = {}
        self.grants: dict[str, tuple[int, GrantSource]] = {}
        self.available = self.held = self.debt = self.revenue = 0
        self.frozen = False
        self.grant(10, "a", GrantSource.PAYMENT)

    @rule(target=works)
    def a_work(self) -> str:
        return a_work_id()

    @rule(amount=st.sampled_from([3, 10]), key=st.sampled_from("abc"), source=st.sampled_from(list(GrantSource)[:2]))
    def grant(self, amount: int, key: str, source: GrantSource) -> None:
        key = f"{self.account}:{key}"

        word = self.run(ledger.grant(self.conn, account_id=self.account, amount=amount, source=source, key=key))

        if key not in self.grants:
            self.grants[key] = (amount, source)
            repaid = min(amount, self.debt)
            self.debt -= repaid
            self.available += amount - repaid
            assert word is Granted.GRANTED
        else:
            same = self.grants[key] == (amount, source)
            assert word is (Granted.ALREADY_GRANTED if same else Granted.CONFLICT)

    @rule(target=works, amount=AMOUNTS)
    def reserve_anew(self, amount: int) -> str:
        work = a_work_id()
        self.reserve(work, amount)
        return work

    @rule(target=works)
    def reserve_all_there_is(self) -> str:
        return str(self.reserve_anew(self.available))

    @rule(work=works, amount=AMOUNTS)
    def reserve(self, work: str, amount: int) -> None:
        word = self.run(hold(self.conn, self.account, work, amount))

        known = self.holds.get(work)
        if known is None and self.frozen:
            expected = Reserved.FROZEN
        elif known is None and amount > self.available:
            expected = Reserved.INSUFFICIENT
        elif known is None:
            expected = Reserved.HELD
            self.holds[work] = Held(amount)
            self.available -= amount
            self.held += amount
        elif known.state != "held":
            expected = Reserved.CLOSED
        else:
            expected = Reserved.ALREADY_HELD if known.amount == amount else Reserved.CONFLICT
        assert word is expected

    @rule(work=works)
    def settle_in_full(self, work: str) -> None:
        self.settle(work, self.holds[work].amount if work in self.holds else 1)

    @rule(work=works, amount=AMOUNTS)
    def settle(self, work: str, amount: int) -> None:
        word = self.run(ledger.settle(self.conn, account_id=self.account, work_id=work, amount=amount))

        known = self.holds.get(work)
        if known is None:
            expected = Settled.NO_HOLD
        elif amount > known.amount:
            expected = Settled.CONFLICT
        elif known.state == "settled":
            expected = Settled.ALREADY_SETTLED if known.settled == amount else Settled.CONFLICT
        elif known.state == "held":
            expected = Settled.SETTLED
            self.held -= known.amount
            self.available += known.amount - amount
            self.revenue += amount
            known.state, known.settled = "settled", amount
        else:
            missing = max(0, amount - self.available)
            expected = Settled.SHORTFALL if missing else Settled.RECOLLECTED
            self.available -= amount - missing
            self.debt += missing
            self.revenue += amount
            known.state, known.settled = "settled", amount
        assert word is expected

    @rule(work=works, reason=st.sampled_from(["failed", ledger.EXPIRED]))
    def release(self, work: str, reason: str) -> None:
        word = self.run(ledger.release(self.conn, account_id=self.account, work_id=work, reason=reason))

        known = self.holds.get(work)
        if known is None:
            expected = Released.NO_HOLD
        elif known.state == "settled":
            expected = Released.ALREADY_SETTLED
        elif known.state == "released":
            expected = Released.ALREADY_RELEASED
        else:
            expected = Released.RELEASED
            self.held -= known.amount
            self.available += known.amount
            known.state = "released"
        assert word is expected

    @rule(amount=AMOUNTS)
    def deliver_late_and_find_nothing(self, amount: int) -> None:
        work = str(self.reserve_anew(amount))
        self.release(work, "failed")
        self.reserve_all_there_is()
        self.settle(work, amount)

    @rule(frozen=st.sampled_from([False, False, True]))
    def freeze(self, frozen: bool) -> None:
        self.run(freeze(self.conn, self.account, frozen=frozen))
        self.frozen = frozen

    @invariant()
    def the_balance_is_the_models(self) -> None:
        balance = self.run(ledger.balance(self.conn, self.account))

        assert (balance.available, balance.held, balance.debt) == (self.available, self.held, self.debt)
        granted = sum(amount for amount, _ in self.grants.values())
        assert granted == self.available + self.held + self.revenue - self.debt

    def teardown(self) -> None:
        assert self.run(ledger.check(self.conn)) == []


def test_random_operations_agree_with_the_model() -> None:
    class Machine(LedgerMachine):
        pass

    machine_settings = settings(
        max_examples=3 * ROUNDS, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
    with asyncio.Runner() as runner:
        url = runner.run(fresh_database())
        conn = runner.run(AsyncConnection.connect(url, autocommit=True, prepare_threshold=0))
        Machine.runner, Machine.conn = runner, conn
        run_state_machine_as_test(Machine, settings=machine_settings)
        runner.run(conn.close())
