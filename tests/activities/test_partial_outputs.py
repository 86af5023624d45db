"""Fewer outputs than asked for, from the provider's answer to the account's balance."""

from __future__ import annotations

import pytest
from temporalio.testing import ActivityEnvironment

from activities.provider import Collected, CollectJob
from domain import ending
from domain.errors import ProviderInvalidOutput
from domain.generation import Deviation, Finished, GenerationStatus, JobRef, Measure
from domain.provider import Job, JobState, Output
from store import generations
from store.connection import transaction
from tests.activities.conftest import Bench, png

QUOTE = 10  # of three outputs: no whole number each


async def collected(bench: Bench, outputs: int) -> tuple[Collected, Finished | None, str]:
    """A generation of three images whose job made so many."""
    params = {"generation_output_number": 3, "generation_output_format": "png", "generation_ratio": "1:1"}
    request, attempt = await bench.admitted(quote_microcredits=QUOTE, output_count=3, params=params)
    bench.fetcher.bodies = [png()]
    files = tuple(Output(f"https://out/{index}.png") for index in range(outputs))
    bench.provider.reads = [Job(JobRef("job-1"), JobState.SUCCEEDED, files)]
    await ActivityEnvironment().run(bench.steps.submit_job, attempt)
    made = await ActivityEnvironment().run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")))
    if not made.assets:
        return made, None, request.generation_id
    outcome = ending.succeeded(
        request,
        attempt_number=1,
        provider="replicate",
        assets=made.assets,
        failures=[],
        cost_microcredits=None,
        predict_time_s=None,
    )
    finished = await ActivityEnvironment().run(bench.records.finish_generation, outcome)
    return made, finished, request.generation_id


@pytest.mark.parametrize(("outputs", "charged"), [(1, 3), (2, 6), (3, 10), (5, 10)])
async def test_outputs_are_paid_by_their_part_rounded_down(bench: Bench, outputs: int, charged: int) -> None:
    before = await bench.balance()

    _, finished, generation_id = await collected(bench, outputs)

    after = await bench.balance()
    async with transaction(bench.pool) as conn:
        record = await generations.get(conn, bench.account_id, generation_id)
    assert finished is not None
    assert record is not None
    assert (finished.status, record.settled_microcredits) == (GenerationStatus.SUCCEEDED, charged)
    assert (before.available - after.available, after.held) == (charged, 0)
    delivered = min(outputs, 3)
    assert len(record.assets) == delivered
    assert record.deviations == ([Deviation(Measure.COUNT, "3", str(delivered))] if delivered < 3 else [])


async def test_no_output_at_all_is_the_providers_failure(bench: Bench) -> None:
    made, _, _ = await collected(bench, 0)

    assert made.assets == []
    assert made.failure is not None
    assert (made.failure.code, made.failure.fault) == (ProviderInvalidOutput.code, "provider")
