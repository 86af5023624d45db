"""Section 7: request limits and in-flight caps. tests/api/test_rate_limits.py has the arithmetic of the window."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from temporalio.client import Client

from catalog.plans import load_plans
from domain.errors import ContentRefused
from domain.generation import MediaType, workflow_id
from store import ledger
from store.connection import Pool, single
from tests.api.conftest import SCHNELL, Customer, NewCustomer, a_finished, a_running, generate
from tests.api.reading import error_of
from tests.contract.test_s04_order import Blocked, blocked, exhausted  # noqa: F401 - fixtures
from tests.support.staged_worker import StagedProvider

VIDEO = "/v1/generate/video/pixverse/v5"
PLANS = [
    ("free", 60, 2, 1),
    ("starter", 120, 5, 2),
    ("pro", 300, 10, 5),
    ("scale", 600, 25, 10),
    ("enterprise", 1200, 100, 50),
]


async def a_video(http: httpx.AsyncClient, customer: Customer) -> httpx.Response:
    body = {"generation_prompt": "Waves", "generation_duration": 5}
    return await http.post(VIDEO, headers=customer.auth, json=body)


@pytest.mark.parametrize(("plan", "requests", "images", "videos"), PLANS)
def test_7_each_plan_has_its_limits(plan: str, requests: int, images: int, videos: int):
    found = load_plans(None).of(plan)

    assert found.requests_per_minute == requests
    assert (found.in_flight[MediaType.IMAGE], found.in_flight[MediaType.VIDEO]) == (images, videos)


@pytest.mark.parametrize(("plan", "requests"), [("free", 60), ("Starter Monthly", 120), ("Scale", 600)])
async def test_7_the_header_says_the_limit_of_the_plan(
    http: httpx.AsyncClient, new_customer: NewCustomer, plan: str, requests: int
):
    customer = await new_customer(plan=plan)

    first = await http.get("/v1/status", headers=customer.auth)
    second = await http.get("/v1/status", headers=customer.auth)

    assert int(first.headers["X-RateLimit-Limit"]) == requests
    assert int(first.headers["X-RateLimit-Remaining"]) == requests - 1
    assert int(second.headers["X-RateLimit-Remaining"]) == requests - 2


async def test_7_a_request_over_the_limit_says_when_to_come_back(http: httpx.AsyncClient, exhausted: Customer):  # noqa: F811
    response = await http.get("/v1/status", headers=exhausted.auth)

    assert error_of(response) == (429, "BSE1005")
    error = response.json()["error"]
    assert error["retryable"] is True
    assert error["details"] == {"retry_after_seconds": int(response.headers["Retry-After"]), "limit": 60}
    assert response.headers["X-RateLimit-Remaining"] == "0"


async def test_7_all_keys_of_an_account_share_its_limit(
    http: httpx.AsyncClient,
    new_customer: NewCustomer,
    exhausted: Customer,  # noqa: F811
):
    sibling = await new_customer(account_id=exhausted.account_id)

    assert error_of(await http.get("/v1/status", headers=sibling.auth)) == (429, "BSE1005")


async def test_7_the_limit_of_failed_authentications_has_its_own_trio(blocked: Blocked):  # noqa: F811
    response = await blocked.http.get("/v1/status", headers={"Authorization": "Bearer bye_" + "c" * 43})

    assert error_of(response) == (429, "BSE1006")
    assert response.headers["X-RateLimit-Limit"] == "30"
    assert response.headers["X-RateLimit-Remaining"] == "0"
    assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(("images", "videos"), [(2, 1)])
async def test_7_images_and_videos_are_capped_apart(
    http: httpx.AsyncClient, new_customer: NewCustomer, images: int, videos: int
):
    customer = await new_customer(plan="free")

    made = [await generate(http, customer) for _ in range(images + 1)]
    filmed = [await a_video(http, customer) for _ in range(videos + 1)]

    assert [response.status_code for response in made] == [200] * images + [429]
    assert [response.status_code for response in filmed] == [200] * videos + [429]
    for refused in (made[-1], filmed[-1]):
        assert error_of(refused) == (429, "BSE1009")
        assert refused.json()["error"]["retryable"] is True
        assert refused.headers["Retry-After"] == "5"
        assert refused.headers["X-RateLimit-Limit"] == "60"


async def test_7_many_at_once_fill_the_cap_exactly_and_hold_only_that(
    http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer(plan="starter")

    responses = await asyncio.gather(*(generate(http, customer) for _ in range(20)))

    assert sorted(response.status_code for response in responses) == [200] * 5 + [429] * 15
    async with single(pool) as conn:
        assert (await ledger.balance(conn, customer.account_id)).held == 5 * 5_000


async def test_7_a_refused_one_is_not_recorded(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(plan="free")
    for _ in range(4):
        await generate(http, customer)

    assert (await http.get("/v1/content/list", headers=customer.auth)).json()["total"] == 2


@pytest.mark.parametrize("ending", ["canceled", "succeeded", "failed"])
async def test_7_whatever_ends_a_generation_frees_its_place(
    http: httpx.AsyncClient, engine: Client, new_customer: NewCustomer, replicate: StagedProvider, ending: str
):
    customer = await new_customer(plan="free")
    await a_running(http, customer, replicate)

    match ending:
        case "canceled":
            generation_id = await a_running(http, customer, replicate)
            await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)
        case "succeeded":
            await a_finished(http, engine, customer, replicate)
        case "failed":
            await a_refused(http, engine, customer, replicate)
    again = [await generate(http, customer) for _ in range(2)]

    assert [response.status_code for response in again] == [200, 429]


async def a_refused(http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider) -> None:
    """A generation that its only provider refuses."""
    replicate.refuse("refused for section 7", ContentRefused("The filter said no."))
    created = await generate(http, customer, generation_prompt="refused for section 7")
    await engine.get_workflow_handle(workflow_id(created.json()["data"]["generation_id"])).result()


async def test_8_a_replay_does_not_count_toward_the_cap(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer, key = await new_customer(plan="free"), {"Idempotency-Key": "cap"}
    first = await generate(http, customer, headers=key)
    await generate(http, customer)

    again = await generate(http, customer, headers=key)

    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_7_an_estimate_and_a_refusal_take_no_place(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(plan="free")
    for _ in range(3):
        await http.post(SCHNELL, headers=customer.auth, json={})
        await http.get("/v1/estimate/bfl/flux-schnell?count=100", headers=customer.auth)

    made = [await generate(http, customer) for _ in range(3)]

    assert [response.status_code for response in made] == [200, 200, 429]
