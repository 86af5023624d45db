"""The database steps of a generation: each one short transaction, safe to repeat."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity

from activities.failures import named_failures
from domain.assets import ObjectStore
from domain.generation import Admission, Finished, GenerationRequest, Outcome
from store import generations
from store.connection import Pool, single


class RecordActivities:
    def __init__(self, *, pool: Pool, assets: ObjectStore, file_url_ttl: timedelta) -> None:
        self._pool = pool
        self._assets = assets
        self._file_url_ttl = file_url_ttl

    @activity.defn
    async def admit_generation(self, request: GenerationRequest) -> Admission:
        """Write the record and hold the credits, in one transaction. A repeat gives the same answer.

        Fails with: concurrency_limit_exceeded, insufficient_credits, insufficient_permissions (account frozen),
        queue_unavailable (too late).
        """
        with named_failures():
            async with single(self._pool) as conn:
                return await generations.admit(conn, request)

    @activity.defn
    async def finish_generation(self, outcome: Outcome) -> Finished:
        """Write how it ended, settle or release the hold, queue the webhooks, in one transaction.

        The first outcome stands; a repeat, or a later one, reads it.
        """
        with named_failures(keep_trying=True):
            urls = [await self._assets.url(asset.key, expires_in=self._file_url_ttl) for asset in outcome.assets]
            async with single(self._pool) as conn:
                return await generations.finish(conn, outcome, output_urls=urls)
