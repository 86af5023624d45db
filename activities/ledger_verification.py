"""The proof of the ledger as a step: a record, a log line, a metric, and a seal for each month that has ended."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import activity

from activities.failures import named_failures
from activities.heartbeat import heartbeating
from store import ledger_verifications
from store.connection import Pool, single
from store.ledger_incremental import forget_checkpoint, verify_scheduled
from store.ledger_seals import close_months, verify_seals
from store.ledger_verification import Verification, reading

VIOLATIONS_METRIC = "babysea_ledger_violations"  # a gauge: kinds of violation that the last verification found
SPEED_METRIC = "babysea_ledger_verified_rows_per_second"
KIND_METRIC = "babysea_ledger_verification_is_full"  # 1: it read everything; 0: what was new
BORDER_METRIC = "babysea_ledger_verified_up_to_transfer"

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
    is_full: bool = True
    up_to_transfer: int = 0
    sealed: list[str] = field(default_factory=list)  # periods


class LedgerVerificationActivities:
    def __init__(self, *, pool: Pool, full_every: timedelta = timedelta(days=1)) -> None:
        self._pool = pool
        self._full_every = full_every

    @activity.defn
    async def verify_ledger(self) -> LedgerVerified:
        """Prove what is new in the ledger, or all of it and its seals, in one snapshot; seal months that ended.

        A violation is an alarm and stops nothing; but nothing is sealed then. Safe to repeat.
        """
        with named_failures(), heartbeating():
            async with reading(str(self._pool.conninfo)) as conn:
                done = await verify_scheduled(conn, full_every=self._full_every)
                if done.is_full:
                    differing = (await verify_seals(conn)).violation
                    if differing is not None:
                        done.violations.append(differing)
                        await forget_checkpoint(conn)
                sealed = [] if done.violations else [seal.name for seal in await close_months(conn)]
            async with single(self._pool) as conn:
                await ledger_verifications.keep(conn, done)
        violations = [str(violation) for violation in done.violations]
        for violation in violations:
            log.error("ledger_violation %s", violation)
        for period in sealed:
            log.info("ledger_sealed period=%s", period)
        log.info(
            "ledger_verified entries=%d holds=%d violations=%d seconds=%.1f full=%s up_to=%d",
            *(done.entries, done.holds, len(violations), done.seconds, done.is_full, done.up_to_transfer),
        )
        _measure(done)
        return LedgerVerified(
            done.entries,
            done.holds,
            done.grants,
            done.generations,
            done.seconds,
            violations,
            done.is_full,
            done.up_to_transfer,
            sealed,
        )


def _measure(done: Verification) -> None:
    meter = activity.metric_meter()
    for name, words, value in (
        (VIOLATIONS_METRIC, "Kinds of violation that the last verification found", len(done.violations)),
        (SPEED_METRIC, "Rows per second of the last verification", round(done.rows_per_second)),
        (KIND_METRIC, "Whether the last verification read everything", int(done.is_full)),
        (BORDER_METRIC, "Id of the transfer up to which the last verification is final", done.up_to_transfer),
    ):
        meter.create_gauge(name, words).set(value)
