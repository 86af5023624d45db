"""Scheduled: proves that the books balance, and seals the months that have ended."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.ledger_verification import LedgerVerificationActivities, LedgerVerified
    from workflows import options


@workflow.defn
class LedgerVerificationWorkflow:
    """One verification of what is new in the ledger, or of all of it. It mends nothing: that is for a person."""

    @workflow.run
    async def run(self) -> LedgerVerified:
        return await workflow.execute_activity_method(LedgerVerificationActivities.verify_ledger, **options.VERIFY)
