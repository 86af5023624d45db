"""Section 8: the same Idempotency-Key always means the same generation."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client

from api import generations as route
from api import idempotency
from api.schemas import GenerationAccepted, GenerationAlreadyCanceled
from domain.errors import AdmissionUnknown
from domain.generation import MediaType, attempt_id
from store import idempotency as claims
from store import ledger
from store.connection import Pool, single
from store.idempotency import ClaimState
from tests.api.conftest import PROMPT, SCHNELL, Customer, NewCustomer, a_finished, a_running, generate, reaching
from tests.api.reading import data_of, error_of
from tests.support.staged_worker import StagedProvider

BODY = {"generation_prompt": PROMPT, "generation_provider_order": "replicate"}


def a_key() -> dict[str, str]:
    return {"Idempotency-Key": f"order:{uuid.uuid4()}"}


async def generations_of(http: httpx.AsyncClient, customer: Customer) -> int:
    total: int = (await http.get("/v1/content/list", headers=customer.auth)).json()["total"]
    return total


async def holds_of(pool: Pool, customer: Customer) -> int:
    """How often the account has paid, or is about to."""
    async with single(pool) as conn:
        cursor = await conn.execute("SELECT count(*) FROM ledger.holds WHERE account_id = %s", [customer.account_id])
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def test_8_a_repeat_gets_the_first_answer_byte_for_byte(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer, key = await new_customer(), a_key()

    first = await generate(http, customer, headers=key)
    again = await generate(http, customer, headers=key)

    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["X-Request-Id"] == first.json()["request_id"]
    assert again.headers["Content-Type"] == "application/json"


async def test_8_a_slash_at_the_end_makes_no_other_request(http: httpx.AsyncClient, new_customer: NewCustomer):
    """Section 10.5: it is ignored, so the same model is named."""
    customer, key = await new_customer(), a_key()
    first = await generate(http, customer, headers=key)

    again = await http.post(f"{SCHNELL}/", headers=customer.auth | key, json=BODY)

    assert (again.status_code, again.content) == (200, first.content)


async def test_8_a_repeat_starts_and_holds_nothing(http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool):
    customer, key = await new_customer(), a_key()
    await generate(http, customer, headers=key)
    async with single(pool) as conn:
        held = (await ledger.balance(conn, customer.account_id)).held

    await generate(http, customer, headers=key)

    async with single(pool) as conn:
        assert (await ledger.balance(conn, customer.account_id)).held == held
    assert await generations_of(http, customer) == 1


async def test_8_a_repeat_counts_toward_the_rate_limit(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer, key = await new_customer(), a_key()
    first = await generate(http, customer, headers=key)

    again = await generate(http, customer, headers=key)

    assert int(again.headers["X-RateLimit-Remaining"]) == int(first.headers["X-RateLimit-Remaining"]) - 1


async def test_8_a_key_belongs_to_the_account_not_to_the_api_key(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer, key = await new_customer(), a_key()
    sibling = await new_customer(account_id=customer.account_id)
    first = await generate(http, customer, headers=key)

    again = await generate(http, sibling, headers=key)

    assert again.content == first.content


async def test_8_two_accounts_may_use_the_same_key(http: httpx.AsyncClient, new_customer: NewCustomer):
    key = a_key()

    first = await generate(http, await new_customer(), headers=key)
    other = await generate(http, await new_customer(), headers=key)

    assert first.json()["data"]["generation_id"] != other.json()["data"]["generation_id"]
    assert "Idempotency-Replayed" not in other.headers


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(SCHNELL, BODY | {"generation_prompt": "Something else"}, id="another body"),
        pytest.param("/v1/generate/image/bfl/flux-dev", BODY, id="another model"),
        pytest.param("/v1/generate/video/bfl/flux-schnell", BODY, id="another kind"),
        pytest.param(SCHNELL, {"generation_prompt": ""}, id="a body that is not even valid"),
    ],
)
async def test_8_the_same_key_with_another_request_is_a_conflict(
    http: httpx.AsyncClient, customer: Customer, path: str, body: dict[str, str]
):
    key = a_key()
    await generate(http, customer, headers=key)

    response = await http.post(path, headers=customer.auth | key, json=body)

    assert error_of(response) == (409, "BSE2015")
    assert response.json()["error"]["retryable"] is False


async def test_8_the_order_of_members_and_the_spelling_of_numbers_do_not_matter(
    http: httpx.AsyncClient, customer: Customer
):
    headers = customer.auth | a_key() | {"Content-Type": "application/json"}
    first = await http.post(SCHNELL, headers=headers, content=b'{"generation_prompt":"a","generation_output_number":1}')

    again = await http.post(
        SCHNELL, headers=headers, content=b'{ "generation_output_number": 1.0, "generation_prompt": "\\u0061" }'
    )

    assert again.content == first.content


@pytest.mark.parametrize(
    "value", ["", " ", "a b", "ä", "a" * 256, "a/b"], ids=["empty", "blank", "space", "umlaut", "long", "slash"]
)
async def test_8_a_key_of_the_wrong_form_is_refused(http: httpx.AsyncClient, customer: Customer, value: str):
    response = await http.post(
        SCHNELL,
        headers={**customer.auth, "Idempotency-Key": value.encode("latin-1")},
        json=BODY,  # type: ignore[dict-item]
    )

    assert error_of(response) == (400, "BSE2014")


async def test_8_a_key_that_is_sent_twice_is_refused(http: httpx.AsyncClient, customer: Customer):
    headers = [*customer.auth.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    response = await http.post(SCHNELL, headers=headers, json=BODY)

    assert error_of(response) == (400, "BSE2014")


async def test_8_the_longest_key_with_every_kind_of_character_works(http: httpx.AsyncClient, customer: Customer):
    key = f"{uuid.uuid4()}_.:-".ljust(255, "Z")

    response = await generate(http, customer, headers={"Idempotency-Key": key})

    assert response.status_code == 200


async def test_8_an_error_frees_the_key(http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool):
    customer, key = await new_customer(credits=0), a_key()
    refused = await generate(http, customer, headers=key)
    async with single(pool) as conn:
        await ledger.grant(
            conn,
            account_id=customer.account_id,
            amount=1_000_000,
            source=ledger.GrantSource.ADJUSTMENT,
            key=f"late:{customer.account_id}",
        )

    again = await generate(http, customer, headers=key)

    assert error_of(refused) == (402, "BSE1004")
    assert again.status_code == 200
    assert "Idempotency-Replayed" not in again.headers


async def test_8_a_refused_body_frees_the_key_for_another_body(http: httpx.AsyncClient, customer: Customer):
    key = a_key()
    refused = await generate(http, customer, headers=key, generation_ratio="1:7")

    again = await generate(http, customer, headers=key)

    assert refused.status_code == 422
    assert again.status_code == 200


async def test_8_twenty_at_once_start_one_generation(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer, key = await new_customer(), a_key()

    responses = await asyncio.gather(*(generate(http, customer, headers=key) for _ in range(20)))

    answered = [response for response in responses if response.status_code == 200]
    waiting = [response for response in responses if response.status_code != 200]
    assert len({response.content for response in answered}) == 1
    assert {error_of(response) for response in waiting} <= {(409, "BSE2016")}
    assert await generations_of(http, customer) == 1


async def claimed(pool: Pool, customer: Customer, key: str, generation_id: str, lease: timedelta) -> None:
    """Another request has claimed the key and is still at work, or died at it."""
    fingerprint = idempotency.fingerprint(MediaType.IMAGE.value, "bfl/flux-schnell", BODY)
    async with single(pool) as conn:
        claim = await claims.claim(conn, customer.account_id, key, fingerprint, generation_id, lease)
    assert claim.state is ClaimState.NEW


async def test_8_while_the_first_request_is_at_work_the_second_is_told_to_wait(
    http: httpx.AsyncClient, customer: Customer, pool: Pool
):
    key = a_key()
    await claimed(pool, customer, key["Idempotency-Key"], str(uuid.uuid4()), timedelta(seconds=60))

    response = await generate(http, customer, headers=key)

    assert error_of(response) == (409, "BSE2016")
    assert response.json()["error"]["retryable"] is True
    assert response.headers["Retry-After"] == "2"
    assert response.headers["X-RateLimit-Limit"]


async def test_8_a_request_that_died_with_its_generation_recorded_is_answered_from_the_record(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, pool: Pool
):
    key = a_key()
    generation_id = await a_running(http, customer, replicate)
    await claimed(pool, customer, key["Idempotency-Key"], generation_id, timedelta(0))

    response = await generate(http, customer, headers=key)
    again = await generate(http, customer, headers=key)

    data = data_of(response, GenerationAccepted)
    assert data["generation_id"] == generation_id
    assert data["generation_prediction_id"] == attempt_id(generation_id, 1)
    assert data["generation_provider_order"] == ["replicate"]
    assert response.headers["Idempotency-Replayed"] == "true"
    assert again.content == response.content


async def test_10_6_a_generation_canceled_before_it_was_answered_has_the_short_form(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, pool: Pool
):
    key = a_key()
    generation_id = await a_running(http, customer, replicate)
    await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)
    await claimed(pool, customer, key["Idempotency-Key"], generation_id, timedelta(0))

    response = await generate(http, customer, headers=key)

    data = data_of(response, GenerationAlreadyCanceled)
    assert data == {"generation_id": generation_id, "generation_status": "canceled"}


async def test_8_a_request_that_died_before_anything_was_recorded_leaves_the_key_free(
    http: httpx.AsyncClient, customer: Customer, pool: Pool
):
    key, never_recorded = a_key(), str(uuid.uuid4())
    await claimed(pool, customer, key["Idempotency-Key"], never_recorded, timedelta(0))

    response = await generate(http, customer, headers=key)

    assert response.json()["data"]["generation_id"] != never_recorded
    assert "Idempotency-Replayed" not in response.headers


async def test_10_10_a_request_that_died_is_answered_also_when_its_generation_was_deleted_since(
    http: httpx.AsyncClient, engine: Client, new_customer: NewCustomer, replicate: StagedProvider, pool: Pool
):
    """The idempotency record stays, whether or not it had been answered: nobody pays twice under one key."""
    customer, key = await new_customer(), a_key()
    generation_id = await a_finished(http, engine, customer, replicate)
    await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)
    await claimed(pool, customer, key["Idempotency-Key"], generation_id, timedelta(0))

    response = await generate(http, customer, headers=key)

    assert data_of(response, GenerationAccepted)["generation_id"] == generation_id
    assert response.headers["Idempotency-Replayed"] == "true"
    assert await holds_of(pool, customer) == 1


async def test_8_a_request_that_was_asleep_when_another_took_over_its_key_starts_nothing_more(
    http: httpx.AsyncClient,
    settings_app: FastAPI,
    new_customer: NewCustomer,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
):
    """A process may stop between any two steps for longer than a lease, and go on as if nothing had been."""
    customer, key = await new_customer(), a_key()
    asleep, awake = asyncio.Event(), asyncio.Event()

    async def sleeping() -> frozenset[str]:
        asleep.set()
        await awake.wait()
        return frozenset()

    monkeypatch.setattr(settings_app.state.services.paused, "names", sleeping)
    monkeypatch.setattr(claims, "claim", partial(claims.claim, lease=timedelta(seconds=0.1)))
    async with reaching(settings_app, "127.0.0.1") as other:
        first = asyncio.create_task(generate(other, customer, headers=key))
        await asleep.wait()
        monkeypatch.undo()
        await asyncio.sleep(0.1)
        second = await generate(http, customer, headers=key)
        awake.set()
        late = await first

    again = await generate(http, customer, headers=key)
    assert second.status_code == 200
    assert await holds_of(pool, customer) == 1
    assert error_of(late) == (503, "BSE5004")
    assert late.json()["error"]["retryable"] is True
    assert again.content == second.content


@pytest.mark.parametrize(
    ("where", "step", "runs"),
    [
        pytest.param(route, "plan_generation", False, id="after its claim"),
        pytest.param(route, "start_once", False, id="before the start"),
        pytest.param(route, "start_once", True, id="when it was admitted"),
        pytest.param(claims, "complete", False, id="before its answer was kept"),
        pytest.param(claims, "complete", True, id="when its answer was kept"),
    ],
)
async def test_8_a_request_that_dies_between_any_two_steps_is_paid_for_once(
    http: httpx.AsyncClient,
    new_customer: NewCustomer,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    step: str,
    runs: bool,
):
    customer, key, whole = await new_customer(), a_key(), getattr(where, step)

    def dies(*arguments: Any, **named: Any) -> Any:
        async def at_last() -> None:
            if runs:
                await whole(*arguments, **named)
            raise asyncio.CancelledError  # nothing of ours catches this, as nothing catches a kill

        if asyncio.iscoroutinefunction(whole):
            return at_last()
        raise asyncio.CancelledError

    monkeypatch.setattr(where, step, dies)
    await asyncio.wait([asyncio.ensure_future(generate(http, customer, headers=key))])
    monkeypatch.undo()
    async with single(pool) as conn:
        await conn.execute(
            "UPDATE store.idempotency_keys SET lease_until = now() WHERE key = %s", [key["Idempotency-Key"]]
        )

    answers = [await generate(http, customer, headers=key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert await holds_of(pool, customer) == await generations_of(http, customer) == 1


async def test_8_the_header_is_ignored_on_other_routes(http: httpx.AsyncClient, customer: Customer):
    response = await http.get("/v1/status", headers=customer.auth | {"Idempotency-Key": "not valid!"})

    assert response.status_code == 200


async def test_8_a_key_stays_claimed_when_nobody_knows_whether_the_generation_exists(customer: Customer, pool: Pool):
    claimant = idempotency.Claimant(customer.account_id, a_key()["Idempotency-Key"], "f" * 64, str(uuid.uuid4()))

    async def unknown(_: float) -> bytes:
        raise AdmissionUnknown("nobody knows")

    async def never(_: str) -> bytes | None:
        raise AssertionError

    with pytest.raises(AdmissionUnknown):
        await idempotency.once(pool, claimant, create=unknown, recover=never)

    async with single(pool) as conn:
        again = await claims.claim(conn, claimant.account_id, claimant.key, claimant.fingerprint, str(uuid.uuid4()))
    assert again.state is ClaimState.IN_PROGRESS
