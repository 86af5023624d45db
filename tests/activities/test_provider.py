"""The steps at a provider: once, whatever happens in between."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.provider import AbandonAttempt, AdoptJob, CollectJob, SubmitState
from domain.errors import (
    ContentRefused,
    JobNotFound,
    ProviderAuthFailed,
    ProviderBusy,
    ProviderCreditsExhausted,
    ProviderError,
    ProviderFailed,
    ProviderInvalidOutput,
    ProviderUnavailable,
    SubmitAmbiguous,
)
from domain.generation import AttemptState, Delivery, JobRef
from domain.provider import Job, JobState, Output
from store import attempts
from store.connection import transaction
from tests.activities.conftest import Bench, png
from tests.support.requests import a_candidate

RUNNING = Job(JobRef("job-1"), JobState.RUNNING)


async def state_of(bench: Bench, attempt_id: str) -> AttemptState:
    async with transaction(bench.pool) as conn:
        cursor = await conn.execute("SELECT state FROM store.attempts WHERE attempt_id = %s", [attempt_id])
        row = await cursor.fetchone()
    assert row is not None
    return AttemptState(row[0])


def run(step: object, asked: object, *, attempt: int = 1) -> object:
    environment = ActivityEnvironment()
    environment.info = environment.info.__class__(**{**environment.info.__dict__, "attempt": attempt})
    return environment.run(step, asked)


# --- submit ------------------------------------------------------------------------------------------------------


async def test_a_submit_asks_once_and_keeps_the_job_id(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    job_id = bench.provider.submits[0].ref.job_id

    submitted = await run(bench.steps.submit_job, attempt)

    assert (submitted.state, submitted.job) == (SubmitState.ACCEPTED, JobRef(job_id))
    assert submitted.callback_wait_s == 20
    assert await state_of(bench, attempt.attempt_id) is AttemptState.ACCEPTED


async def test_a_job_that_has_already_ended_when_it_is_answered_keeps_its_own_name(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    done = Job(JobRef("job-1"), JobState.SUCCEEDED, (Output("https://provider.example/0.png"),))
    bench.provider.submits = [done]

    submitted = await run(bench.steps.submit_job, attempt)

    assert (submitted.state, submitted.job, submitted.collected) == (SubmitState.ACCEPTED, JobRef("job-1"), None)


async def test_a_submit_says_what_the_catalogue_compiled(bench: Bench) -> None:
    candidate = a_candidate(endpoint="/v1/text_to_image")
    _, attempt = await bench.admitted(candidates=[candidate])

    await run(bench.steps.submit_job, attempt)

    (said,) = bench.provider.submissions
    assert (said.attempt_id, said.native_model, said.endpoint, said.native_input) == (
        attempt.attempt_id,
        candidate.native_model,
        "/v1/text_to_image",
        candidate.native_input,
    )


async def test_a_repeated_submit_answers_the_known_job_and_does_not_ask_again(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    first = await run(bench.steps.submit_job, attempt)

    again = await run(bench.steps.submit_job, attempt, attempt=2)

    assert again.job == first.job
    assert bench.provider.asked == ["submit"]


async def test_a_submit_after_a_worker_died_in_it_is_ambiguous_and_asks_nobody(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    bench.provider.submits = [asyncio.CancelledError()]  # the process ends here
    with pytest.raises(asyncio.CancelledError):
        await run(bench.steps.submit_job, attempt)

    again = await run(bench.steps.submit_job, attempt, attempt=2)

    assert again.state is SubmitState.AMBIGUOUS
    assert bench.provider.asked == ["submit"]


async def test_a_lost_answer_is_ambiguous(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    bench.provider.submits = [SubmitAmbiguous("reset")]

    submitted = await run(bench.steps.submit_job, attempt)

    assert submitted.state is SubmitState.AMBIGUOUS
    assert await state_of(bench, attempt.attempt_id) is AttemptState.SUBMITTING


@pytest.mark.parametrize("error", [ProviderFailed("500"), ProviderAuthFailed("401"), ContentRefused("flagged")])
async def test_a_refusal_ends_the_attempt(bench: Bench, error: ProviderError) -> None:
    _, attempt = await bench.admitted()
    bench.provider.submits = [error]

    submitted = await run(bench.steps.submit_job, attempt)

    assert submitted.state is SubmitState.REFUSED
    assert submitted.failure.code == error.code
    assert await state_of(bench, attempt.attempt_id) is AttemptState.FAILED


async def test_a_named_short_wait_is_waited_for_at_the_same_provider(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    bench.provider.submits = [
        ProviderBusy("429", retry_after=timedelta(seconds=1)),
        Job(JobRef(attempt.attempt_id), JobState.QUEUED),
    ]

    with pytest.raises(ApplicationError) as busy:
        await run(bench.steps.submit_job, attempt)
    again = await run(bench.steps.submit_job, attempt, attempt=2)

    assert busy.value.next_retry_delay == timedelta(seconds=1)
    assert not busy.value.non_retryable
    assert again.job == JobRef(attempt.attempt_id)


@pytest.mark.parametrize("wait", [None, timedelta(seconds=60)], ids=["no wait named", "too long a wait"])
async def test_a_busy_provider_that_names_no_short_wait_is_left(bench: Bench, wait: timedelta | None) -> None:
    _, attempt = await bench.admitted()
    bench.provider.submits = [ProviderBusy("429", retry_after=wait)]

    submitted = await run(bench.steps.submit_job, attempt)

    assert submitted.failure.type == "provider_rate_limited"


async def test_a_refusal_of_the_content_stays_one_when_its_answer_was_lost(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    bench.provider.submits = [ContentRefused("flagged")]
    await run(bench.steps.submit_job, attempt)  # recorded; then the worker dies

    again = await run(bench.steps.submit_job, attempt, attempt=2)

    assert again.failure.code == ContentRefused.code
    assert bench.provider.asked == ["submit"]


async def test_nobody_is_asked_for_a_generation_that_has_ended(bench: Bench) -> None:
    request, attempt = await bench.admitted()
    from domain import ending

    await bench.records.finish_generation(ending.canceled(request, []))

    submitted = await run(bench.steps.submit_job, attempt)

    assert submitted.state is SubmitState.REFUSED
    assert bench.provider.asked == []


# --- adopt -------------------------------------------------------------------------------------------------------


async def ambiguous(bench: Bench) -> AdoptJob:
    _, attempt = await bench.admitted()
    bench.provider.submits = [SubmitAmbiguous("reset")]
    await run(bench.steps.submit_job, attempt)
    return AdoptJob(attempt)


async def test_a_job_that_the_provider_lists_is_adopted(bench: Bench) -> None:
    lost = await ambiguous(bench)
    found = JobRef(f"found-{lost.attempt.attempt_id}")
    bench.provider.finds = [[found]]

    adopted = await run(bench.steps.adopt_job, lost)

    assert adopted.job == found
    assert await state_of(bench, lost.attempt.attempt_id) is AttemptState.ACCEPTED


async def test_a_job_of_another_attempt_is_never_adopted(bench: Bench) -> None:
    _, neighbour = await bench.admitted()
    bench.provider.submits = [Job(JobRef(f"taken-{neighbour.attempt_id}"), JobState.QUEUED)]
    await run(bench.steps.submit_job, neighbour)
    lost = await ambiguous(bench)
    mine = JobRef(f"mine-{neighbour.attempt_id}")
    bench.provider.finds = [[JobRef(f"taken-{neighbour.attempt_id}"), mine]]

    adopted = await run(bench.steps.adopt_job, lost)

    assert adopted.job == mine


async def test_a_listing_that_does_not_show_it_yet_is_asked_again(bench: Bench) -> None:
    lost = await ambiguous(bench)
    bench.provider.finds = [[]]

    with pytest.raises(ApplicationError) as not_yet:
        await run(bench.steps.adopt_job, lost)

    assert not_yet.value.type == "job_not_found_yet"


async def test_a_listing_that_does_not_answer_is_asked_again(bench: Bench) -> None:
    lost = await ambiguous(bench)
    bench.provider.finds = [ProviderUnavailable("down")]

    with pytest.raises(ApplicationError) as not_yet:
        await run(bench.steps.adopt_job, lost)

    assert not_yet.value.type == "job_not_found_yet"


async def test_a_job_that_our_own_journal_knows_is_not_looked_for(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    accepted = await run(bench.steps.submit_job, attempt)

    adopted = await run(bench.steps.adopt_job, AdoptJob(attempt))

    assert adopted.job == accepted.job
    assert bench.provider.asked == ["submit"]


async def test_an_attempt_that_never_began_is_closed_so_that_it_cannot_begin_late(bench: Bench) -> None:
    _, attempt = await bench.admitted()

    adopted = await run(bench.steps.adopt_job, AdoptJob(attempt))
    late = await run(bench.steps.submit_job, attempt)

    assert (adopted.state, adopted.failure.type) == (SubmitState.REFUSED, "provider_unavailable")
    assert late.state is SubmitState.REFUSED
    assert bench.provider.asked == []


async def test_a_job_that_a_callback_named_is_adopted_without_a_listing(bench: Bench) -> None:
    lost = await ambiguous(bench)

    adopted = await run(bench.steps.adopt_job, AdoptJob(lost.attempt, job_id=f"named-{lost.attempt.attempt_id}"))

    assert adopted.job == JobRef(f"named-{lost.attempt.attempt_id}")
    assert "find" not in bench.provider.asked


async def test_after_the_window_the_attempt_is_written_off_with_its_cost(bench: Bench) -> None:
    bench.adoption_window = timedelta(0)
    lost = await ambiguous(bench)
    bench.provider.finds = [[]]

    written_off = await run(bench.steps.adopt_job, lost)

    assert written_off.state is SubmitState.REFUSED
    async with transaction(bench.pool) as conn:
        (record,) = await attempts.of_generation(conn, lost.attempt.generation_id)
    assert (record.state, record.cost_microcredits) == (AttemptState.DISCARDED, 3_000)


# --- collect -----------------------------------------------------------------------------------------------------


async def test_outputs_are_kept_under_keys_that_a_repeat_finds_again(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    collect = CollectJob(attempt, JobRef("job-1"))

    first = await run(bench.steps.collect_job, collect)
    again = await run(bench.steps.collect_job, collect, attempt=2)

    assert first == again
    (asset,) = first.assets
    assert (asset.content_type, asset.width, asset.height) == ("image/png", 8, 8)
    assert bench.store.objects[asset.key] == png()


async def test_a_running_job_is_looked_at_again_with_growing_pauses(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    bench.provider.reads = [RUNNING]
    pauses = []

    for look in (1, 2, 30):
        with pytest.raises(ApplicationError) as running:
            await run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")), attempt=look)
        pauses.append(running.value.next_retry_delay)

    assert pauses == [timedelta(seconds=2), timedelta(seconds=2.6), timedelta(seconds=20)]


@pytest.mark.parametrize(
    "error",
    [ProviderUnavailable("503"), ProviderBusy("429"), ProviderAuthFailed("401"), ProviderCreditsExhausted("402")],
)
async def test_a_look_that_did_not_work_says_nothing_about_the_job(bench: Bench, error: ProviderError) -> None:
    _, attempt = await bench.admitted()
    bench.provider.reads = [error]

    with pytest.raises(ApplicationError) as running:
        await run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")))

    assert running.value.type == "job_running"


@pytest.mark.parametrize("error", [ProviderBusy, ProviderUnavailable])
async def test_a_long_pause_that_a_look_is_asked_for_does_not_outlast_the_job(
    bench: Bench, error: type[ProviderError]
) -> None:
    """The server does not repeat a step whose pause goes beyond its deadline: it fails at once, and the job is left."""
    _, attempt = await bench.admitted()
    bench.provider.reads = [error("429", retry_after=timedelta(hours=1))]

    with pytest.raises(ApplicationError) as running:
        await run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")))

    assert running.value.next_retry_delay == timedelta(seconds=30)


async def test_the_last_look_at_a_job_that_still_runs_is_not_repeated(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    bench.provider.reads = [RUNNING]

    with pytest.raises(ApplicationError) as running:
        await run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1"), last=True))

    assert running.value.non_retryable


@pytest.mark.parametrize("error", [ProviderFailed("E6716"), ContentRefused("flagged"), JobNotFound("404")])
async def test_a_failed_job_ends_the_attempt(bench: Bench, error: ProviderError) -> None:
    _, attempt = await bench.admitted()
    await run(bench.steps.submit_job, attempt)
    bench.provider.reads = [error]

    collected = await run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")))

    assert collected.failure.code == error.code
    assert await state_of(bench, attempt.attempt_id) is AttemptState.FAILED


@pytest.mark.parametrize(
    "body",
    [b"", png()[:-20], b"<html>gone</html>", ProviderInvalidOutput("HTTP 404")],
    ids=["empty", "truncated", "wrong type", "expired"],
)
async def test_an_output_that_is_not_one_fails_the_attempt_after_a_second_look(
    bench: Bench, body: bytes | BaseException
) -> None:
    _, attempt = await bench.admitted()
    bench.fetcher.bodies = [body]

    collected = await run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")))

    assert collected.failure.type == "provider_invalid_output"
    assert len(bench.fetcher.fetched) == 2
    assert bench.store.objects == {}


async def test_an_output_that_breaks_off_once_is_fetched_again(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    bench.fetcher.bodies = [png()[:-20], png()]

    collected = await run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")))

    assert len(collected.assets) == 1


async def test_an_output_behind_a_credential_is_fetched_with_it(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    guarded = Output("https://out/0.png", headers={"Authorization": "Bearer key"})
    bench.provider.reads = [Job(JobRef("job-1"), JobState.SUCCEEDED, (guarded,))]

    await run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")))

    assert bench.fetcher.headers == [{"Authorization": "Bearer key"}]


async def test_a_success_without_an_output_is_a_failure(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    bench.provider.reads = [Job(JobRef("job-1"), JobState.SUCCEEDED, ())]

    collected = await run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")))

    assert collected.failure.type == "provider_invalid_output"


async def test_more_outputs_than_asked_are_not_kept(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    outputs = (Output("https://out/0.png"), Output("https://out/1.png"))
    bench.provider.reads = [Job(JobRef("job-1"), JobState.SUCCEEDED, outputs)]

    collected = await run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")))

    assert len(collected.assets) == 1


async def test_a_store_that_is_down_is_our_fault_and_is_tried_again(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    bench.store.down = True

    with pytest.raises(ApplicationError) as down:
        await run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")))

    assert (down.value.type, down.value.non_retryable) == ("storage_error", False)


@pytest.mark.parametrize(("asked_for", "left"), [(True, 0), (False, 1)], ids=["by its generation", "by a shutdown"])
async def test_a_collect_that_is_ended_half_way_cleans_up_only_what_nobody_wants(
    bench: Bench, asked_for: bool, left: int
) -> None:
    """A shutdown, or a run that was given up as dead, must not remove files of the repeat that delivered them."""
    _, attempt = await bench.admitted(output_count=2, quote_microcredits=10_000)
    outputs = (Output("https://out/0.png"), Output("https://out/1.png"))
    bench.provider.reads = [Job(JobRef("job-1"), JobState.SUCCEEDED, outputs)]
    bench.fetcher.bodies = [png(), asyncio.CancelledError()]
    environment = ActivityEnvironment()
    environment._cancellation_details.details = ActivityCancellationDetails(cancel_requested=asked_for)

    with pytest.raises(asyncio.CancelledError):
        await environment.run(bench.steps.collect_job, CollectJob(attempt, JobRef("job-1")))

    assert len(bench.store.objects) == left


async def test_a_polled_candidate_gets_no_callback_address(bench: Bench) -> None:
    _, attempt = await bench.admitted(candidates=[a_candidate(delivery=Delivery.POLLING)])

    submitted = await run(bench.steps.submit_job, attempt)

    assert submitted.callback_wait_s == 0


# --- abandon -----------------------------------------------------------------------------------------------------


async def test_abandoning_tells_the_provider_and_closes_the_attempt(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    await run(bench.steps.submit_job, attempt)

    told = await run(bench.steps.abandon_attempt, AbandonAttempt(attempt, JobRef("job-1"), AttemptState.CANCELED))

    assert told is True
    assert await state_of(bench, attempt.attempt_id) is AttemptState.CANCELED


async def test_a_provider_that_does_not_listen_does_not_keep_the_attempt_open(bench: Bench) -> None:
    _, attempt = await bench.admitted()
    await run(bench.steps.submit_job, attempt)
    bench.provider.cancels = [ProviderUnavailable("down")]
    abandon = AbandonAttempt(attempt, JobRef("job-1"), AttemptState.CANCELED)

    with pytest.raises(ApplicationError):
        await run(bench.steps.abandon_attempt, abandon)
    told = await run(bench.steps.abandon_attempt, abandon, attempt=2)

    assert told is False
    assert await state_of(bench, attempt.attempt_id) is AttemptState.CANCELED
