"""Scheduled: removes what has been kept for as long as its account's plan says, copies of input files, and credits that
have expired."""

from __future__ import annotations

from dataclasses import dataclass, replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.input_files import InputFileActivities
    from activities.retention import RetentionActivities, SweepAccounts, Swept
    from workflows import options

_CREDITS_EXPIRE = "credits-expire"  # sweeps that began before this do not look at them


@dataclass(frozen=True)
class RetentionSweep:
    """A sweep under way: what it has removed, and how far it is. At its end, its result."""

    files: int = 0  # generations that lost theirs
    generations: int = 0
    deliveries: int = 0
    requests: int = 0
    storage_down: bool = False  # it is not asked again in this sweep
    more: bool = False  # an account that was passed has more than a batch
    after: str | None = None
    steps_max: int = 500  # of one run: some 6,000 events of history, of 51,200 that a run may have

    def with_step(self, step: Swept) -> RetentionSweep:
        return replace(
            self,
            files=self.files + step.files,
            generations=self.generations + step.generations,
            deliveries=self.deliveries + step.deliveries,
            requests=self.requests + step.requests,
            storage_down=step.storage_down,
            more=self.more or step.more,
            after=step.next_after,
        )


@workflow.defn
class RetentionWorkflow:
    """All accounts, page by page, and all of them again while one has more than a batch to remove."""

    @workflow.run
    async def run(self, sweep: RetentionSweep = RetentionSweep()) -> RetentionSweep:
        for _ in range(sweep.steps_max):
            if sweep.after is None:
                sweep = replace(sweep, more=False)
            sweep = sweep.with_step(await self._step(sweep))
            if sweep.after is None and not sweep.more:
                break
        else:
            workflow.continue_as_new(sweep)
        await self._forget_request_writers()
        await self._remove_input_files()
        if workflow.patched(_CREDITS_EXPIRE):
            await self._expire_credits()
        return sweep

    async def _step(self, sweep: RetentionSweep) -> Swept:
        page = SweepAccounts(after=sweep.after, files=not sweep.storage_down)
        return await workflow.execute_activity_method(RetentionActivities.sweep_accounts, page, **options.SWEEP)

    async def _remove_input_files(self) -> None:
        after: str | None = None
        while after := await workflow.execute_activity_method(
            InputFileActivities.remove_input_files, after, **options.SWEEP
        ):
            pass

    async def _expire_credits(self) -> None:
        after: str | None = None
        while after := await workflow.execute_activity_method(
            RetentionActivities.expire_credits, after, **options.SWEEP
        ):
            pass

    async def _forget_request_writers(self) -> None:
        await workflow.execute_activity_method(RetentionActivities.forget_request_writers, **options.CHORE)
