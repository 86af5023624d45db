"""Section 12.8: a callback wakes the workflow; forged, stale and repeated ones change nothing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid

import httpx
import pytest
from fastapi import FastAPI
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

import composition
from domain import callback_token
from domain.generation import attempt_id, workflow_id
from settings import Settings
from tests.api.conftest import REPLICATE_WEBHOOK_SECRET, Customer, a_finished, a_running, reaching, serving
from tests.api.reading import error_of
from tests.support.staged_worker import StagedProvider

SECRET = base64.b64decode(REPLICATE_WEBHOOK_SECRET.removeprefix("whsec_"))


def signed(body: bytes, *, event_id: str | None = None, at: float | None = None, key: bytes = SECRET) -> dict[str, str]:
    """The headers that Replicate sends with a body."""
    event_id, stamp = event_id or f"msg_{uuid.uuid4()}", str(int(time.time() if at is None else at))
    mac = hmac.new(key, f"{event_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "Webhook-Id": event_id,
        "Webhook-Timestamp": stamp,
        "Webhook-Signature": "v1," + base64.b64encode(mac).decode(),
        "Content-Type": "application/json",
    }


def body_of(generation_id: str) -> bytes:
    return json.dumps({"id": f"job-{attempt_id(generation_id, 1)}", "status": "succeeded"}).encode()


@pytest.fixture(scope="session")
def callback_key(settings: Settings) -> bytes:
    return composition.keys(settings).callback_tokens


def address(key: bytes, generation_id: str, *, number: int = 1, provider: str = "replicate", region: str = "us") -> str:
    token = callback_token.mint(key, region, provider, generation_id, number)
    return f"/v1/callbacks/{provider}/{token}"


async def signals_until(engine: Client, http: httpx.AsyncClient, key: bytes, generation_id: str) -> int:
    """How many callbacks the workflow was told of, with one more as the end: signals keep their order."""
    body = b"{}"
    last = await http.post(address(key, generation_id), content=body, headers=signed(body, event_id="the end"))
    assert last.json() == {"status": "accepted"}
    async with asyncio.timeout(10):
        while True:
            history = await engine.get_workflow_handle(workflow_id(generation_id)).fetch_history()
            told = [
                event.workflow_execution_signaled_event_attributes.input.payloads[0].data
                for event in history.events
                if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
            ]
            if told and b"the end" in told[-1]:
                return len(told) - 1
            await asyncio.sleep(0.02)


async def test_a_callback_wakes_the_workflow_which_reads_the_result_itself(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider, callback_key: bytes
):
    generation_id = await a_running(http, customer, replicate)
    replicate.finish(await replicate.submitted(attempt_id(generation_id, 1)))
    body = body_of(generation_id)

    response = await http.post(address(callback_key, generation_id), content=body, headers=signed(body))

    assert (response.status_code, response.json()) == (200, {"status": "accepted"})
    await engine.get_workflow_handle(workflow_id(generation_id)).result()
    read = await http.get(f"/v1/content/{generation_id}", headers=customer.auth)
    assert read.json()["data"]["generation_status"] == "succeeded"


async def test_a_callback_that_says_succeeded_is_not_believed(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, callback_key: bytes
):
    generation_id = await a_running(http, customer, replicate)
    body = body_of(generation_id)

    await http.post(address(callback_key, generation_id), content=body, headers=signed(body))

    read = await http.get(f"/v1/content/{generation_id}", headers=customer.auth)
    assert read.json()["data"]["generation_status"] in {"pending", "processing"}


async def test_a_repeated_callback_is_told_to_the_workflow_once(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider, callback_key: bytes
):
    generation_id = await a_running(http, customer, replicate)
    body = body_of(generation_id)
    headers = signed(body, event_id="msg_repeated")

    answers = [await http.post(address(callback_key, generation_id), content=body, headers=headers) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert await signals_until(engine, http, callback_key, generation_id) == 1


async def test_two_different_callbacks_are_both_told(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider, callback_key: bytes
):
    generation_id = await a_running(http, customer, replicate)
    body = body_of(generation_id)

    for _ in range(2):
        await http.post(address(callback_key, generation_id), content=body, headers=signed(body))

    assert await signals_until(engine, http, callback_key, generation_id) == 2


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(lambda body: {}, id="not signed"),
        pytest.param(lambda body: signed(body, key=b"another key"), id="signed with another key"),
        pytest.param(lambda body: signed(body + b" "), id="signed over another body"),
        pytest.param(lambda body: signed(body, at=time.time() - 301), id="too old"),
        pytest.param(lambda body: signed(body, at=time.time() + 301), id="from the future"),
    ],
)
async def test_a_forged_or_stale_callback_is_refused_and_wakes_nobody(
    http: httpx.AsyncClient,
    engine: Client,
    customer: Customer,
    replicate: StagedProvider,
    callback_key: bytes,
    forged: object,
):
    assert callable(forged)
    generation_id = await a_running(http, customer, replicate)
    body = body_of(generation_id)

    response = await http.post(address(callback_key, generation_id), content=body, headers=forged(body))

    assert error_of(response) == (401, "BSE1002")
    assert await signals_until(engine, http, callback_key, generation_id) == 0


async def test_an_address_that_was_not_minted_here_does_not_exist(http: httpx.AsyncClient, callback_key: bytes):
    generation_id = str(uuid.uuid4())
    good = address(callback_key, generation_id)
    body = body_of(generation_id)
    wrong = [
        "/v1/callbacks/replicate/nonsense",
        f"{good[:-1]}{'A' if good[-1] != 'A' else 'B'}",
        f"{good}A",
        good.replace("/replicate/", "/fal/"),
        good.replace("/replicate/", "/nobody/"),
        address(b"another key, of another deployment", generation_id),
        address(callback_key, generation_id, region="eu"),
    ]

    answers = [await http.post(path, content=body, headers=signed(body)) for path in wrong]

    assert [error_of(answer) for answer in answers] == [(404, "BSE3004")] * len(wrong)


async def test_a_callback_for_a_generation_that_is_not_known_is_ignored(http: httpx.AsyncClient, callback_key: bytes):
    generation_id = str(uuid.uuid4())
    body = body_of(generation_id)

    response = await http.post(address(callback_key, generation_id), content=body, headers=signed(body))

    assert (response.status_code, response.json()) == (200, {"status": "ignored"})


async def test_a_callback_after_the_end_is_ignored(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider, callback_key: bytes
):
    generation_id = await a_finished(http, engine, customer, replicate)
    body = body_of(generation_id)

    response = await http.post(address(callback_key, generation_id), content=body, headers=signed(body))

    assert (response.status_code, response.json()) == (200, {"status": "ignored"})


async def test_without_temporal_the_provider_is_asked_to_call_again(
    http: httpx.AsyncClient,
    settings: Settings,
    customer: Customer,
    replicate: StagedProvider,
    callback_key: bytes,
):
    generation_id = await a_running(http, customer, replicate)
    body = body_of(generation_id)

    async with serving(settings.model_copy(update={"temporal_address": "127.0.0.1:1"})) as alone:
        response = await alone.post(address(callback_key, generation_id), content=body, headers=signed(body))

    assert error_of(response) == (503, "BSE5004")


async def test_a_callback_needs_no_database(
    http: httpx.AsyncClient,
    customer: Customer,
    replicate: StagedProvider,
    callback_key: bytes,
    settings_app: FastAPI,
):
    generation_id = await a_running(http, customer, replicate)
    body = body_of(generation_id)
    await settings_app.state.services.pool.close()

    async with reaching(settings_app, "127.0.0.1") as alone:
        response = await alone.post(address(callback_key, generation_id), content=body, headers=signed(body))

    assert (response.status_code, response.json()) == (200, {"status": "accepted"})


async def test_a_callback_may_be_larger_than_a_request_but_not_endless(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, callback_key: bytes
):
    generation_id = await a_running(http, customer, replicate)
    large, endless = b" " * 1024 * 1024, b" " * (1024 * 1024 + 1)

    accepted = await http.post(address(callback_key, generation_id), content=large, headers=signed(large))
    refused = await http.post(address(callback_key, generation_id), content=endless, headers=signed(endless))

    assert accepted.status_code == 200
    assert error_of(refused) == (413, "BSE2010")


async def test_a_callback_needs_no_key_and_counts_against_no_account(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, callback_key: bytes
):
    generation_id = await a_running(http, customer, replicate)
    body = body_of(generation_id)

    response = await http.post(address(callback_key, generation_id), content=body, headers=signed(body))

    assert "X-RateLimit-Limit" not in response.headers
