"""Section 5: the envelope of every success and of every error."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.api.conftest import PROMPT, SCHNELL, Customer, a_running
from tests.support.staged_worker import StagedProvider

UNKNOWN = "0d9c4f3e-6b1a-4c57-9e20-5a8f7d1c2b34"
READS = [
    "/v1/status",
    "/v1/usage",
    "/v1/user/account",
    "/v1/user/billing",
    "/v1/estimate/bfl/flux-schnell",
    "/v1/library/providers",
    "/v1/library/models",
    "/v1/health/inference/providers",
    "/v1/health/inference/models",
    "/v1/health/storage",
    "/v1/health/cache",
]
SUCCESS = {"status", "request_id", "message", "timestamp", "data"}


def assert_success(body: dict[str, object], members: set[str] = SUCCESS) -> None:
    assert set(body) == members
    assert body["status"] == "success"
    assert re.fullmatch(r"req_[0-9a-f]{32}", str(body["request_id"]))
    assert isinstance(body["message"], str)
    assert isinstance(body["data"], dict)
    said = datetime.fromisoformat(str(body["timestamp"]))
    assert abs(datetime.now(UTC) - said) < timedelta(minutes=5)


@pytest.mark.parametrize("path", READS)
async def test_5_1_a_read_has_exactly_the_success_envelope(http: httpx.AsyncClient, customer: Customer, path: str):
    response = await http.get(path, headers=customer.auth)

    assert response.status_code == 200
    assert_success(response.json())


async def test_5_1_only_the_list_has_the_pagination(http: httpx.AsyncClient, customer: Customer):
    response = await http.get("/v1/content/list", headers=customer.auth)

    assert_success(response.json(), SUCCESS | {"total", "limit", "offset"})


async def test_5_1_create_read_cancel_and_delete_answer_200_with_the_envelope(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    created = await http.post(SCHNELL, headers=customer.auth, json={"generation_prompt": PROMPT})
    generation_id = await a_running(http, customer, replicate)
    read = await http.get(f"/v1/content/{generation_id}", headers=customer.auth)
    canceled = await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)
    deleted = await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)

    for response in (created, read, canceled, deleted):
        assert response.status_code == 200
        assert_success(response.json())


@pytest.mark.parametrize(
    ("path", "members"),
    [
        pytest.param("/v1/nothing", {"code", "type", "message", "retryable"}, id="without details"),
        pytest.param(f"/v1/content/{UNKNOWN}", {"code", "type", "message", "retryable"}, id="without details, known"),
        pytest.param(
            "/v1/content/list?limit=x", {"code", "type", "message", "retryable", "details"}, id="with details"
        ),
    ],
)
async def test_5_2_an_error_has_exactly_the_error_envelope(
    http: httpx.AsyncClient, customer: Customer, path: str, members: set[str]
):
    response = await http.get(path, headers=customer.auth)

    body = response.json()
    assert set(body) == {"status", "request_id", "error"}
    assert body["status"] == "error"
    assert re.fullmatch(r"req_[0-9a-f]{32}", body["request_id"])
    error = body["error"]
    assert set(error) == members
    assert re.fullmatch(r"BSE\d{4}", error["code"])
    assert re.fullmatch(r"[a-z_]+", error["type"])
    assert isinstance(error["retryable"], bool)
    assert isinstance(error.get("details", {}), dict)


async def test_5_2_an_invalid_field_is_named(http: httpx.AsyncClient, customer: Customer):
    response = await http.post(SCHNELL, headers=customer.auth, json={"generation_prompt": PROMPT, "unheard": 1})

    assert response.json()["error"]["details"]["field"] == "unheard"


async def test_2_5_the_message_never_repeats_the_prompt(http: httpx.AsyncClient, customer: Customer):
    secret = "a prompt that nobody else may read"

    response = await http.post(
        SCHNELL, headers=customer.auth, json={"generation_prompt": secret, "generation_ratio": 1}
    )

    assert response.status_code in {400, 422}
    assert secret not in response.text
