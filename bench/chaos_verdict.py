"""What a chaos run must not have done, counted from the records: lost, made twice, charged twice or for nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from psycopg import AsyncConnection

from store.ledger_verification import reading, verify

_COUNTS = """
WITH mine AS (
    SELECT generation.*, hold.state AS hold_state
      FROM store.generations AS generation
      LEFT JOIN ledger.holds AS hold
        ON (hold.account_id, hold.work_id) = (generation.account_id, generation.generation_id)
     WHERE generation.account_id = ANY(%(accounts)s::uuid[])
),
charged AS (
    SELECT work_id, count(*) FILTER (WHERE operation IN ('settle', 'recollect')) AS charges,
           count(*) FILTER (WHERE operation = 'reserve') AS holds
      FROM ledger.transfers
     WHERE account_id = ANY(%(accounts)s::uuid[]) AND work_id IS NOT NULL
     GROUP BY work_id
)
SELECT (SELECT count(*) FROM mine WHERE NOT abandoned),
       (SELECT count(*) FROM mine WHERE abandoned),
       (SELECT count(*) FROM mine WHERE completed_at IS NULL),
       (SELECT count(*) FROM charged WHERE charges > 1 OR holds > 1),
       (SELECT count(*) FROM mine JOIN charged ON work_id = generation_id WHERE charges > 0 AND status <> 'succeeded'),
       (SELECT count(*) FROM mine LEFT JOIN charged ON work_id = generation_id
         WHERE status = 'succeeded' AND coalesce(charges, 0) = 0 AND settled_microcredits > 0),
       (SELECT count(*) FROM mine WHERE status = 'succeeded' AND NOT EXISTS (
            SELECT FROM store.assets WHERE assets.generation_id = mine.generation_id)),
       (SELECT count(*) FROM mine WHERE hold_state = 'held'),
       (SELECT count(*) FROM ledger.holds WHERE state = 'held' AND expires_at < clock_timestamp()),
       (SELECT count(*) FROM (
            SELECT FROM store.attempts JOIN mine USING (generation_id)
             WHERE attempts.state = 'used' GROUP BY generation_id HAVING count(*) > 1) AS twice)
"""


@dataclass
class Verdict:
    """All of these are counts of generations, and zero when the run was good; those with a default tell more of it."""

    asked: int
    lost: int  # its end was never heard of, or it is not recorded
    unended: int
    made_twice: int  # admitted generations that no request of ours stands for
    charged_twice: int
    charged_for_nothing: int
    delivered_unpaid: int
    delivered_without_a_file: int
    used_two_attempts: int
    open_holds: int
    holds_past_deadline: int
    violations: list[str]
    seconds: float
    abandoned: int = 0  # no fault: refused before anything was held, and asked for again under the same key
    kills: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    unheard: list[str] = field(default_factory=list)  # instead of an end

    @property
    def passed(self) -> bool:
        return not self.violations and not any(
            (
                self.lost,
                self.unended,
                self.made_twice,
                self.charged_twice,
                self.charged_for_nothing,
                self.delivered_unpaid,
                self.delivered_without_a_file,
                self.used_two_attempts,
                self.open_holds,
                self.holds_past_deadline,
            )
        )

    def document(self) -> dict[str, Any]:
        return {"passed": self.passed, **asdict(self)}


async def judge(
    database_url: str,
    accounts: list[str],
    *,
    asked: int,
    unheard: list[str],
    seconds: float,
    kills: dict[str, int],
    statuses: dict[str, int],
) -> Verdict:
    """`unheard`: of each request whose end the customer never saw, what was heard instead."""
    async with reading(database_url) as conn:
        made, abandoned, unended, *counts = await _counts(conn, accounts)
        violations = [str(violation) for violation in (await verify(conn)).violations]
    twice, for_nothing, unpaid, without_file, open_holds, past_deadline, used_two = counts
    return Verdict(
        asked=asked,
        lost=len(unheard) + max(asked - made, 0),
        unended=unended,
        made_twice=max(made - asked, 0),
        charged_twice=twice,
        charged_for_nothing=for_nothing,
        delivered_unpaid=unpaid,
        delivered_without_a_file=without_file,
        used_two_attempts=used_two,
        open_holds=open_holds,
        holds_past_deadline=past_deadline,
        violations=violations,
        seconds=round(seconds, 1),
        abandoned=abandoned,
        kills=kills,
        statuses=statuses,
        unheard=unheard,
    )


async def _counts(conn: AsyncConnection[Any], accounts: list[str]) -> tuple[int, ...]:
    row = await (await conn.execute(_COUNTS, {"accounts": accounts})).fetchone()
    assert row is not None
    return tuple(row)
