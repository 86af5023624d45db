"""Removing the copies of customers' input files, once nobody needs them any more."""

from __future__ import annotations

import asyncio
import logging

from temporalio import activity

from activities.failures import named_failures
from activities.heartbeat import heartbeating
from domain.assets import ObjectStore
from domain.errors import StorageUnavailable
from store import input_files
from store.connection import Pool, single

PAGE_ROWS = 100
FILES_AT_ONCE = 16

log = logging.getLogger("babysea.retention")


class InputFileActivities:
    def __init__(self, *, pool: Pool, assets: ObjectStore, page_rows: int = PAGE_ROWS) -> None:
        self._pool, self._assets, self._page_rows = pool, assets, page_rows

    @activity.defn
    async def remove_input_files(self, after: str | None) -> str | None:
        """Remove a page of copies, after this key; answers the key to go on from, None at the end.

        The object goes before its row, so whatever breaks off is found again. What the store does not remove is logged
        and left to the next sweep; a store that is down altogether ends this one.
        """
        with named_failures(), heartbeating():
            async with single(self._pool) as conn:
                page = await input_files.due(conn, after=after, limit=self._page_rows)
            for start in range(0, len(page), FILES_AT_ONCE):
                batch = page[start : start + FILES_AT_ONCE]
                gone = await asyncio.gather(*(self._removed(key) for key in batch))
                async with single(self._pool) as conn:
                    await input_files.forget(conn, [key for key in gone if key is not None])
                if not any(gone):
                    return None
        return page[-1] if len(page) == self._page_rows else None

    async def _removed(self, key: str) -> str | None:
        try:
            await self._assets.delete(key)
        except StorageUnavailable as error:
            log.warning("input_file_skipped key=%s cause=%s", key, error.message)
            return None
        return key
