"""The proof of the ledger as a step: what it finds is a record, a log line and a metric."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from temporalio import activity

from activities.failures import named_failures
from activities.heartbeat import heartbeating
from store import ledger_verifications
from store.connection import Pool, single
from store.ledger_verification import reading, verify

VIOLATIONS_METRIC = "babysea_ledger_violations"  # a gauge: kinds of violation that the last verification found
SPEED_METRIC = "babysea_ledger_verified_rows_per_second"

log = logging.getLogger("babysea.ledger")


@dataclass(frozen=True)
class LedgerVerified:
    """For whoever looks at the run in Temporal."""

    entries: int
    holds: int
    grants: int
    generations: int
    seconds: float
    violations: list[str]


class LedgerVerificationActivities:
    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    @activity.defn
    async def verify_ledger(self) -> LedgerVerified:
        """Recompute the whole ledger from its entries, in one snapshot. A violation is an alarm and stops nothing."""
        with named_failures(), heartbeating():
            async with reading(str(self._pool.conninfo)) as conn:
                done = await verify(conn)
            async with single(self._pool) as conn:
                await ledger_verifications.keep(conn, done)
        violations = [str(violation) for violation in done.violations]
        for violation in violations:
            log.error("ledger_violation %s", violation)
        log.info(
            "ledger_verified entries=%d holds=%d violations=%d seconds=%.1f",
            *(done.entries, done.holds, len(violations), done.seconds),
        )
        meter = activity.metric_meter()
        meter.create_gauge(VIOLATIONS_METRIC, "Kinds of violation that the last verification found").set(
            len(violations)
        )
        meter.create_gauge(SPEED_METRIC, "Rows per second of the last verification").set(round(done.rows_per_second))
        return LedgerVerified(done.entries, done.holds, done.grants, done.generations, done.seconds, violations)
