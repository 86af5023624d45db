"""A submit whose answer holds the outputs: stored before it is written down, and never asked for twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from activities.provider import AdoptJob, Attempt, SubmitState
from domain.errors import ProviderInvalidOutput, SubmitAmbiguous
from domain.generation import AttemptState, Delivery, JobRef
from domain.provider import Job, JobState, Output
from store.connection import transaction
from tests.activities.conftest import Bench
from tests.activities.test_provider import run, state_of
from tests.support.requests import a_candidate

HERE = Output("data:image/png;base64,AAAA")  # the scripted fetcher serves a real file for it


async def synchronous(bench: Bench, *outputs: Output, **facts: Any) -> Attempt:
    _, attempt = await bench.admitted(candidates=[a_candidate(delivery=Delivery.SYNCHRONOUS)], **facts)
    bench.provider.submits = [Job(JobRef("req-1"), JobState.SUCCEEDED, outputs or (HERE,), cost_microcredits=900)]
    return attempt


async def test_what_the_answer_holds_is_stored_and_told_with_its_cost(bench: Bench) -> None:
    attempt = await synchronous(bench)

    submitted = await run(bench.steps.submit_job, attempt)

    assert (submitted.state, submitted.job) == (SubmitState.ACCEPTED, JobRef(attempt.attempt_id))
    (asset,) = submitted.collected.assets
    assert asset.key in bench.store.objects
    assert submitted.collected.cost_microcredits == 900
    assert await state_of(bench, attempt.attempt_id) is AttemptState.ACCEPTED


@pytest.mark.parametrize("step", ["submit", "adopt"])
async def test_a_repeat_after_a_crash_tells_the_same_without_asking_again(bench: Bench, step: str) -> None:
    attempt = await synchronous(bench)
    first = await run(bench.steps.submit_job, attempt)

    if step == "submit":
        again = await run(bench.steps.submit_job, attempt, attempt=2)
    else:
        again = await run(bench.steps.adopt_job, AdoptJob(attempt))

    assert again == first
    assert bench.provider.asked == ["submit"]
    assert len(bench.fetcher.fetched) == 1


async def test_no_more_outputs_are_stored_than_were_asked_for(bench: Bench) -> None:
    attempt = await synchronous(bench, HERE, HERE, HERE)

    submitted = await run(bench.steps.submit_job, attempt)

    assert len(submitted.collected.assets) == attempt.output_count == 1


async def test_an_output_that_is_no_file_ends_the_attempt(bench: Bench) -> None:
    attempt = await synchronous(bench)
    bench.fetcher.bodies = [ProviderInvalidOutput("cut off")]

    submitted = await run(bench.steps.submit_job, attempt)

    assert (submitted.state, submitted.failure.code) == (SubmitState.REFUSED, ProviderInvalidOutput.code)
    assert await state_of(bench, attempt.attempt_id) is AttemptState.FAILED


async def test_a_store_that_is_down_is_waited_for_because_nobody_else_has_the_outputs(bench: Bench) -> None:
    attempt = await synchronous(bench)
    bench.store.down = True

    step = asyncio.ensure_future(run(bench.steps.submit_job, attempt))
    while not bench.fetcher.fetched:  # noqa: ASYNC110 - a list has no event
        await asyncio.sleep(0.01)
    bench.store.down = False
    submitted = await step

    assert submitted.state is SubmitState.ACCEPTED
    assert bench.provider.asked == ["submit"]


async def test_a_lost_answer_is_written_off_at_once_with_its_expected_cost(bench: Bench) -> None:
    attempt = await synchronous(bench)
    bench.provider.submits = [SubmitAmbiguous("reset")]

    lost = await run(bench.steps.submit_job, attempt)
    written_off = await run(bench.steps.adopt_job, AdoptJob(attempt))

    assert (lost.state, written_off.state) == (SubmitState.AMBIGUOUS, SubmitState.REFUSED)
    async with transaction(bench.pool) as conn:
        cursor = await conn.execute(
            "SELECT state, cost_microcredits FROM store.attempts WHERE attempt_id = %s", [attempt.attempt_id]
        )
        assert await cursor.fetchone() == ("discarded", attempt.candidate.cost_microcredits)


async def test_an_answer_with_addresses_leaves_the_outputs_to_the_look(bench: Bench) -> None:
    elsewhere = Output("https://files.example.com/0.png")
    attempt = await synchronous(bench, elsewhere)

    submitted = await run(bench.steps.submit_job, attempt)

    assert (submitted.state, submitted.collected) == (SubmitState.ACCEPTED, None)
    assert bench.fetcher.fetched == []
