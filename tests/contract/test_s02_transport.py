"""Section 2: what HTTP may be spoken with us. tests/api/test_edge.py has the size limits and the plain preflight."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.conftest import SCHNELL, Customer, a_running
from tests.api.reading import error_of
from tests.support.staged_worker import StagedProvider

CORS_HEADERS = ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers")
EXPOSED = {
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
    "Idempotency-Replayed",
    "X-Request-Id",
}
ALLOWED = {
    "Authorization",
    "Content-Type",
    "Accept",
    "Idempotency-Key",
    "X-BabySea-SDK-Name",
    "X-BabySea-SDK-Version",
    "X-BabySea-SDK-Runtime",
    "X-BabySea-SDK-Runtime-Version",
}


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v1/nothing", "/v2/status", "/v1/status/", "/v1/generate/image", "/v1/account", "//v1/status"],
)
async def test_2_2_an_unknown_path_has_the_error_envelope(http: httpx.AsyncClient, customer: Customer, path: str):
    response = await http.get(f"http://testserver{path}", headers=customer.auth)

    assert error_of(response) == (404, "BSE3004")
    assert response.json()["error"]["retryable"] is False


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v1/status", "GET"),
        ("PATCH", "/v1/content/list", "GET"),
        ("PUT", "/v1/content/2d6b8f0e-94a1-4f0c-8a57-0c3e6b1d9f22", "GET"),
        ("GET", "/v1/content/generation/cancel/2d6b8f0e-94a1-4f0c-8a57-0c3e6b1d9f22", "POST"),
        ("GET", SCHNELL, "POST"),
        ("DELETE", SCHNELL, "POST"),
        ("HEAD", "/v1/status", "GET"),
        ("TRACE", "/v1/status", "GET"),
    ],
)
async def test_2_2_another_method_is_refused_with_the_ones_that_work(
    http: httpx.AsyncClient, method: str, path: str, allow: str
):
    response = await http.request(method, path)

    assert response.status_code == 405
    assert allow in response.headers["Allow"]
    assert re.fullmatch(r"req_[0-9a-f]{32}", response.headers["X-Request-Id"])
    if method != "HEAD":  # which has no body
        assert error_of(response) == (405, "BSE3005")


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
async def test_3_6_a_method_override_is_ignored(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, header: str
):
    generation_id = await a_running(http, customer, replicate)

    response = await http.get(f"/v1/content/{generation_id}", headers=customer.auth | {header: "DELETE"})

    assert response.json()["data"]["generation_status"] in {"pending", "processing"}


async def test_2_2_a_body_over_the_limit_is_refused_on_every_post(http: httpx.AsyncClient, customer: Customer):
    response = await http.post(
        "/v1/content/generation/cancel/2d6b8f0e-94a1-4f0c-8a57-0c3e6b1d9f22",
        headers=customer.auth | {"Content-Type": "application/json"},
        content=b" " * (100 * 1024 + 1),
    )

    assert error_of(response) == (413, "BSE2010")


async def test_2_2_other_posts_need_no_media_type(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_running(http, customer, replicate)

    response = await http.post(
        f"/v1/content/generation/cancel/{generation_id}",
        headers=customer.auth | {"Content-Type": "text/plain"},
        content=b"whatever",
    )

    assert response.status_code == 200


async def test_2_2_unknown_query_parameters_are_ignored(http: httpx.AsyncClient, customer: Customer):
    response = await http.get("/v1/status?account_id=another&limit=x", headers=customer.auth)

    assert response.status_code == 200


async def test_2_3_a_preflight_names_exactly_what_is_allowed(http: httpx.AsyncClient):
    response = await http.options("/v1/content/list", headers={"Origin": "https://app.example"})

    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert set(response.headers["Access-Control-Allow-Methods"].split(", ")) == {"GET", "POST", "DELETE", "OPTIONS"}
    assert set(response.headers["Access-Control-Allow-Headers"].split(", ")) == ALLOWED
    assert set(response.headers["Access-Control-Expose-Headers"].split(", ")) >= EXPOSED
    assert response.headers["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/status", 200),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/status", 405),
        ("POST", SCHNELL, 415),
        ("GET", "/v1/content/list?limit=x", 400),
    ],
)
async def test_2_3_every_answer_of_v1_can_be_read_by_a_browser(
    http: httpx.AsyncClient, customer: Customer, method: str, path: str, status: int
):
    response = await http.request(method, path, headers=customer.auth)

    assert response.status_code == status
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert set(response.headers["Access-Control-Expose-Headers"].split(", ")) >= EXPOSED


async def test_2_3_a_refused_body_can_be_read_by_a_browser(http: httpx.AsyncClient, customer: Customer):
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 10 * 1024

    response = await http.post(SCHNELL, headers=customer.auth | {"Content-Type": "application/json"}, content=chunks())

    assert error_of(response) == (413, "BSE2010")
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/livez", "/admin/v1/accounts", "/docs", "/openapi.json"])
async def test_2_3_only_v1_is_for_other_origins(http: httpx.AsyncClient, path: str):
    response = await http.get(path, headers={"Origin": "https://app.example"})

    assert not [name for name in CORS_HEADERS if name in response.headers]


async def test_2_5_every_request_has_an_id_of_its_own(http: httpx.AsyncClient, customer: Customer):
    ids = {(await http.get("/v1/status", headers=customer.auth)).headers["X-Request-Id"] for _ in range(5)}

    assert len(ids) == 5


@pytest.mark.parametrize("path", ["/v1/status", "/v1/content/list?limit=x", "/v1/estimate/no/model", "/v1/usage"])
async def test_2_5_every_authenticated_answer_carries_the_rate_limit(
    http: httpx.AsyncClient, customer: Customer, path: str
):
    response = await http.get(path, headers=customer.auth)

    assert int(response.headers["X-RateLimit-Limit"]) == 1200
    assert 0 <= int(response.headers["X-RateLimit-Remaining"]) < 1200
    assert int(response.headers["X-RateLimit-Reset"]) > 1_700_000_000


async def test_2_5_the_headers_of_the_ietf_draft_say_the_same(http: httpx.AsyncClient, customer: Customer):
    headers = (await http.get("/v1/status", headers=customer.auth)).headers

    policy = re.fullmatch(r'"\w+";q=(\d+);w=(\d+)', headers["RateLimit-Policy"])
    left = re.fullmatch(r'"\w+";r=(\d+);t=(\d+)', headers["RateLimit"])
    assert policy is not None
    assert left is not None
    assert (policy[1], policy[2]) == (headers["X-RateLimit-Limit"], "60")
    assert left[1] == headers["X-RateLimit-Remaining"]


async def test_2_4_telemetry_is_neither_required_nor_believed(http: httpx.AsyncClient, customer: Customer):
    nonsense = {"X-BabySea-SDK-Name": "\x7f" * 200, "X-BabySea-SDK-Version": "", "User-Agent": ""}

    response = await http.get("/v1/status", headers=customer.auth | nonsense)

    assert response.status_code == 200
