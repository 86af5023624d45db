"""Random operations of every kind on two accounts, against a model that fits on two pages.

Each answer and each balance must be the model's, after thousands of steps; at the end of each run `verify` proves the
books. BABYSEA_SEED repeats a run and shrinks what it finds, BABYSEA_ROUNDS makes it longer.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    get_state_machine_test,
    initialize,
    invariant,
    rule,
)
from psycopg import AsyncConnection

from store import ledger, ledger_payments
from store.ledger import Granted, GrantSource, Refunded, Released, Reserved, Settled
from store.ledger_payments import Adjusted, Clawed, Disputed, DisputeOutcome, Restored
from store.ledger_verification import verify
from tests.store.builders import a_work_id, an_account, freeze, hold
from tests.support.postgres import fresh_database

AMOUNTS = st.sampled_from([0, 1, 2, 5, 8, 9])  # few, so that repeats and parts are common
SOME = st.sampled_from([1, 2, 5, 8])
WHO = st.sampled_from([0, 0, 0, 1])
ROUNDS = int(os.environ.get("BABYSEA_ROUNDS", "12"))
STEPS = 60

T = TypeVar("T")


@dataclass
class Held:
    amount: int
    state: str = "held"
    settled: int = 0
    refunded: int = 0


@dataclass
class Payment:
    """What a grant still stands for: clawbacks and disputes take from it."""

    who: int
    amount: int
    taken: int = 0


@dataclass
class Dispute:
    who: int
    payment: str
    amount: int
    held: int  # as far as it was there
    end: str | None = None


@dataclass
class Model:
    """One account."""

    available: int = 0
    held: int = 0
    debt: int = 0
    disputed: int = 0
    frozen: bool = False
    holds: dict[str, Held] = field(default_factory=dict)

    def credit(self, amount: int) -> None:
        """What comes in pays debt first."""
        paid = min(self.debt, amount)
        self.debt -= paid
        self.available += amount - paid

    def take(self, amount: int) -> int:
        """From available, and the rest becomes debt. What was missing."""
        missing = max(0, amount - self.available)
        self.available -= amount - missing
        self.debt += missing
        return missing


class LedgerMachine(RuleBasedStateMachine):
    """Two accounts with too little for all that is asked of them; keys and work ids are shared on purpose."""

    works = Bundle("works")
    payments = Bundle("payments")
    clawbacks = Bundle("clawbacks")
    disputes = Bundle("disputes")

    runner: asyncio.Runner
    conn: AsyncConnection[Any]
    steps = 0

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        type(self).steps += 1
        return self.runner.run(step)

    @initialize()
    def open(self) -> None:
        self.accounts = [self.run(an_account(self.conn)) for _ in range(2)]
        self.models = [Model(), Model()]
        self.name = a_work_id()  # keys live in the whole ledger: those of other runs must not be met
        self.grants: dict[str, tuple[int, int, GrantSource]] = {}
        self.paid: dict[str, Payment] = {}
        self.refunds: dict[tuple[int, str], tuple[str, int]] = {}
        self.adjusted: dict[tuple[int, str], int] = {}
        self.clawed: dict[str, tuple[int, str, int]] = {}
        self.restored: set[str] = set()
        self.disputed: dict[str, Dispute] = {}
        self.grant(0, 10, "a", GrantSource.PAYMENT)
        self.grant(1, 10, "b", GrantSource.PAYMENT)

    # --- credits come in ------------------------------------------------------------------------------------------

    @rule(
        target=payments,
        who=WHO,
        amount=st.sampled_from([3, 10]),
        key=st.sampled_from("abcde"),
        source=st.sampled_from([GrantSource.PAYMENT, GrantSource.PAYMENT, GrantSource.PROMOTION]),
    )
    def grant(self, who: int, amount: int, key: str, source: GrantSource) -> str:
        key = f"stripe:pi:{self.name}:{key}"

        word = self.run(ledger.grant(self.conn, account_id=self.accounts[who], amount=amount, source=source, key=key))

        if key not in self.grants:
            self.grants[key] = (who, amount, source)
            self.paid[key] = Payment(who, amount)
            self.models[who].credit(amount)
            assert word is Granted.GRANTED
        else:
            same = self.grants[key] == (who, amount, source)
            assert word is (Granted.ALREADY_GRANTED if same else Granted.CONFLICT)
        return key

    # --- the life of a hold ---------------------------------------------------------------------------------------

    @rule(target=works, who=WHO, amount=AMOUNTS)
    def reserve_anew(self, who: int, amount: int) -> str:
        work = a_work_id()
        self.reserve(who, work, amount)
        return work

    @rule(target=works, who=WHO)
    def reserve_all_there_is(self, who: int) -> str:
        return str(self.reserve_anew(who, self.models[who].available))

    @rule(who=WHO, work=works, amount=AMOUNTS)
    def reserve(self, who: int, work: str, amount: int) -> None:
        word = self.run(hold(self.conn, self.accounts[who], work, amount))

        model = self.models[who]
        known = model.holds.get(work)
        if known is None and model.frozen:
            expected = Reserved.FROZEN
        elif known is None and amount > model.available:
            expected = Reserved.INSUFFICIENT
        elif known is None:
            expected = Reserved.HELD
            model.holds[work] = Held(amount)
            model.available -= amount
            model.held += amount
        elif known.state != "held":
            expected = Reserved.CLOSED
        else:
            expected = Reserved.ALREADY_HELD if known.amount == amount else Reserved.CONFLICT
        assert word is expected

    @rule(who=WHO, work=works)
    def settle_in_full(self, who: int, work: str) -> None:
        known = self.models[who].holds.get(work)
        self.settle(who, work, known.amount if known else 1)

    @rule(who=WHO, work=works, amount=AMOUNTS)
    def settle(self, who: int, work: str, amount: int) -> None:
        word = self.run(ledger.settle(self.conn, account_id=self.accounts[who], work_id=work, amount=amount))

        model = self.models[who]
        known = model.holds.get(work)
        if known is None:
            expected = Settled.NO_HOLD
        elif amount > known.amount:
            expected = Settled.CONFLICT
        elif known.state == "settled":
            expected = Settled.ALREADY_SETTLED if known.settled == amount else Settled.CONFLICT
        elif known.state == "held":
            expected = Settled.SETTLED
            model.held -= known.amount
            model.available += known.amount - amount
            known.state, known.settled = "settled", amount
        else:
            expected = Settled.SHORTFALL if model.take(amount) else Settled.RECOLLECTED
            known.state, known.settled = "settled", amount
        assert word is expected

    @rule(who=WHO, work=works, reason=st.sampled_from(["failed", ledger.EXPIRED]))
    def release(self, who: int, work: str, reason: str) -> None:
        word = self.run(ledger.release(self.conn, account_id=self.accounts[who], work_id=work, reason=reason))

        model = self.models[who]
        known = model.holds.get(work)
        if known is None:
            expected = Released.NO_HOLD
        elif known.state == "settled":
            expected = Released.ALREADY_SETTLED
        elif known.state == "released":
            expected = Released.ALREADY_RELEASED
        else:
            expected = Released.RELEASED
            model.held -= known.amount
            model.available += known.amount
            known.state = "released"
        assert word is expected

    @rule(who=WHO, amount=AMOUNTS)
    def deliver_late_and_find_nothing(self, who: int, amount: int) -> None:
        work = str(self.reserve_anew(who, amount))
        self.release(who, work, "failed")
        self.reserve_all_there_is(who)
        self.settle(who, work, amount)

    @rule(who=WHO, work=works, amount=SOME, key=st.sampled_from("xyz"))
    def refund_settled(self, who: int, work: str, amount: int, key: str) -> None:
        key = f"refund:{key}"

        word = self.run(
            ledger.refund_settled(
                self.conn,
                account_id=self.accounts[who],
                work_id=work,
                amount=amount,
                actor="ada",
                reason="a bad picture",
                key=key,
            )
        )

        model = self.models[who]
        known = model.holds.get(work)
        before = self.refunds.get((who, key))
        if before is not None:
            expected = Refunded.ALREADY_REFUNDED if before == (work, amount) else Refunded.CONFLICT
        elif known is None or known.state != "settled":
            expected = Refunded.CONFLICT
        elif known.refunded + amount > known.settled:
            expected = Refunded.TOO_MUCH
        else:
            expected = Refunded.REFUNDED
            self.refunds[(who, key)] = (work, amount)
            known.refunded += amount
            model.credit(amount)
        assert word is expected

    # --- payments that come undone --------------------------------------------------------------------------------

    @rule(target=clawbacks, who=WHO, payment=payments, amount=SOME, key=st.sampled_from("pqrs"))
    def claw_back(self, who: int, payment: str, amount: int, key: str) -> str:
        key = f"stripe:refund:{self.name}:{key}"

        word = self.run(
            ledger_payments.claw_back(
                self.conn, account_id=self.accounts[who], amount=amount, payment_key=payment, key=key
            )
        )

        paid = self.paid[payment]
        if key in self.clawed:
            expected = Clawed.ALREADY_CLAWED if self.clawed[key] == (who, payment, amount) else Clawed.CONFLICT
        elif paid.who != who or paid.taken + amount > paid.amount:
            expected = Clawed.CONFLICT
        else:
            self.clawed[key] = (who, payment, amount)
            paid.taken += amount
            expected = Clawed.PARTLY_DEBT if self.models[who].take(amount) else Clawed.CLAWED
        assert word is expected
        return key

    @rule(who=WHO, clawback=clawbacks)
    def restore_clawback(self, who: int, clawback: str) -> None:
        word = self.run(
            ledger_payments.restore_clawback(
                self.conn, account_id=self.accounts[who], clawback_key=clawback, key=f"{clawback}:failed"
            )
        )

        known = self.clawed.get(clawback)
        if known is None or known[0] != who:
            expected = Restored.CONFLICT
        elif clawback in self.restored:
            expected = Restored.ALREADY
        else:
            expected = Restored.RESTORED
            self.restored.add(clawback)
            self.paid[known[1]].taken -= known[2]
            self.models[who].credit(known[2])
        assert word is expected

    @rule(target=disputes, who=WHO, payment=payments, amount=SOME, name=st.sampled_from("uvw"))
    def dispute_hold(self, who: int, payment: str, amount: int, name: str) -> str:
        name = f"stripe:dispute:{self.name}:{name}"

        word = self.run(
            ledger_payments.dispute_hold(
                self.conn,
                account_id=self.accounts[who],
                amount=amount,
                dispute=name,
                payment_key=payment,
                key=f"{name}:held",
            )
        )

        paid, known = self.paid[payment], self.disputed.get(name)
        if known is not None:
            same = (known.who, known.payment, known.amount) == (who, payment, amount)
            expected = Disputed.ALREADY if same else Disputed.CONFLICT
        elif paid.who != who or paid.taken + amount > paid.amount:
            expected = Disputed.CONFLICT
        else:
            expected = Disputed.HELD
            model = self.models[who]
            held = min(model.available, amount)
            model.available -= held
            model.disputed += held
            paid.taken += amount
            self.disputed[name] = Dispute(who, payment, amount, held)
        assert word is expected
        return name

    @rule(dispute=consumes(disputes), outcome=st.sampled_from(list(DisputeOutcome)))
    def dispute_end(self, dispute: str, outcome: DisputeOutcome) -> None:
        known = self.disputed.get(dispute)
        if known is None:  # refused at its hold
            return
        for again in (False, True):
            word = self.run(
                ledger_payments.dispute_end(
                    self.conn,
                    account_id=self.accounts[known.who],
                    dispute=dispute,
                    outcome=outcome,
                    key=f"{dispute}:{outcome}",
                )
            )
            if known.end is not None:
                expected = Disputed.ALREADY if known.end == outcome else Disputed.CONFLICT
            else:
                assert not again
                expected = self.end(known, outcome)
            assert word is expected

    def end(self, dispute: Dispute, outcome: DisputeOutcome) -> Disputed:
        model = self.models[dispute.who]
        model.disputed -= dispute.held
        dispute.end = outcome
        if outcome is DisputeOutcome.RESTORED:
            self.paid[dispute.payment].taken -= dispute.amount
            model.credit(dispute.held)
            return Disputed.RESTORED
        model.take(dispute.amount - dispute.held)
        return Disputed.LOST

    # --- operators ------------------------------------------------------------------------------------------------

    @rule(who=WHO, amount=st.sampled_from([-8, -2, -1, 1, 4]), key=st.sampled_from("mno"))
    def adjust(self, who: int, amount: int, key: str) -> None:
        key = f"adjust:{key}"

        word = self.run(
            ledger_payments.adjust(
                self.conn,
                account_id=self.accounts[who],
                amount=amount,
                actor_one="ada",
                actor_two="bob",
                reason="a mistake",
                key=key,
            )
        )

        model = self.models[who]
        if (who, key) in self.adjusted:
            expected = Adjusted.ALREADY if self.adjusted[(who, key)] == amount else Adjusted.CONFLICT
        elif amount < 0 and -amount > model.available:
            expected = Adjusted.CONFLICT
        else:
            expected = Adjusted.ADJUSTED
            self.adjusted[(who, key)] = amount
            if amount > 0:
                model.credit(amount)
            else:
                model.available += amount
        assert word is expected

    @rule(who=WHO, frozen=st.sampled_from([False, False, True]))
    def freeze(self, who: int, frozen: bool) -> None:
        self.run(freeze(self.conn, self.accounts[who], frozen=frozen))
        self.models[who].frozen = frozen

    # --- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def the_balances_are_the_models(self) -> None:
        which = type(self).steps % 2  # a difference stays, so the other one is seen a step later
        model = self.models[which]
        found = self.runner.run(ledger.balance(self.conn, self.accounts[which]))
        told = (found.available, found.held, found.debt, found.disputed)
        assert told == (model.available, model.held, model.debt, model.disputed)

    def teardown(self) -> None:
        for account in self.accounts:
            assert self.runner.run(verify(self.conn, account_id=account, batch_rows=20)).violations == []


def test_random_operations_agree_with_the_model() -> None:
    """INV-1 to INV-18, by thousands of steps."""
    number = int(os.environ.get("BABYSEA_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {number}")

    class Machine(LedgerMachine):
        pass

    machine_settings = settings(
        max_examples=3 * ROUNDS,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if "BABYSEA_SEED" in os.environ else (Phase.generate,),
    )
    with asyncio.Runner() as runner:
        url = runner.run(fresh_database())
        conn = runner.run(AsyncConnection.connect(url, autocommit=True, prepare_threshold=0))
        Machine.runner, Machine.conn = runner, conn
        seed(number)(get_state_machine_test(Machine, settings=machine_settings))()
        print(f"{Machine.steps} operations")
        assert Machine.steps >= 100 * ROUNDS
        assert runner.run(ledger.check(conn)) == []
        assert runner.run(verify(conn)).violations == []
        runner.run(conn.close())
