"""Section 8, beside tests/api/test_idempotency.py: expiry, other spellings of a key, and what a replay repeats."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api import generations as route
from domain.errors import FailedAfterStart
from store.connection import Pool, single
from tests.api.conftest import PROMPT, SCHNELL, Customer, NewCustomer, a_running, generate, reaching
from tests.api.reading import error_of
from tests.support.staged_worker import StagedProvider


def a_key() -> dict[str, str]:
    return {"Idempotency-Key": f"order:{uuid.uuid4()}"}


async def test_8_a_key_is_free_again_when_its_day_is_over(http: httpx.AsyncClient, customer: Customer, pool: Pool):
    key = a_key()
    first = await generate(http, customer, headers=key)
    async with single(pool) as conn:
        await conn.execute(
            "UPDATE store.idempotency_keys SET expires_at = now() WHERE key = %s", [key["Idempotency-Key"]]
        )

    again = await generate(http, customer, headers=key)

    assert again.status_code == 200
    assert "Idempotency-Replayed" not in again.headers
    assert again.json()["data"]["generation_id"] != first.json()["data"]["generation_id"]


async def test_8_a_key_lives_for_a_day(http: httpx.AsyncClient, customer: Customer, pool: Pool):
    key = a_key()
    await generate(http, customer, headers=key)

    async with single(pool) as conn:
        cursor = await conn.execute(
            "SELECT round(extract(epoch FROM expires_at - now()) / 3600) FROM store.idempotency_keys WHERE key = %s",
            [key["Idempotency-Key"]],
        )
        row = await cursor.fetchone()

    assert row == (24,)


async def test_8_the_quoted_form_of_the_ietf_draft_is_the_same_key(http: httpx.AsyncClient, customer: Customer):
    key = str(uuid.uuid4())

    first = await generate(http, customer, headers={"Idempotency-Key": f'"{key}"'})
    again = await generate(http, customer, headers={"Idempotency-Key": key})

    assert first.status_code == 200
    assert again.content == first.content


@pytest.mark.parametrize("value", ['""', '"a', 'a"', '"a b"', '"a";p=1', "'a'", f'"{"a" * 256}"'])
async def test_8_a_quoted_key_whose_inside_is_wrong_is_refused(http: httpx.AsyncClient, customer: Customer, value: str):
    assert error_of(await generate(http, customer, headers={"Idempotency-Key": value})) == (400, "BSE2014")


async def test_8_a_replay_of_a_generation_that_was_canceled_later_repeats_the_first_answer(
    http: httpx.AsyncClient, customer: Customer
):
    key = a_key()
    first = await generate(http, customer, headers=key)
    generation_id = first.json()["data"]["generation_id"]
    await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    again = await generate(http, customer, headers=key)

    assert again.content == first.content
    assert "generation_status" not in again.json()["data"]


async def test_8_a_replay_outlives_the_generation(http: httpx.AsyncClient, customer: Customer):
    key = a_key()
    first = await generate(http, customer, headers=key)
    generation_id = first.json()["data"]["generation_id"]
    await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)
    await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)

    again = await generate(http, customer, headers=key)

    assert again.content == first.content


async def test_8_a_replay_has_fresh_rate_limit_headers_and_the_first_request_id(
    http: httpx.AsyncClient, customer: Customer
):
    key = a_key()
    first = await generate(http, customer, headers=key)

    again = await generate(http, customer, headers=key)

    assert again.headers["X-Request-Id"] == first.headers["X-Request-Id"]
    assert int(again.headers["X-RateLimit-Remaining"]) < int(first.headers["X-RateLimit-Remaining"])


SAME = [
    pytest.param(b'{"generation_prompt":"a","generation_output_number":1}', id="compact"),
    pytest.param(b'{ "generation_output_number" : 1 ,\n"generation_prompt" : "a" }', id="order and whitespace"),
    pytest.param(b'{"generation_prompt":"\\u0061","generation_output_number":1.0}', id="escapes and floats"),
    pytest.param(b'{"generation_prompt":"a","generation_output_number":1e0}', id="exponents"),
]
OTHER = [
    pytest.param(b'{"generation_prompt":"a"}', id="a default that was not sent"),
    pytest.param(b'{"generation_prompt":"a ","generation_output_number":1}', id="another text"),
    pytest.param(b'{"generation_prompt":"a","generation_output_number":"1"}', id="another type"),
    pytest.param(b'{"generation_prompt":"a","generation_output_number":true}', id="true is not 1"),
]


@pytest.mark.parametrize("body", SAME)
async def test_8_bodies_of_the_same_canonical_json_are_the_same(
    http: httpx.AsyncClient, new_customer: NewCustomer, body: bytes
):
    headers = (await new_customer()).auth | a_key() | {"Content-Type": "application/json"}
    first = await http.post(SCHNELL, headers=headers, content=SAME[0].values[0])

    again = await http.post(SCHNELL, headers=headers, content=body)

    assert again.content == first.content


@pytest.mark.parametrize("body", OTHER)
async def test_8_bodies_of_another_canonical_json_are_others(
    http: httpx.AsyncClient, new_customer: NewCustomer, body: bytes
):
    headers = (await new_customer()).auth | a_key() | {"Content-Type": "application/json"}
    await http.post(SCHNELL, headers=headers, content=SAME[0].values[0])

    assert error_of(await http.post(SCHNELL, headers=headers, content=body)) == (409, "BSE2015")


async def test_8_different_bodies_at_once_make_one_generation_and_conflicts(
    http: httpx.AsyncClient, new_customer: NewCustomer
):
    customer, key = await new_customer(), a_key()

    responses = await asyncio.gather(
        *(generate(http, customer, headers=key, generation_prompt=f"{PROMPT} {number}") for number in range(10))
    )

    answers = [response for response in responses if response.status_code == 200]
    refused = [error_of(response) for response in responses if response.status_code != 200]
    assert len(answers) == 1
    assert set(refused) == {(409, "BSE2015")}
    assert (await http.get("/v1/content/list", headers=customer.auth)).json()["total"] == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/content/list"),
        ("GET", "/v1/estimate/bfl/flux-schnell"),
        ("POST", "/v1/content/generation/cancel/{}"),
        ("DELETE", "/v1/content/{}"),
    ],
)
@pytest.mark.parametrize("value", ["", "not valid!", "fine"])
async def test_8_the_header_means_nothing_on_other_routes(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, method: str, path: str, value: str
):
    generation_id = await a_running(http, customer, replicate)
    if method == "DELETE":
        await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    response = await http.request(
        method, path.format(generation_id), headers=customer.auth | {"Idempotency-Key": value}
    )

    assert response.status_code == 200
    assert "Idempotency-Replayed" not in response.headers


async def test_8_an_unexpected_error_before_the_start_frees_the_key(
    settings_app: FastAPI, new_customer: NewCustomer, http: httpx.AsyncClient
):
    customer, key = await new_customer(), a_key()
    settings_app.state.services = replace(settings_app.state.services, catalogue=None)
    async with reaching(settings_app, "127.0.0.1") as broken:
        refused = await generate(broken, customer, headers=key)

    again = await generate(http, customer, headers=key)

    assert error_of(refused) == (500, "BSE5001")
    assert refused.json()["error"]["retryable"] is True
    assert again.status_code == 200


async def test_1_7_an_unexpected_error_after_the_start_must_not_be_repeated(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: Any) -> bytes:
        raise RuntimeError

    customer, key = await new_customer(), a_key()
    monkeypatch.setattr(route, "_accepted", broken)
    failed = await generate(http, customer, headers=key)
    again = await generate(http, customer, headers=key)
    listed = (await http.get("/v1/content/list", headers=customer.auth)).json()["data"]["generations"]

    assert error_of(failed) == (500, FailedAfterStart.code)
    assert failed.json()["error"]["retryable"] is False
    assert failed.json()["error"]["details"] == {"generation_id": listed[0]["generation_id"]}
    assert error_of(again) == (409, "BSE2016")  # until the lease ends, and then the record answers
    assert len(listed) == 1


async def test_8_an_answer_is_the_same_bytes_after_a_restart(
    settings_app: FastAPI, http: httpx.AsyncClient, customer: Customer
):
    key = a_key()
    first = await generate(http, customer, headers=key)

    async with reaching(settings_app, "127.0.0.1") as another_process:
        again = await generate(another_process, customer, headers=key)

    assert again.content == first.content
    assert json.loads(again.content)["timestamp"] == first.json()["timestamp"]
