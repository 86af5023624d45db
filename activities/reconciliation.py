"""Finding what was left behind, by comparing the records with the executions that Temporal knows."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from temporalio import activity
from temporalio.service import RPCError

from activities.failures import named_failures
from activities.heartbeat import heartbeating
from domain import ending
from domain.errors import ControlPlaneError, GenerationNotFound
from domain.generation import GenerationStatus
from store import alerts, generations, idempotency, ledger, webhooks
from store.connection import Pool, single

GENERATION_AGE = timedelta(minutes=10)  # nobody asks about younger ones
DELIVERY_AGE = timedelta(minutes=2)
PAGE_ROWS = 100
PURGE_ROWS = 1000
EXPIRE_ROWS = 1000

log = logging.getLogger("babysea.reconciliation")


class Execution(StrEnum):
    """What Temporal knows of the workflow that works on something."""

    RUNNING = "running"
    CLOSED = "closed"
    UNKNOWN = "unknown"  # never started, or closed so long ago that it was removed


@dataclass(frozen=True)
class SweptPage:
    ended: int
    deliveries: list[str] = field(default_factory=list)  # to be rung
    next_after: str | None = None  # the cursor of the next page; None: this was the last one
    still_open: int = 0  # holds past their deadline that were left to a running workflow


class ReconciliationActivities:
    """Each step looks at one page and may be repeated. A row that fails is logged and left to the next sweep."""

    def __init__(
        self,
        *,
        pool: Pool,
        generation_execution: Callable[[str], Awaitable[Execution]],
        delivery_execution: Callable[[webhooks.Overdue], Awaitable[Execution]],
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self._pool = pool
        self._generation_execution = generation_execution
        self._delivery_execution = delivery_execution
        self._page_rows = page_rows

    @activity.defn
    async def end_lost_generations(self, after: str | None) -> SweptPage:
        """End as expired the generations whose workflow is gone. One whose workflow runs is left to it, however old.

        A repeat does not see those that ended the first time; `find_lost_deliveries` sees their webhooks.
        """
        ended, deliveries = 0, list[str]()
        with named_failures(), heartbeating():
            async with single(self._pool) as conn:
                page = await generations.unended(conn, older_than=GENERATION_AGE, after=after, limit=self._page_rows)
            for each in page:
                with _left_to_the_next_sweep("generation", each.generation_id):
                    if await self._generation_execution(each.generation_id) is Execution.RUNNING:
                        continue
                    outcome = ending.expired(generation_id=each.generation_id, account_id=each.account_id)
                    async with single(self._pool) as conn:
                        finished = await generations.finish(conn, outcome)
                    log.warning("generation_expired generation=%s", each.generation_id)
                    ended += 1
                    deliveries += finished.deliveries
        return SweptPage(ended, deliveries, self._next_after([each.generation_id for each in page]))

    @activity.defn
    async def find_lost_deliveries(self, after: str | None) -> SweptPage:
        """Name the deliveries that were never started, and give up those whose workflow closed without an end: an
        operator stopped it, or it cannot be sent. Starting it again would change none of it. What a stopped drain left
        is still in the queue. First, what has waited too long there ends.
        """
        given_up, never_started = 0, list[str]()
        with named_failures(), heartbeating():
            if after is None:
                given_up += await self._expire_queued()
            async with single(self._pool) as conn:
                page = await webhooks.overdue(conn, older_than=DELIVERY_AGE, after=after, limit=self._page_rows)
            for each in page:
                with _left_to_the_next_sweep("delivery", each.delivery_id):
                    execution = await self._delivery_execution(each)
                    if execution is Execution.RUNNING:
                        continue
                    if execution is Execution.UNKNOWN and not each.drained:
                        never_started.append(each.delivery_id)
                        continue
                    async with single(self._pool) as conn:
                        given_up += await webhooks.give_up(conn, each.delivery_id)
                    log.warning("delivery_given_up delivery=%s", each.delivery_id)
        return SweptPage(given_up, never_started, self._next_after([each.delivery_id for each in page]))

    @activity.defn
    async def purge_idempotency_keys(self) -> bool:
        """Remove a batch of keys past their life. True while there may be more."""
        with named_failures():
            async with single(self._pool) as conn:
                return await idempotency.purge(conn, limit=PURGE_ROWS) == PURGE_ROWS

    @activity.defn
    async def end_overdue_holds(self, after: str | None) -> SweptPage:
        """Release the holds past their deadline whose workflow is gone, with the generation where one is recorded. A
        running workflow is asked for, never overtaken: it releases its hold itself, and until then it is an alarm.
        """
        released, still_open, deliveries = 0, 0, list[str]()
        with named_failures(), heartbeating():
            async with single(self._pool) as conn:
                last = await _hold_named(conn, after) if after else None
                page = await ledger.overdue(conn, after=last, limit=self._page_rows)
            for hold in page:
                still_open += 1
                with _left_to_the_next_sweep("hold", hold.work_id):
                    if await self._generation_execution(hold.work_id) is Execution.RUNNING:
                        log.error(
                            "hold_overdue work=%s account=%s since=%s", hold.work_id, hold.account_id, hold.expires_at
                        )
                        continue
                    rung = await self._end_hold(hold)
                    if rung is not None:
                        log.warning("hold_expired work=%s account=%s", hold.work_id, hold.account_id)
                        released, still_open = released + 1, still_open - 1
                        deliveries += rung
        next_after = self._next_after([f"{hold.account_id} {hold.work_id} {hold.try_number}" for hold in page])
        return SweptPage(released, deliveries, next_after, still_open)

    async def _end_hold(self, hold: ledger.Hold) -> list[str] | None:
        """The deliveries to be rung; None for one that must be settled, which nobody but a person may do now."""
        deliveries: list[str] = []
        async with single(self._pool) as conn:
            try:
                finished = await generations.finish(
                    conn, ending.expired(generation_id=hold.work_id, account_id=hold.account_id)
                )
            except GenerationNotFound:
                pass
            else:
                if finished.status is GenerationStatus.SUCCEEDED:
                    log.error("hold_of_a_delivered_generation work=%s account=%s", hold.work_id, hold.account_id)
                    return None
                deliveries = finished.deliveries
            await ledger.release(
                conn,
                account_id=hold.account_id,
                work_id=hold.work_id,
                try_number=hold.try_number,
                reason=ledger.EXPIRED,
            )
        return deliveries

    @activity.defn
    async def watch_runways(self, after: str | None) -> SweptPage:
        """Look at the accounts that want to hear when their credits last for some hours only."""
        told, deliveries = 0, list[str]()
        with named_failures(), heartbeating():
            async with single(self._pool) as conn:
                page = await alerts.watched_runways(conn, after=after, limit=self._page_rows)
            for account_id in page:
                with _left_to_the_next_sweep("runway", account_id):
                    async with single(self._pool) as conn:
                        rung = await alerts.watch_runway(conn, account_id)
                    told += bool(rung)
                    deliveries += rung
        return SweptPage(told, deliveries, self._next_after(page))

    @activity.defn
    async def report_overdue_holds(self) -> int:
        """Log the oldest holds that are open past their deadline. For sweeps that began before `end_overdue_holds`."""
        with named_failures():
            async with single(self._pool) as conn:
                holds = await ledger.overdue(conn, limit=self._page_rows)
        for hold in holds:
            log.error("hold_overdue work=%s account=%s since=%s", hold.work_id, hold.account_id, hold.expires_at)
        return len(holds)

    async def _expire_queued(self) -> int:
        expired = 0
        while True:
            async with single(self._pool) as conn:
                batch = await webhooks.expire_queued(conn, limit=EXPIRE_ROWS)
            expired += batch
            if batch < EXPIRE_ROWS:
                break
        if expired:
            log.warning("deliveries_expired count=%d", expired)
        return expired

    def _next_after(self, ids: list[str]) -> str | None:
        return ids[-1] if len(ids) == self._page_rows else None


async def _hold_named(conn: AsyncConnection[Any], name: str) -> ledger.Hold | None:
    """Where a page ended: holds are kept, and their deadlines are fixed."""
    account_id, work_id, try_number = name.split()
    return await ledger.hold(conn, account_id=account_id, work_id=work_id, try_number=int(try_number))


@contextmanager
def _left_to_the_next_sweep(kind: str, row_id: str) -> Iterator[None]:
    """One bad row must not block the rows behind it."""
    try:
        yield
    except (ControlPlaneError, RPCError) as error:
        log.warning("reconciliation_skipped %s=%s cause=%r", kind, row_id, error)
