"""Admission, abandonment, end, reading and deletion of a generation."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection, errors

from domain.errors import (
    AccountFrozen,
    AccountNotFound,
    EngineUnavailable,
    GenerationInProgress,
    GenerationNotFound,
    InsufficientCredits,
    InternalError,
    InvalidInput,
)
from domain.generation import Admission, AttemptState, Finished, GenerationStatus, MediaType, attempt_id
from domain.webhook_events import event_body
from store import accounts, attempts, generations, ledger, webhooks
from store.attempts import BeginState
from store.ledger import HoldState, Operation
from tests.store.builders import (
    CREDIT,
    a_failure,
    a_job,
    a_processing,
    an_account,
    an_admitted,
    an_asset,
    an_endpoint,
    an_intent,
    cancellation,
    failure,
    standing,
    success,
)
from tests.support.requests import a_request

Conn = AsyncConnection[Any]
QUOTE = 5_000


@pytest.fixture(autouse=True)
async def books_that_balance(conn: Conn) -> Any:
    yield
    assert await ledger.check(conn) == []


# --- admit --------------------------------------------------------------------------------------------------------


async def test_an_admission_records_the_generation_and_holds_its_quote(conn: Conn, account_id: str) -> None:
    request = a_request(account_id=account_id, api_key_id=str(uuid.uuid4()), replay_of=str(uuid.uuid4()))

    admission = await generations.admit(conn, request)

    gid = request.generation_id
    assert admission == Admission(gid, "bfl/flux-schnell", ["replicate", "fal"], attempt_id(gid, 1))
    assert await standing(conn, account_id) == (10 * CREDIT - QUOTE, QUOTE, 0)
    record = await generations.get(conn, account_id, gid)
    assert record is not None
    assert (record.status, record.params, record.media_type) == (
        GenerationStatus.PENDING,
        request.params,
        MediaType.IMAGE,
    )
    assert (record.provider_order, record.prediction_id) == (["replicate", "fal"], attempt_id(gid, 1))
    assert (record.api_key_id, record.replay_of) == (request.api_key_id, request.replay_of)
    assert (record.quote_microcredits, record.settled_microcredits, record.total_time_s) == (QUOTE, None, None)


async def test_the_hold_outlives_the_deadlines_of_all_candidates(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id, deadline_s=1800)

    hold = await ledger.hold(conn, account_id=account_id, work_id=request.generation_id)

    assert hold is not None
    assert hold.price_version == request.price_version
    expected = datetime.now(UTC) + timedelta(seconds=2 * 1800 + 3600)
    assert abs(hold.expires_at - expected) < timedelta(minutes=1)


async def test_a_repeated_admission_gives_the_same_answer_and_holds_once(conn: Conn, account_id: str) -> None:
    """K2: also when it is too late by now, or the money has gone, or the account was frozen."""
    request = a_request(account_id=account_id, quote_microcredits=10 * CREDIT)

    first = await generations.admit(conn, request)
    again = await generations.admit(conn, request)
    late = await generations.admit(conn, replace(request, admit_by=time.time() - 1))
    await accounts.set_frozen(conn, account_id, frozen=True)
    frozen = await generations.admit(conn, request)

    assert first == again == late == frozen
    assert await standing(conn, account_id) == (0, 10 * CREDIT, 0)


async def test_without_credits_nothing_is_written(conn: Conn) -> None:
    account = await an_account(conn)
    request = a_request(account_id=account)

    with pytest.raises(InsufficientCredits) as refusal:
        await generations.admit(conn, request)

    assert refusal.value.details == {"required_microcredits": QUOTE}
    assert await generations.get(conn, account, request.generation_id) is None
    assert await ledger.hold(conn, account_id=account, work_id=request.generation_id) is None


async def test_a_frozen_account_starts_nothing(conn: Conn, account_id: str) -> None:
    await accounts.set_frozen(conn, account_id, frozen=True)
    request = a_request(account_id=account_id)

    with pytest.raises(AccountFrozen):
        await generations.admit(conn, request)

    assert await generations.get(conn, account_id, request.generation_id) is None


async def test_an_account_that_does_not_exist_starts_nothing(conn: Conn) -> None:
    with pytest.raises(AccountNotFound):
        await generations.admit(conn, a_request(account_id=str(uuid.uuid4())))
    with pytest.raises(AccountNotFound):
        await generations.abandon(conn, a_request(account_id=str(uuid.uuid4())), code="BSE5004", message="late")


async def test_nothing_is_admitted_after_its_time(conn: Conn, account_id: str) -> None:
    request = a_request(account_id=account_id, admit_by=time.time() - 1)

    with pytest.raises(EngineUnavailable):
        await generations.admit(conn, request)

    assert await generations.get(conn, account_id, request.generation_id) is None
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)


async def test_the_id_of_another_account_is_not_admitted_again(conn: Conn, account_id: str) -> None:
    """INV-23."""
    request = await an_admitted(conn, account_id)
    other = await an_account(conn, credits=1)

    with pytest.raises(InternalError):
        await generations.admit(conn, replace(request, account_id=other))

    assert await standing(conn, other) == (CREDIT, 0, 0)


async def test_parameters_that_cannot_be_stored_are_the_callers_mistake(conn: Conn, account_id: str) -> None:
    with pytest.raises(InvalidInput):
        await an_admitted(conn, account_id, params={"generation_prompt": "a\x00b"})


async def test_free_work_is_admitted_without_credits(conn: Conn) -> None:
    """E13."""
    account = await an_account(conn)

    request = await an_admitted(conn, account, quote_microcredits=0)
    begun = await attempts.begin(conn, an_intent(request))
    await attempts.accepted(conn, attempt_id(request.generation_id, 1), a_job())
    finished = await generations.finish(conn, success(request))

    assert begun.state is BeginState.NEW
    assert finished.status is GenerationStatus.SUCCEEDED


# --- abandon ------------------------------------------------------------------------------------------------------


async def test_an_abandoned_generation_is_failed_and_never_admitted(conn: Conn, account_id: str) -> None:
    request = a_request(account_id=account_id)

    words = [await generations.abandon(conn, request, code="BSE5004", message="nobody\x00 answered") for _ in range(2)]

    assert words == [True, True]
    with pytest.raises(EngineUnavailable):
        await generations.admit(conn, request)
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert (record.status, record.abandoned) == (GenerationStatus.FAILED, True)
    assert (record.error_code, record.error_message) == ("BSE5004", "nobody answered")
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)
    assert (await attempts.begin(conn, an_intent(request))).state is BeginState.CLOSED
    assert await generations.finish(conn, failure(request)) == Finished(GenerationStatus.FAILED)


async def test_an_admitted_generation_cannot_be_abandoned(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)

    assert await generations.abandon(conn, request, code="BSE5004", message="late") is False
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert record.status is GenerationStatus.PENDING


# --- finish -------------------------------------------------------------------------------------------------------


async def test_a_success_settles_and_keeps_the_assets(conn: Conn, account_id: str) -> None:
    """INV-28, INV-30."""
    request = await a_processing(conn, account_id, output_count=2)
    files = [an_asset(request, 0), an_asset(request, 1)]

    finished = await generations.finish(conn, success(request, assets=files))

    assert finished == Finished(GenerationStatus.SUCCEEDED, [], credits_released=False)
    assert await standing(conn, account_id) == (10 * CREDIT - QUOTE, 0, 0)
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert record.assets == files
    assert (record.status, record.provider_used, record.settled_microcredits) == (
        GenerationStatus.SUCCEEDED,
        "replicate",
        QUOTE,
    )
    assert record.predict_time_s == 1.5
    assert record.total_time_s is not None
    assert record.completed_at is not None
    assert record.started_at is not None
    assert record.created_at <= record.started_at <= record.completed_at


async def test_a_part_delivered_is_a_part_charged(conn: Conn, account_id: str) -> None:
    """E11."""
    request = await a_processing(conn, account_id)

    await generations.finish(conn, success(request, settle_microcredits=2_000))

    assert await standing(conn, account_id) == (10 * CREDIT - 2_000, 0, 0)
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert record.settled_microcredits == 2_000


async def test_a_failure_releases_and_says_why(conn: Conn, account_id: str) -> None:
    """INV-29."""
    request = await a_processing(conn, account_id)

    finished = await generations.finish(conn, failure(request, error_message="No\x00 provider"))

    assert finished == Finished(GenerationStatus.FAILED, [], credits_released=True)
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert (record.status, record.error_code, record.error_message) == (
        GenerationStatus.FAILED,
        "BSE4003",
        "No provider",
    )
    assert record.provider_errors == [a_failure()]
    assert record.provider_used is None


async def test_a_cancellation_releases(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)

    finished = await generations.finish(conn, cancellation(request))

    assert finished == Finished(GenerationStatus.CANCELED, [], credits_released=True)
    assert await standing(conn, account_id) == (10 * CREDIT, 0, 0)


@pytest.mark.parametrize("first", [success, failure, cancellation], ids=lambda make: make.__name__)
@pytest.mark.parametrize("second", [success, failure, cancellation], ids=lambda make: make.__name__)
async def test_the_first_end_stands(conn: Conn, account_id: str, first: Any, second: Any) -> None:
    """INV-8: never paid without artifact, never free with artifact."""
    request = await a_processing(conn, account_id)
    finished = await generations.finish(conn, first(request))
    before = await generations.get(conn, account_id, request.generation_id)

    again = await generations.finish(conn, second(request))

    assert again == finished
    assert await generations.get(conn, account_id, request.generation_id) == before


async def test_an_end_closes_every_attempt(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)
    await attempts.close(conn, attempt_id(request.generation_id, 1), AttemptState.FAILED, failure=a_failure())
    await attempts.begin(conn, an_intent(request, 2))
    await attempts.accepted(conn, attempt_id(request.generation_id, 2), a_job())

    await generations.finish(conn, success(request, attempt_number=2, provider_used="fal", cost_microcredits=2_500))

    first, second = await attempts.of_generation(conn, request.generation_id)
    assert (first.state, first.cost_microcredits) == (AttemptState.FAILED, 0)
    assert (second.state, second.cost_microcredits) == (AttemptState.USED, 2_500)
    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert record.prediction_id == second.attempt_id


@pytest.mark.parametrize(
    ("end", "submitting", "refused", "accepted"),
    [
        (cancellation, (AttemptState.CANCELED, 0), (AttemptState.CANCELED, 0), (AttemptState.CANCELED, 0)),
        (failure, (AttemptState.DISCARDED, 3_000), (AttemptState.FAILED, 0), (AttemptState.FAILED, 0)),
        (success, (AttemptState.DISCARDED, 3_000), (AttemptState.DISCARDED, 3_000), (AttemptState.USED, 3_000)),
    ],
    ids=["cancellation", "failure", "success"],
)
async def test_an_open_attempt_ends_with_its_generation(
    conn: Conn, account_id: str, end: Any, submitting: Any, refused: Any, accepted: Any
) -> None:
    request = await a_processing(conn, account_id, candidates=[*a_request().candidates, a_request().candidates[0]])
    await attempts.begin(conn, an_intent(request, 2))
    await attempts.begin(conn, an_intent(request, 3))
    await attempts.refused(conn, attempt_id(request.generation_id, 3), a_failure())

    await generations.finish(conn, end(request))

    records = await attempts.of_generation(conn, request.generation_id)
    assert [(one.state, one.cost_microcredits) for one in records] == [accepted, submitting, refused]


async def test_an_unknown_or_foreign_generation_cannot_end(conn: Conn, account_id: str) -> None:
    """INV-23."""
    request = await an_admitted(conn, account_id)
    other = await an_account(conn)

    with pytest.raises(GenerationNotFound):
        await generations.finish(conn, failure(a_request(account_id=account_id)))
    with pytest.raises(GenerationNotFound):
        await generations.finish(conn, failure(replace(request, account_id=other)))


async def test_more_than_the_quote_is_never_settled(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)

    with pytest.raises(InternalError):
        await generations.finish(conn, success(request, settle_microcredits=QUOTE + 1))

    record = await generations.get(conn, account_id, request.generation_id)
    assert record is not None
    assert record.status is GenerationStatus.PROCESSING


async def test_a_delivery_after_the_hold_expired_is_collected_again(conn: Conn, account_id: str) -> None:
    """E5, K12."""
    request = await a_processing(conn, account_id)
    await ledger.release(conn, account_id=account_id, work_id=request.generation_id, reason=ledger.EXPIRED)

    finished = await generations.finish(conn, success(request))

    assert finished.status is GenerationStatus.SUCCEEDED
    assert await standing(conn, account_id) == (10 * CREDIT - QUOTE, 0, 0)


async def test_a_failure_after_the_hold_expired_is_still_released(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)
    await ledger.release(conn, account_id=account_id, work_id=request.generation_id, reason=ledger.EXPIRED)

    assert await generations.finish(conn, failure(request)) == Finished(GenerationStatus.FAILED, [], True)


async def test_work_that_was_settled_behind_our_back_cannot_fail(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)
    async with conn.transaction(force_rollback=True):
        await ledger.settle(conn, account_id=account_id, work_id=request.generation_id, amount=QUOTE)

        with pytest.raises(InternalError):
            await generations.finish(conn, failure(request))


async def test_an_ended_generation_stays_ended_whoever_writes(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)
    await generations.finish(conn, cancellation(request))

    with pytest.raises(errors.RestrictViolation):
        await conn.execute(
            "UPDATE store.generations SET status = 'failed', error_code = 'x' WHERE generation_id = %s",
            [request.generation_id],
        )


# --- the outbox ---------------------------------------------------------------------------------------------------


async def bodies(conn: Conn, ids: list[str]) -> list[dict[str, Any]]:
    return [json.loads((await webhooks.delivery(conn, one)).body) for one in ids]


async def test_an_end_is_announced_to_every_enabled_endpoint_that_subscribes(conn: Conn, account_id: str) -> None:
    both = [await an_endpoint(conn, account_id), await an_endpoint(conn, account_id, "generation.failed")]
    await an_endpoint(conn, account_id, "generation.completed")
    disabled = await an_endpoint(conn, account_id, "generation.failed")
    await webhooks.set_enabled(conn, account_id, disabled.endpoint_id, enabled=False)
    await an_endpoint(conn, await an_account(conn), "generation.failed")
    request = await an_admitted(conn, account_id)

    finished = await generations.finish(conn, failure(request))

    queued = [await webhooks.delivery(conn, one) for one in finished.deliveries]
    assert {one.endpoint_id for one in queued} == {one.endpoint_id for one in both}
    assert await generations.finish(conn, failure(request)) == finished
    await webhooks.record_attempt(
        conn, finished.deliveries[0], number=1, status_code=200, error=None, reply_head=None, final=False
    )
    assert (await generations.finish(conn, failure(request))).deliveries == finished.deliveries[1:]


async def test_the_announcements_carry_the_fields_that_apply_and_no_others(conn: Conn, account_id: str) -> None:
    """Contract 12.2."""
    await an_endpoint(conn, account_id)
    common = {"account_id": account_id, "model_identifier": "bfl/flux-schnell"}
    urls = ['https://files.example/a?b=c&d="é"', "https://files.example/2"]

    done = await a_processing(conn, account_id)
    failed = await an_admitted(conn, account_id)
    canceled = await an_admitted(conn, account_id)
    started_ids = await attempts.accepted(conn, attempt_id(done.generation_id, 1), a_job())
    done_ids = (await generations.finish(conn, success(done), output_urls=urls)).deliveries
    failed_ids = (await generations.finish(conn, failure(failed))).deliveries
    canceled_ids = (await generations.finish(conn, cancellation(canceled))).deliveries

    ids = started_ids + done_ids + failed_ids + canceled_ids
    assert [(body["webhook_event"], body["webhook_data"]) for body in await bodies(conn, ids)] == [
        (
            "generation.started",
            common
            | {
                "generation_status": "processing",
                "generation_id": done.generation_id,
                "generation_provider_initialize": "replicate",
                "generation_prediction_id": attempt_id(done.generation_id, 1),
            },
        ),
        (
            "generation.completed",
            common
            | {
                "generation_status": "succeeded",
                "generation_id": done.generation_id,
                "generation_provider_used": "replicate",
                "generation_prediction_id": attempt_id(done.generation_id, 1),
                "generation_output_file": urls,
            },
        ),
        (
            "generation.failed",
            common
            | {
                "generation_status": "failed",
                "generation_id": failed.generation_id,
                "generation_error": "No provider delivered.",
                "generation_error_code": "BSE4003",
            },
        ),
        (
            "generation.canceled",
            common
            | {
                "generation_status": "canceled",
                "generation_id": canceled.generation_id,
                "generation_prediction_id": attempt_id(canceled.generation_id, 1),
                "credits_refunded": True,
            },
        ),
    ]


async def test_the_database_writes_the_same_bytes_as_the_domain(conn: Conn, account_id: str) -> None:
    await an_endpoint(conn, account_id)
    request = await a_processing(conn, account_id, model='lab/ünïcode "quoted" \\ \t\x01 😀')

    (delivery_id,) = (await generations.finish(conn, success(request), output_urls=["https://f/ä"])).deliveries

    delivery = await webhooks.delivery(conn, delivery_id)
    data = json.loads(delivery.body)["webhook_data"]
    assert delivery.body == event_body(delivery.event, delivery_id, delivery.created_at, data | {"absent": None})
    assert delivery.timestamp == json.loads(delivery.body)["webhook_timestamp"]


# --- reading and deletion -----------------------------------------------------------------------------------------


async def test_another_accounts_generation_is_not_there(conn: Conn, account_id: str) -> None:
    """INV-23."""
    request = await an_admitted(conn, account_id)

    assert await generations.get(conn, await an_account(conn), request.generation_id) is None


async def test_a_page_lists_the_newest_first_and_counts_all(conn: Conn, account_id: str) -> None:
    requests = [await an_admitted(conn, account_id) for _ in range(3)]

    first, total = await generations.page(conn, account_id, limit=2, offset=0)
    rest, _ = await generations.page(conn, account_id, limit=2, offset=2)

    assert total == 3
    assert [one.generation_id for one in first + rest] == [one.generation_id for one in reversed(requests)]


async def test_what_has_not_ended_is_in_flight(conn: Conn, account_id: str) -> None:
    await an_admitted(conn, account_id)
    await a_processing(conn, account_id)
    await generations.finish(conn, cancellation(await an_admitted(conn, account_id)))
    await an_admitted(conn, account_id, media_type=MediaType.VIDEO)

    assert await generations.in_flight(conn, account_id, MediaType.IMAGE) == 2
    assert await generations.in_flight(conn, account_id, MediaType.VIDEO) == 1


async def test_a_deletion_hides_the_record_and_forgets_the_prompt(conn: Conn, account_id: str) -> None:
    """INV-22: the books keep their rows."""
    request = await a_processing(conn, account_id)
    with pytest.raises(GenerationInProgress):
        await generations.mark_deleted(conn, account_id, request.generation_id)
    await generations.finish(conn, success(request))
    with pytest.raises(GenerationNotFound):
        await generations.mark_deleted(conn, await an_account(conn), request.generation_id)

    keys = await generations.mark_deleted(conn, account_id, request.generation_id)

    assert keys == [an_asset(request).key]
    assert await generations.get(conn, account_id, request.generation_id) is None
    assert await generations.page(conn, account_id, limit=10, offset=0) == ([], 0)
    assert (await generations.timeline(conn, request.generation_id)).record.params == {}
    with pytest.raises(GenerationNotFound):
        await generations.mark_deleted(conn, account_id, request.generation_id)


async def test_a_failed_generation_has_no_files_to_delete(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)
    await generations.finish(conn, failure(request))

    assert await generations.mark_deleted(conn, account_id, request.generation_id) == []


# --- the timeline -------------------------------------------------------------------------------------------------


async def test_the_timeline_tells_attempts_money_files_and_announcements(conn: Conn, account_id: str) -> None:
    await an_endpoint(conn, account_id, "generation.completed")
    request = await a_processing(conn, account_id)
    await attempts.close(
        conn, attempt_id(request.generation_id, 1), AttemptState.FAILED, failure=a_failure(), cost_microcredits=100
    )
    await attempts.begin(conn, an_intent(request, 2))
    await attempts.accepted(conn, attempt_id(request.generation_id, 2), a_job())
    outcome = success(request, attempt_number=2, provider_used="fal", settle_microcredits=4_000)
    (delivery_id,) = (await generations.finish(conn, outcome, output_urls=["https://f"])).deliveries
    await webhooks.record_attempt(
        conn, delivery_id, number=1, status_code=503, error=None, reply_head="busy", final=False
    )

    story = await generations.timeline(conn, request.generation_id)

    assert story.record.status is GenerationStatus.SUCCEEDED
    assert story.assets == [an_asset(request)]
    failed, used = story.attempts
    assert (failed.failure, failed.cost_microcredits) == (a_failure(), 100)
    assert used.latency_s is not None
    assert used.accept_latency_s is not None
    assert used.latency_s >= used.accept_latency_s >= 0
    assert [one.state for one in story.holds] == [HoldState.SETTLED]
    ten = 10 * CREDIT
    assert [
        (one.operation, one.amount_micros, one.available_before_micros, one.available_after_micros)
        for one in story.transfers
    ] == [
        (Operation.RESERVE, QUOTE, ten, ten - QUOTE),
        (Operation.RELEASE, 1_000, ten - QUOTE, ten - 4_000),
        (Operation.SETTLE, 4_000, None, None),
    ]
    (delivery,) = story.deliveries
    assert (delivery.event, delivery.state) == ("generation.completed", "pending")
    assert [(one.number, one.status_code, one.reply_head) for one in delivery.attempts] == [(1, 503, "busy")]
    assert (story.cost_microcredits, story.margin_microcredits) == (3_100, 900)


async def test_a_timeline_under_way_has_no_margin_yet(conn: Conn, account_id: str) -> None:
    story = await generations.timeline(conn, (await an_admitted(conn, account_id)).generation_id)

    assert (story.cost_microcredits, story.margin_microcredits) == (0, None)


async def test_there_is_no_timeline_of_an_unknown_generation(conn: Conn) -> None:
    with pytest.raises(GenerationNotFound):
        await generations.timeline(conn, str(uuid.uuid4()))
