"""Section 7: the two request limits, what their headers say (section 2.5), and what each refusal tells."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

from settings import Settings
from store.connection import Pool, single
from tests.api.conftest import Customer, NewCustomer, reaching, serving
from tests.api.reading import error_of, refusal_of

WRONG = {"Authorization": "Bearer bye_" + "w" * 43}
ADDRESSES = iter(f"198.51.100.{number}" for number in range(1, 255))
Somewhere = Callable[[], httpx.AsyncClient]


@pytest.fixture
def somewhere(app: FastAPI) -> Somewhere:
    """A client at an address that nobody has used yet."""
    return lambda: reaching(app, next(ADDRESSES))


def trio(response: httpx.Response) -> tuple[int, int, int]:
    limit, remaining, reset = (response.headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset"))
    return int(limit), int(remaining), int(reset)


async def fail(client: httpx.AsyncClient, times: int) -> list[httpx.Response]:
    return [await client.get("/v1/status", headers=WRONG) for _ in range(times)]


# --- an account's requests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "limit"),
    [("free", 60), ("starter", 120), ("pro", 300), ("scale", 600), ("enterprise", 1200), ("Pro Yearly", 300)],
)
async def test_section_7_the_limit_is_the_plans(
    http: httpx.AsyncClient, new_customer: NewCustomer, plan: str, limit: int
):
    customer = await new_customer(plan=plan)

    first, second = [await http.get("/v1/status", headers=customer.auth) for _ in range(2)]

    assert trio(first)[:2] == (limit, limit - 1)
    assert trio(second)[:2] == (limit, limit - 2)
    assert time.time() - 5 < trio(first)[2] <= time.time() + 61
    assert trio(first)[2] == trio(second)[2]


async def test_the_ietf_draft_says_the_same(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(plan="free")

    response = await http.get("/v1/status", headers=customer.auth)

    assert response.headers["RateLimit-Policy"] == '"default";q=60;w=60'
    assert re.fullmatch(r'"default";r=59;t=(60|[1-5]?[0-9])', response.headers["RateLimit"])


async def test_section_7_the_limit_counts_per_account_over_all_its_keys(
    http: httpx.AsyncClient, new_customer: NewCustomer
):
    first = await new_customer(plan="free")
    second = await new_customer(account_id=first.account_id)

    answers = [await http.get("/v1/status", headers=customer.auth) for _ in range(35) for customer in (first, second)]

    assert [answer.status_code for answer in answers] == [200] * 60 + [429] * 10


async def test_section_7_a_refusal_says_how_many_and_when(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(plan="free")
    for _ in range(60):
        await http.get("/v1/status", headers=customer.auth)

    response = await http.get("/v1/status", headers=customer.auth)

    assert error_of(response) == (429, "BSE1005")
    refusal = refusal_of(response)
    assert (refusal["type"], refusal["retryable"]) == ("rate_limit_exceeded", True)
    assert refusal["details"] == {"retry_after_seconds": int(response.headers["Retry-After"]), "limit": 60}
    assert int(response.headers["Retry-After"]) >= 1
    assert trio(response)[:2] == (60, 0)
    assert response.headers["RateLimit"] == f'"default";r=0;t={response.headers["Retry-After"]}'


async def test_section_7_at_once_exactly_the_limit_passes(http: httpx.AsyncClient, new_customer: NewCustomer):
    customer = await new_customer(plan="free")

    answers = await asyncio.gather(*(http.get("/v1/status", headers=customer.auth) for _ in range(90)))

    assert Counter(answer.status_code for answer in answers) == {200: 60, 429: 30}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("/v1/content/2d6b8f0e-94a1-4f0c-8a57-0c3e6b1d9f22", "BSE3001", id="not found"),
        pytest.param("/v1/content/list?limit=x", "BSE2001", id="a wrong parameter"),
    ],
)
async def test_section_2_5_a_failure_after_the_key_carries_the_trio_and_was_counted(
    http: httpx.AsyncClient, new_customer: NewCustomer, path: str, code: str
):
    customer = await new_customer(plan="free")

    response = await http.get(path, headers=customer.auth)

    assert error_of(response)[1] == code
    assert trio(response)[:2] == (60, 59)


async def closed(pool: Pool, customer: Customer) -> None:
    async with single(pool) as conn:
        await conn.execute(
            "UPDATE store.accounts SET frozen_at = now(), closed_at = now() WHERE account_id = %s::uuid",
            [customer.account_id],
        )


async def test_section_4_the_answer_to_a_closed_account_is_not_counted_either(
    http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer(plan="free")
    await closed(pool, customer)

    answers = [await http.get("/v1/status", headers=customer.auth) for _ in range(2)]

    assert [(error_of(answer)[1], *trio(answer)[:2]) for answer in answers] == [("BSE1008", 60, 60)] * 2


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        pytest.param({"scopes": ("library:read",)}, "BSE1003", id="the scope is missing"),
        pytest.param({"ip_allowlist": ("192.0.2.1",)}, "BSE1007", id="from the wrong address"),
    ],
)
async def test_section_4_what_is_refused_before_the_limit_is_not_counted_but_told(
    http: httpx.AsyncClient, new_customer: NewCustomer, facts: dict[str, tuple[str, ...]], code: str
):
    customer = await new_customer(plan="free", **facts)

    answers = [await http.get("/v1/status", headers=customer.auth) for _ in range(2)]

    assert [(error_of(answer)[1], *trio(answer)[:2]) for answer in answers] == [(code, 60, 60)] * 2


async def test_section_7_without_whoever_counts_requests_pass(settings: Settings, customer: Customer):
    nobody = settings.model_copy(update={"counters_url": type(settings.database_url)("redis://127.0.0.1:1")})

    async with serving(nobody) as client:
        answers = [await client.get("/v1/status", headers=customer.auth) for _ in range(3)]

    assert [(answer.status_code, *trio(answer)[:2]) for answer in answers] == [(200, 1200, 1200)] * 3


# --- failed authentications ---------------------------------------------------------------------------------------


async def test_section_7_thirty_failed_authentications_from_one_address(somewhere: Somewhere):
    async with somewhere() as client:
        answers = await fail(client, 32)

    assert [error_of(answer) for answer in answers] == [(401, "BSE1002")] * 30 + [(429, "BSE1006")] * 2
    last = answers[-1]
    assert (refusal_of(last)["type"], refusal_of(last)["retryable"]) == ("auth_rate_limited", True)
    assert int(last.headers["Retry-After"]) >= 1
    assert trio(last)[:2] == (30, 0)
    assert last.headers["RateLimit-Policy"] == '"authentication";q=30;w=60'


async def test_section_4_an_address_with_too_many_is_turned_away_before_any_key_is_looked_at(
    somewhere: Somewhere, customer: Customer
):
    async with somewhere() as client:
        remembered = await client.get("/v1/status", headers=customer.auth)
        await fail(client, 30)
        good, none, scope = [
            await client.get(path, headers=headers)
            for path, headers in (("/v1/status", customer.auth), ("/v1/status", {}), ("/v1/status", WRONG))
        ]

    assert remembered.status_code == 200
    assert [error_of(answer) for answer in (good, none, scope)] == [(429, "BSE1006")] * 3


async def test_section_7_what_succeeds_is_not_counted_and_other_addresses_are_not_concerned(
    somewhere: Somewhere, customer: Customer
):
    async with somewhere() as client, somewhere() as other:
        await fail(client, 29)
        good = [await client.get("/v1/status", headers=customer.auth) for _ in range(40)]
        last_two = await fail(client, 2)
        elsewhere = await other.get("/v1/status", headers=customer.auth)

    assert {answer.status_code for answer in (*good, elsewhere)} == {200}
    assert [error_of(answer)[1] for answer in last_two] == ["BSE1002", "BSE1006"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no key at all"),
        pytest.param({"Authorization": "Basic dXNlcjpwYXNz"}, id="another scheme"),
    ],
)
async def test_a_request_without_a_key_tries_none(somewhere: Somewhere, headers: dict[str, str]):
    async with somewhere() as client:
        answers = [await client.get("/v1/status", headers=headers) for _ in range(35)]

    assert {error_of(answer) for answer in answers} == {(401, "BSE1001")}


async def test_section_7_refusals_of_a_verified_key_are_no_failed_authentications(
    somewhere: Somewhere, new_customer: NewCustomer
):
    customer = await new_customer(scopes=("library:read",))
    async with somewhere() as client:
        answers = [await client.get("/v1/status", headers=customer.auth) for _ in range(35)]

    assert {error_of(answer) for answer in answers} == {(403, "BSE1003")}


async def test_section_7_all_addresses_of_an_ipv6_network_are_one(app: FastAPI, customer: Customer):
    """A host has 2^64 of them: counted one by one, nobody who tries out keys would ever meet the limit."""
    for number in range(30):
        async with reaching(app, f"2001:db8:77:1:{number:x}::1") as client:
            await fail(client, 1)

    async with reaching(app, "2001:db8:77:1:ffff::2") as same, reaching(app, "2001:db8:77:2::1") as neighbour:
        (turned_away,) = await fail(same, 1)
        let_in = await neighbour.get("/v1/status", headers=customer.auth)

    assert error_of(turned_away) == (429, "BSE1006")
    assert let_in.status_code == 200


async def test_section_7_at_once_exactly_thirty_keys_are_tried(somewhere: Somewhere):
    async with somewhere() as client:
        answers = await asyncio.gather(*(client.get("/v1/status", headers=WRONG) for _ in range(50)))

    assert Counter(error_of(answer)[1] for answer in answers) == {"BSE1002": 30, "BSE1006": 20}


async def test_the_keys_of_operators_cannot_be_tried_out_either(
    somewhere: Somewhere, operator: dict[str, str], customer: Customer
):
    async with somewhere() as client:
        for _ in range(15):
            await client.get("/admin/v1/plans", headers={"Authorization": "Bearer byo_" + "w" * 43})
        await fail(client, 15)
        answers = [await client.get("/admin/v1/plans", headers=operator)]
        answers.append(await client.get("/v1/status", headers=customer.auth))

    assert [error_of(answer) for answer in answers] == [(429, "BSE1006")] * 2
