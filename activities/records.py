"""The database steps of a generation: each one short transaction, safe to repeat."""

from __future__ import annotations

from temporalio import activity

from activities.failures import named_failures
from domain.generation import Admission, Finished, GenerationRequest, Outcome
from store import generations
from store.connection import Pool, transaction


class RecordActivities:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @activity.defn
    async def admit_generation(self, request: GenerationRequest) -> Admission:
        """Write the record and hold the credits, in one transaction. A repeat gives the same answer.

        Fails with: insufficient_credits, insufficient_permissions (account frozen), queue_unavailable (too late).
        """
        with named_failures():
            async with transaction(self._pool) as conn:
                return await generations.admit(conn, request)

    @activity.defn
    async def finish_generation(self, outcome: Outcome) -> Finished:
        """Write how it ended, settle or release the hold, queue the webhooks, in one transaction.

        The first outcome stands; a repeat, or a later one, reads it.
        """
        with named_failures():
            async with transaction(self._pool) as conn:
                return await generations.finish(conn, outcome)
