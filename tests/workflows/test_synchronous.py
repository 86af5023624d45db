"""A provider whose answer to the submit is the end of the job."""

from __future__ import annotations

from temporalio.testing import WorkflowEnvironment

from domain.errors import ProviderTimedOut
from domain.generation import AttemptState, GenerationStatus
from tests.support.requests import a_synchronous_request
from tests.workflows.conftest import Started, working
from tests.workflows.scripted_steps import (
    ScriptedSteps,
    accepted,
    ambiguous,
    answered_at_once,
    never_answered,
    refused,
)


async def test_an_answer_with_the_outputs_ends_the_generation_without_a_look(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(submit=[answered_at_once()])
    generation = Started(skipping.client, a_synchronous_request())

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    assert status == GenerationStatus.SUCCEEDED
    assert (len(steps.asked["submit"]), len(steps.asked["collect"])) == (1, 0)
    assert steps.asked["finish"][0].provider_used == "replicate"


async def test_an_answer_with_addresses_is_collected_like_any_other(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(submit=[accepted(callback_wait_s=0)])
    generation = Started(skipping.client, a_synchronous_request())

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    assert status == GenerationStatus.SUCCEEDED
    assert len(steps.asked["collect"]) == 1


async def test_a_lost_answer_is_written_off_and_the_next_provider_asked(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(
        submit=[ambiguous(), accepted(callback_wait_s=0)], adopt=[refused("replicate", ProviderTimedOut("lost"))]
    )
    generation = Started(skipping.client, a_synchronous_request())

    async with working(skipping.client, steps):
        await generation.admit()
        status = await generation.ended()

    assert status == GenerationStatus.SUCCEEDED
    assert len(steps.asked["adopt"]) == 1
    assert steps.asked["finish"][0].provider_used == "fal"


async def test_a_cancel_does_not_wait_for_the_provider_to_hang_up(skipping: WorkflowEnvironment) -> None:
    steps = ScriptedSteps(submit=[never_answered])
    generation = Started(skipping.client, a_synchronous_request())

    async with working(skipping.client, steps):
        await generation.admit()
        await steps.arrived["submit"].wait()
        await generation.handle.execute_update("cancel")
        status = await generation.ended()

    assert status == GenerationStatus.CANCELED
    (left,) = steps.asked["abandon"]
    assert (left.state, left.job) == (AttemptState.DISCARDED, None)
    assert len(steps.asked["submit"]) == 1
