"""The generation's walk, step by step, with scripted steps and skipped time."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from domain.errors import (
    AllProvidersFailed,
    ContentRefused,
    GenerationNotCancelable,
    InsufficientCredits,
    OutputPersistFailed,
    ProviderAuthFailed,
    ProviderFailed,
    ProviderTimedOut,
    StorageUnavailable,
)
from domain.generation import AttemptState, Finished, GenerationStatus, JobRef
from tests.support.requests import a_request
from tests.workflows.conftest import Started, working
from tests.workflows.scripted_steps import (
    ScriptedSteps,
    accepted,
    ambiguous,
    delivered,
    gave_up,
    job_failed,
    refused,
    still_running,
)


async def test_a_generation_that_its_callback_completes(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps()
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        admission = await generation.admit()
        await steps.arrived["submit"].wait()
        await generation.ring()
        status = await generation.ended()

    assert admission.provider_order == ["replicate", "fal"]
    assert status == GenerationStatus.SUCCEEDED
    outcome = steps.asked["finish"][0]
    assert (outcome.provider_used, outcome.settle_microcredits, outcome.attempt_number) == ("replicate", 5_000, 1)
    assert len(steps.asked["collect"]) == 1


async def test_the_callback_path_stays_within_thirty_events(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(finish=[Finished(GenerationStatus.SUCCEEDED, ["d-1"])])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        await generation.until(EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)  # the submit's answer, as in ordinary life
        await generation.ring()
        await generation.ended()
        history = await generation.handle.fetch_history()

    assert len(history.events) <= 30


async def test_without_a_callback_polling_takes_over(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(collect=[still_running(), still_running(), delivered()])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    assert status == GenerationStatus.SUCCEEDED
    assert len(steps.asked["collect"]) == 3


@pytest.mark.parametrize("looks", [1, 40])
async def test_history_does_not_grow_with_the_time_that_a_provider_takes(
    skipping: WorkflowEnvironment, looks: int
) -> None:
    steps = ScriptedSteps(
        submit=[accepted(callback_wait_s=0)], collect=[*([still_running()] * (looks - 1)), delivered()]
    )
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        await generation.ended()
        history = await generation.handle.fetch_history()

    assert len(steps.asked["collect"]) == looks
    assert len(history.events) == 22


async def test_missing_credits_are_the_answer_and_no_workflow_lingers(skipping: WorkflowEnvironment) -> None:
    no_credits = ApplicationError("too little", type=InsufficientCredits.type, non_retryable=True)
    steps = ScriptedSteps(admit=[no_credits])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        with pytest.raises(WorkflowUpdateFailedError) as refusal:
            await generation.admit()
        status = await generation.ended()

    assert isinstance(refusal.value.cause, ApplicationError)
    assert refusal.value.cause.type == "insufficient_credits"
    assert status is None
    assert not steps.asked["submit"]
    assert not steps.asked["finish"]


@pytest.mark.parametrize("error", [ProviderFailed("HTTP 500"), ProviderAuthFailed("HTTP 401")])
async def test_a_fault_that_is_not_the_customers_fails_over(
    skipping: WorkflowEnvironment, error: ProviderFailed | ProviderAuthFailed
) -> None:
    steps = ScriptedSteps(submit=[refused("replicate", error), accepted()])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    outcome = steps.asked["finish"][0]
    assert status == GenerationStatus.SUCCEEDED
    assert outcome.provider_used == "fal"
    assert [failure.code for failure in outcome.provider_errors] == [error.code]


async def test_a_job_that_fails_fails_over(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(collect=[job_failed("replicate", ProviderFailed("E6716")), delivered()])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        await generation.ended()

    assert steps.asked["finish"][0].provider_used == "fal"
    assert [asked.number for asked in steps.asked["submit"]] == [1, 2]


async def test_refused_content_is_final_and_not_shopped_around(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(collect=[job_failed("replicate", ContentRefused("flagged"))])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    outcome = steps.asked["finish"][0]
    assert status == GenerationStatus.FAILED
    assert outcome.error_code == ContentRefused.code
    assert outcome.settle_microcredits == 0
    assert len(steps.asked["submit"]) == 1


async def test_with_the_accounts_policy_refused_content_is_shown_to_the_next_provider(
    skipping: WorkflowEnvironment,
) -> None:
    steps = ScriptedSteps(collect=[job_failed("replicate", ContentRefused("flagged")), delivered()])
    generation = Started(skipping.client, a_request(moderation_failover=True))

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    outcome = steps.asked["finish"][0]
    assert (status, outcome.provider_used) == (GenerationStatus.SUCCEEDED, "fal")
    assert [failure.code for failure in outcome.provider_errors] == [ContentRefused.code]


@pytest.mark.parametrize("second", [ContentRefused("flagged, too"), ProviderFailed("HTTP 500")])
async def test_with_the_accounts_policy_a_chain_with_a_refusal_ends_as_refused_content(
    skipping: WorkflowEnvironment, second: ContentRefused | ProviderFailed
) -> None:
    steps = ScriptedSteps(submit=[refused("replicate", ContentRefused("flagged")), refused("fal", second)])
    generation = Started(skipping.client, a_request(moderation_failover=True))

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    outcome = steps.asked["finish"][0]
    assert (status, outcome.error_code) == (GenerationStatus.FAILED, ContentRefused.code)
    assert len(outcome.provider_errors) == 2


async def test_an_exhausted_chain_names_every_provider(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(submit=[refused("replicate", ProviderFailed("a")), refused("fal", ProviderFailed("b"))])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    outcome = steps.asked["finish"][0]
    assert status == GenerationStatus.FAILED
    assert outcome.error_code == AllProvidersFailed.code
    assert [failure.provider for failure in outcome.provider_errors] == ["replicate", "fal"]


async def test_fewer_outputs_than_asked_are_paid_in_part(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(collect=[delivered(2)])
    generation = Started(skipping.client, a_request(output_count=3, quote_microcredits=15_000))

    async with working(skipping.client, steps):
        await generation.admit()
        await generation.ended()

    assert steps.asked["finish"][0].settle_microcredits == 10_000


# --- ambiguous submits -------------------------------------------------------------------------------------------


async def test_an_ambiguous_submit_is_adopted_and_never_repeated(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(submit=[ambiguous()], adopt=[still_running(), accepted("found")])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    assert status == GenerationStatus.SUCCEEDED
    assert len(steps.asked["submit"]) == 1
    assert steps.asked["collect"][0].job == JobRef("found")


async def test_a_callback_names_the_job_of_an_ambiguous_submit(skipping: WorkflowEnvironment) -> None:
    def only_when_named(lost: object) -> object:
        named = getattr(lost, "job_id", None)
        return accepted(named) if named else still_running()

    steps = ScriptedSteps(submit=[ambiguous()], adopt=[only_when_named])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        await steps.arrived["adopt"].wait()
        await generation.ring(job_id="named-by-callback")
        status = await generation.ended()

    assert status == GenerationStatus.SUCCEEDED
    assert steps.asked["collect"][0].job == JobRef("named-by-callback")
    assert len(steps.asked["submit"]) == 1


async def test_a_submit_that_left_no_job_is_written_off_and_the_next_provider_is_asked(
    skipping: WorkflowEnvironment,
) -> None:
    steps = ScriptedSteps(
        submit=[ambiguous(), accepted()], adopt=[refused("replicate", ProviderTimedOut("no job was found"))]
    )
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    assert status == GenerationStatus.SUCCEEDED
    assert steps.asked["finish"][0].provider_used == "fal"


# --- callbacks ---------------------------------------------------------------------------------------------------


async def test_a_callback_before_the_submits_answer_is_not_lost(skipping: WorkflowEnvironment) -> None:
    released = asyncio.Event()

    async def answer_late(_: object) -> object:
        await released.wait()
        return accepted(callback_wait_s=3600)

    steps = ScriptedSteps(submit=[answer_late])
    generation = Started(skipping.client, a_request(deadline_s=7200))

    async with working(skipping.client, steps):
        await generation.admit()
        await steps.arrived["submit"].wait()
        await generation.ring()
        released.set()
        await generation.ended()
        history = await generation.handle.fetch_history()

    assert not any(event.HasField("timer_started_event_attributes") for event in history.events)


async def test_repeated_and_foreign_callbacks_wake_nothing(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(collect=[still_running(), delivered()])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        await steps.arrived["submit"].wait()
        await generation.ring(number=2, event_id="foreign")
        await generation.ring(event_id="same")
        await generation.ring(event_id="same")
        await generation.ended()

    assert len(steps.asked["collect"]) == 2


async def test_a_callback_during_the_pause_between_two_looks_ends_the_pause(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(submit=[accepted(callback_wait_s=0)], collect=[still_running(), delivered()])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        await steps.arrived["collect"].wait()
        await generation.ring()
        status = await generation.ended()

    assert status == GenerationStatus.SUCCEEDED


# --- cancel and deadlines ----------------------------------------------------------------------------------------


async def test_a_cancel_tells_the_provider_and_releases_the_credits(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(submit=[accepted(callback_wait_s=3600)])
    generation = Started(skipping.client, a_request(deadline_s=7200))

    async with working(skipping.client, steps):
        await generation.admit()
        await steps.arrived["submit"].wait()
        cancellation = await generation.handle.execute_update("cancel")
        status = await generation.ended()

    assert status == GenerationStatus.CANCELED
    assert cancellation == {
        "generation_id": generation.request.generation_id,
        "provider_cancel_sent": True,
        "credits_refunded": True,
    }
    assert steps.asked["abandon"][0].state is AttemptState.CANCELED
    assert steps.asked["finish"][0].settle_microcredits == 0


async def test_a_cancel_while_polling_ends_the_poll(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(submit=[accepted(callback_wait_s=0)], collect=[still_running()])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        await steps.arrived["collect"].wait()
        await generation.handle.execute_update("cancel")
        status = await generation.ended()

    assert status == GenerationStatus.CANCELED


async def test_a_cancel_during_an_ambiguous_submit_does_not_wait_for_the_window(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(submit=[ambiguous()], adopt=[still_running()])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        await steps.arrived["adopt"].wait()
        await generation.handle.execute_update("cancel")
        status = await generation.ended()

    assert status == GenerationStatus.CANCELED
    assert steps.asked["abandon"][0].state is AttemptState.DISCARDED


async def test_a_cancel_that_comes_after_the_outputs_is_refused(skipping: WorkflowEnvironment) -> None:
    finishing = asyncio.Event()
    release = asyncio.Event()

    async def slow_finish(outcome: object) -> object:
        finishing.set()
        await release.wait()
        return Finished(GenerationStatus.SUCCEEDED)

    steps = ScriptedSteps(submit=[accepted(callback_wait_s=0)], finish=[slow_finish])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        await finishing.wait()
        cancel = asyncio.ensure_future(generation.handle.execute_update("cancel", id="late"))
        await generation.update_received("late")
        release.set()
        with pytest.raises(WorkflowUpdateFailedError) as refusal:
            await cancel
        status = await generation.ended()

    assert isinstance(refusal.value.cause, ApplicationError)
    assert refusal.value.cause.type == GenerationNotCancelable.type
    assert status == GenerationStatus.SUCCEEDED


async def test_an_operators_cancel_releases_like_the_customers(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(submit=[accepted(callback_wait_s=3600)])
    generation = Started(skipping.client, a_request(deadline_s=7200))

    async with working(skipping.client, steps):
        await generation.admit()
        await steps.arrived["submit"].wait()
        await generation.handle.cancel()
        status = await generation.ended()

    assert status == GenerationStatus.CANCELED
    assert steps.asked["finish"][0].status is GenerationStatus.CANCELED


async def test_a_job_that_never_ends_meets_its_deadline_and_the_next_provider_is_asked(
    skipping: WorkflowEnvironment,
) -> None:
    def never_at_the_first(collect: object) -> object:
        if collect.attempt.number == 2:  # type: ignore[attr-defined]
            return delivered()
        return gave_up() if collect.last else still_running()  # type: ignore[attr-defined]

    steps = ScriptedSteps(collect=[never_at_the_first])
    generation = Started(skipping.client, a_request(deadline_s=120))

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    outcome = steps.asked["finish"][0]
    assert status == GenerationStatus.SUCCEEDED
    assert outcome.provider_used == "fal"
    assert [failure.code for failure in outcome.provider_errors] == [ProviderTimedOut.code]
    assert steps.asked["abandon"][0].state is AttemptState.FAILED


async def test_a_job_that_ended_during_an_outage_of_ours_still_counts(skipping: WorkflowEnvironment) -> None:
    """No look was possible before the deadline; the one after it finds the result."""

    def only_the_last(collect: object) -> object:
        return delivered() if collect.last else still_running()  # type: ignore[attr-defined]

    steps = ScriptedSteps(submit=[accepted(callback_wait_s=0)], collect=[only_the_last])
    generation = Started(skipping.client, a_request(deadline_s=60))

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    assert status == GenerationStatus.SUCCEEDED
    assert steps.asked["finish"][0].provider_used == "replicate"


async def test_an_adoption_that_gives_up_fails_over_and_holds_nothing_up(skipping: WorkflowEnvironment) -> None:
    broken = ApplicationError("no such attempt", type="internal_error", non_retryable=True)
    steps = ScriptedSteps(submit=[ambiguous(), accepted(callback_wait_s=0)], adopt=[broken])
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    assert status == GenerationStatus.SUCCEEDED
    assert steps.asked["finish"][0].provider_used == "fal"
    assert steps.asked["abandon"][0].state is AttemptState.DISCARDED


async def test_an_output_that_cannot_be_stored_is_our_fault_and_final(skipping: WorkflowEnvironment) -> None:
    no_storage = ApplicationError("disk full", type=StorageUnavailable.type)
    steps = ScriptedSteps(collect=[no_storage])
    generation = Started(skipping.client, a_request(deadline_s=60))

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    outcome = steps.asked["finish"][0]
    assert status == GenerationStatus.FAILED
    assert outcome.error_code == OutputPersistFailed.code


async def test_webhooks_are_rung_when_it_started_and_when_it_ended(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(
        submit=[accepted(deliveries=["d-started"])], finish=[Finished(GenerationStatus.SUCCEEDED, ["d-completed"])]
    )
    generation = Started(skipping.client, a_request())

    async with working(skipping.client, steps):
        await generation.admit()
        await generation.ended()

    assert steps.asked["ring"] == [["d-started"], ["d-completed"]]
