"""Sections 1, 2 and 5: what every request and every answer has in common."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime

import httpx
import pytest
from fastapi import FastAPI

from tests.api.conftest import SCHNELL, Customer, reaching
from tests.api.reading import error_of

REQUEST_ID = re.compile(r"req_[0-9a-f]{32}\Z")


async def test_section_5_a_success_has_the_envelope(http: httpx.AsyncClient, customer: Customer):
    response = await http.get("/v1/status", headers=customer.auth)

    body = response.json()
    assert set(body) == {"status", "request_id", "message", "timestamp", "data"}
    assert body["status"] == "success"
    assert REQUEST_ID.match(body["request_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["timestamp"])
    datetime.fromisoformat(body["timestamp"])


async def test_section_5_an_error_has_the_envelope(http: httpx.AsyncClient):
    response = await http.get("/v1/status")

    body = response.json()
    assert set(body) == {"status", "request_id", "error"}
    assert body["status"] == "error"
    assert set(body["error"]) == {"code", "type", "message", "retryable"}


@pytest.mark.parametrize("path", ["/v1/status", "/v1/nothing", "/livez", "/docs", "/nothing"])
async def test_section_2_5_every_answer_names_its_request(http: httpx.AsyncClient, path: str):
    response = await http.get(path)

    assert REQUEST_ID.match(response.headers["X-Request-Id"])


async def test_section_2_5_the_header_is_the_request_id_of_the_body(http: httpx.AsyncClient, customer: Customer):
    response = await http.get("/v1/status", headers=customer.auth | {"X-Request-Id": "req_mine"})

    assert response.headers["X-Request-Id"] == response.json()["request_id"] != "req_mine"


async def test_section_2_5_authenticated_answers_carry_the_rate_limit(http: httpx.AsyncClient, customer: Customer):
    response = await http.get("/v1/status", headers=customer.auth)

    assert response.headers["X-RateLimit-Limit"] == "1200"
    assert 0 <= int(response.headers["X-RateLimit-Remaining"]) < 1200
    assert int(response.headers["X-RateLimit-Reset"]) > 1_700_000_000


async def test_section_2_2_an_unknown_path_is_a_404_with_the_envelope(http: httpx.AsyncClient):
    response = await http.get("/v1/nothing")

    assert error_of(response) == (404, "BSE3004")


async def test_section_2_2_a_known_path_with_another_method_is_a_405(http: httpx.AsyncClient):
    response = await http.put("/v1/status")

    assert error_of(response) == (405, "BSE3005")
    assert "GET" in response.headers["Allow"]


async def test_a_405_allows_every_method_of_the_path(http: httpx.AsyncClient):
    response = await http.patch("/v1/content/0d9c4f3e-6b1a-4c57-9e20-5a8f7d1c2b34")

    assert response.headers["Allow"] == "DELETE, GET"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_section_2_2_a_generate_body_that_is_not_json_is_a_415(
    http: httpx.AsyncClient, customer: Customer, content_type: str | None
):
    headers = {"Content-Type": content_type} if content_type else {}

    response = await http.post(SCHNELL, headers=customer.auth | headers, content=b"{}")

    assert error_of(response) == (415, "BSE2017")


async def test_section_2_2_the_media_type_may_have_a_charset(http: httpx.AsyncClient, customer: Customer):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}

    response = await http.post(SCHNELL, headers=customer.auth | headers, content=b"{}")

    assert error_of(response) == (400, "BSE2001")


async def test_section_2_2_a_body_over_100_kb_is_a_413(http: httpx.AsyncClient, customer: Customer):
    headers = customer.auth | {"Content-Type": "application/json"}

    response = await http.post(SCHNELL, headers=headers, content=b" " * (100 * 1024 + 1))

    assert error_of(response) == (413, "BSE2010")


async def test_section_2_2_a_chunked_body_over_100_kb_is_a_413(http: httpx.AsyncClient, customer: Customer):
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 10 * 1024

    headers = customer.auth | {"Content-Type": "application/json"}

    response = await http.post(SCHNELL, headers=headers, content=chunks())

    assert "Content-Length" not in response.request.headers
    assert error_of(response) == (413, "BSE2010")


async def test_section_2_2_a_body_of_exactly_100_kb_is_read(http: httpx.AsyncClient, customer: Customer):
    headers = customer.auth | {"Content-Type": "application/json"}

    response = await http.post(SCHNELL, headers=headers, content=b" " * (100 * 1024))

    assert error_of(response) == (400, "BSE2001")


@pytest.mark.parametrize("path", ["/v1/status", SCHNELL, "/v1/content/list", "/v1/unknown/route"])
async def test_section_2_3_a_preflight_is_answered_for_every_v1_path(http: httpx.AsyncClient, path: str):
    response = await http.options(
        path, headers={"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    )

    assert response.status_code == 204
    assert response.content == b""
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Access-Control-Allow-Methods"] == "GET, POST, DELETE, OPTIONS"
    assert "Idempotency-Key" in response.headers["Access-Control-Allow-Headers"]
    assert "X-BabySea-SDK-Runtime-Version" in response.headers["Access-Control-Allow-Headers"]
    assert response.headers["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("authorized", [True, False], ids=["a success", "an error"])
async def test_section_2_3_answers_can_be_read_by_a_browser(
    http: httpx.AsyncClient, customer: Customer, authorized: bool
):
    response = await http.get("/v1/status", headers=customer.auth if authorized else {})

    assert response.headers["Access-Control-Allow-Origin"] == "*"
    exposed = response.headers["Access-Control-Expose-Headers"]
    assert {"Retry-After", "Idempotency-Replayed", "X-Request-Id", "X-RateLimit-Limit"} <= set(exposed.split(", "))


async def test_section_6_an_unexpected_failure_is_an_internal_error_that_tells_nothing(
    settings_app: FastAPI, caplog: pytest.LogCaptureFixture
):
    async def broken() -> None:
        raise RuntimeError("the secret is 42")

    settings_app.add_api_route("/v1/broken", broken)
    async with reaching(settings_app, "127.0.0.1") as client:
        response = await client.get("/v1/broken")

    assert error_of(response) == (500, "BSE5001")
    assert response.json()["error"]["retryable"] is True
    assert response.headers["X-RateLimit-Limit"]  # checklist 6: on every retryable error
    assert "the secret" not in response.text
    assert "the secret is 42" in caplog.text


async def test_section_1_1_the_api_works_under_a_path_prefix(settings_app: FastAPI):
    transport = httpx.ASGITransport(settings_app, root_path="/babysea")
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/babysea") as client:
        response = await client.get("/livez")

    assert response.json() == {"status": "alive"}


async def test_answers_are_not_kept_by_caches_and_not_sniffed(http: httpx.AsyncClient, customer: Customer):
    response = await http.get("/v1/status", headers=customer.auth)

    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
