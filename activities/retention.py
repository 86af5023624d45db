"""Removing what has been kept for as long as its account's plan says: files, records, deliveries, request log. And
what promotions left when they expired."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import activity

from activities.failures import named_failures
from activities.heartbeat import heartbeating
from domain.assets import ObjectStore, generation_folder
from domain.errors import ControlPlaneError, StorageUnavailable
from domain.plans import Plans, Retention
from store import idempotency, lots, requests, retention
from store.connection import Pool, single
from store.retention import Due, Stored, Terms

PAGE_ACCOUNTS = 2000  # looked at in one step,
DUE_ACCOUNTS = 50  # of which so many are worked on
BATCH_ROWS = 1000  # of each kind and account, in one step
FILES_AT_ONCE = 16

log = logging.getLogger("babysea.retention")


@dataclass(frozen=True)
class SweepAccounts:
    after: str | None = None  # the account that the step before ended with; None: begin with the first
    files: bool = True  # False: the object store was down; files stay, and with them their records


@dataclass(frozen=True)
class Swept:
    """What one step removed; `files` counts generations that have none any more."""

    files: int = 0
    generations: int = 0
    deliveries: int = 0
    requests: int = 0
    more: bool = False  # some account has more than a batch of something
    storage_down: bool = False
    next_after: str | None = None  # None: these were the last accounts


@dataclass
class _Tally:
    storage_down: bool
    removed: Counter[str] = field(default_factory=Counter)
    more: bool = False


class RetentionActivities:
    """What is to be removed follows from the rows alone: a step that was broken off is repeated, and goes on."""

    def __init__(
        self,
        *,
        pool: Pool,
        assets: ObjectStore,
        plans: Plans,
        page_accounts: int = PAGE_ACCOUNTS,
        due_accounts: int = DUE_ACCOUNTS,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self._pool = pool
        self._assets = assets
        self._plans = plans
        self._page_accounts = page_accounts
        self._due_accounts = due_accounts
        self._batch_rows = batch_rows

    @activity.defn
    async def sweep_accounts(self, sweep: SweepAccounts) -> Swept:
        """A batch of each kind for each account of a page that has something due.

        Files go first, then the row is marked, and only a marked row is removed: wherever this breaks off, nothing is
        stored that no row names.
        """
        tally = _Tally(storage_down=not sweep.files)
        with named_failures(), heartbeating():
            async with single(self._pool) as conn:
                page = await retention.accounts(conn, after=sweep.after, limit=self._page_accounts)
                terms = {account_id: terms_of(self._plans.of(plan).retention) for account_id, plan in page.items()}
                due = await retention.due(conn, terms, limit=self._due_accounts)
            for account in due:
                await self._sweep_account(account, terms[account.account_id], tally)
        return Swept(
            **tally.removed,
            more=tally.more,
            storage_down=tally.storage_down,
            next_after=self._next_after(list(page), due),
        )

    @activity.defn
    async def forget_request_writers(self) -> None:
        """What the request log remembers of API processes that are gone, and the rest of what deleted keys asked."""
        with named_failures():
            async with single(self._pool) as conn:
                await requests.forget_writers(conn)
                await requests.forget_deleted_keys(conn)

    @activity.defn
    async def expire_credits(self, after: str | None) -> str | None:
        """Burn what is left of the lots of a page of accounts; the account to go on after. A repeat burns nothing.

        Each account is a transaction of its own, so that one that fails blocks none behind it.
        """
        with named_failures(), heartbeating():
            async with single(self._pool) as conn:
                page = await lots.due(conn, after=after, limit=self._due_accounts)
            for account_id in page:
                try:
                    async with single(self._pool) as conn:
                        burned = await lots.expire(conn, account_id)
                except ControlPlaneError as error:
                    log.warning("expiry_skipped account=%s cause=%s", account_id, error.message)
                    continue
                if burned:
                    log.info("credits_expired account=%s microcredits=%d", account_id, burned)
        return page[-1] if len(page) == self._due_accounts else None

    def _next_after(self, page: list[str], due: list[Due]) -> str | None:
        if len(due) == self._due_accounts:
            return due[-1].account_id
        return page[-1] if len(page) == self._page_accounts else None

    async def _sweep_account(self, due: Due, terms: Terms, tally: _Tally) -> None:
        if due.files and not tally.storage_down:
            try:
                await self._remove_files(due.account_id, terms.files, tally)
            except StorageUnavailable as error:
                log.warning("retention_storage_unavailable cause=%s", error.message)
                tally.storage_down = True
        purges = [
            ("generations", due.files or due.generations, retention.purge_generations, terms.generations),
            ("deliveries", due.deliveries, retention.purge_deliveries, terms.deliveries),
            ("requests", due.requests, retention.purge_requests, terms.requests),
        ]
        for kind, wanted, purge, age in purges:
            if wanted:
                async with single(self._pool) as conn:
                    removed = await purge(conn, due.account_id, age, limit=self._batch_rows)
                tally.removed[kind] += removed
                tally.more |= removed == self._batch_rows

    async def _remove_files(self, account_id: str, age: timedelta, tally: _Tally) -> None:
        """Raises StorageUnavailable as soon as the store as a whole does not work; what is gone by then is marked."""
        async with single(self._pool) as conn:
            batch = await retention.files_due(conn, account_id, age, limit=self._batch_rows)
        await self._assets.check()
        before = tally.removed["files"]
        for start in range(0, len(batch), FILES_AT_ONCE):
            at_once = batch[start : start + FILES_AT_ONCE]
            done = await asyncio.gather(*(self._without_files(account_id, stored) for stored in at_once))
            gone = [generation_id for generation_id in done if generation_id is not None]
            async with single(self._pool) as conn:
                await retention.mark_files_removed(conn, gone)
            tally.removed["files"] += len(gone)
            if len(gone) < len(at_once):
                await self._assets.check()
        tally.more |= len(batch) == self._batch_rows and tally.removed["files"] > before

    async def _without_files(self, account_id: str, stored: Stored) -> str | None:
        """The id once nothing is stored for it. One whose files cannot be removed is left to the next sweep."""
        try:
            await self._assets.delete_folder(generation_folder(stored.region, account_id, stored.generation_id))
        except StorageUnavailable as error:
            log.warning("retention_files_skipped generation=%s cause=%s", stored.generation_id, error.message)
            return None
        return stored.generation_id


def terms_of(kept: Retention) -> Terms:
    """Files are not kept for longer than their record, nor a record for less long than an unanswered Idempotency-Key:
    whoever repeats that request must find what it started."""
    generations = max(kept.generation_records, idempotency.LIFE)
    return Terms(
        files=min(kept.output_files, generations),
        generations=generations,
        deliveries=kept.webhook_deliveries,
        requests=kept.request_log,
    )
