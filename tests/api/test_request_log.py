"""Section 14: what is logged of which request, and that it is written once and in the end."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import SecretStr

import composition
from api.app import create_app
from api.dependencies import AccountReader
from api.openapi import document
from api.request_entry import PARAMETERS, address_hash, sanitised
from api.request_log import RequestLog
from domain import keys as key_rules
from embedded.postgres import EmbeddedPostgres
from settings import Settings
from store import keys, requests
from store.connection import Pool, open_pool, single, transaction
from store.keys import KeyOwner
from store.migrate import migrate
from store.requests import RequestRecord
from tests.api.conftest import Customer, NewCustomer, customers_on, generate, reaching, serving
from tests.api.reading import error_of

SDK = {
    "User-Agent": "babysea-node/1.4.6 (node/20.11.1)",
    "X-BabySea-SDK-Name": "babysea-node",
    "X-BabySea-SDK-Version": "1.4.6",
    "X-BabySea-SDK-Runtime": "node",
    "X-BabySea-SDK-Runtime-Version": "20.11.1",
}


async def logged(app: FastAPI, pool: Pool, account_id: str) -> list[RequestRecord]:
    """Oldest first."""
    await app.state.services.request_log.flush()
    async with single(pool) as conn:
        return (await requests.page(conn, account_id, limit=500))[::-1]


async def counted(pool: Pool, account_id: str) -> dict[int, int]:
    async with single(pool) as conn:
        cursor = await conn.execute(
            "SELECT status, sum(requests)::bigint FROM store.request_stats WHERE account_id = %s GROUP BY status",
            [account_id],
        )
        return dict(await cursor.fetchall())


async def test_a_request_is_logged_with_its_key_route_answer_and_client(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()

    response = await http.get("/v1/content/no-such-id?limit=7&secret=x", headers=customer.auth | SDK)

    (row,) = await logged(app, pool, customer.account_id)
    assert row.request_id == response.json()["request_id"]
    assert (row.api_key_id, row.key_name, row.key_prefix) == (customer.api_key_id, "test key", customer.key[:9])
    assert (row.method, row.path) == ("GET", "/v1/content/no-such-id")
    assert (row.endpoint, row.query) == ("/v1/content/{generation_id}", "limit=7")
    assert (row.status, row.code, row.replayed, row.key_state) == (404, "BSE3001", False, "active")
    assert row.user_agent == SDK["User-Agent"]
    assert (row.sdk_name, row.sdk_version) == ("babysea-node", "1.4.6")
    assert (row.sdk_runtime, row.sdk_runtime_version) == ("node", "20.11.1")
    assert row.duration_ms >= 0


async def test_a_model_with_a_slash_is_logged_under_the_template_of_its_route(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()

    await http.get("/v1/estimate/bfl/flux-schnell?count=2", headers=customer.auth)

    (row,) = await logged(app, pool, customer.account_id)
    assert (row.endpoint, row.status, row.code) == ("/v1/estimate/{model_identifier}", 200, None)


async def test_the_address_of_the_client_is_kept_as_a_hash_of_its_account_only(
    app: FastAPI, new_customer: NewCustomer, pool: Pool, settings: Settings
):
    one, other = await new_customer(), await new_customer()

    async with reaching(app, "203.0.113.9") as client:
        for customer in (one, one, other):
            await client.get("/v1/status", headers=customer.auth)

    hashes = [row.client_ip_hash for who in (one, other) for row in await logged(app, pool, who.account_id)]
    key = composition.keys(settings).client_addresses
    assert hashes[0] == hashes[1] == address_hash(key, one.account_id, "203.0.113.9") != hashes[2]
    assert hashes[0] != hashlib.sha256(b"203.0.113.9").hexdigest(), "four billion addresses are soon tried"
    assert re.fullmatch("[0-9a-f]{64}", hashes[0] or "")


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (b"", None),
        (b"days=7", "days=7"),
        (b"limit=5&offset=10", "limit=5&offset=10"),
        (b"duration=8.5&resolution=1080p&audio=true", "duration=8.5&resolution=1080p&audio=true"),
        (b"api_key=bye_abcdefghijklmnop", None),
        (b"days=bye_abcdefghijklmnop", "days=?"),
        (b"days=%00&count=a%0Ab", "days=?&count=?"),
        (b"days", "days="),
        (b"days=" + b"9" * 500, "days=?"),
        (b"count=1&" * 30, None),
        (b"\xff\xfe=%zz&days=1", "days=1"),
    ],
)
def test_the_query_is_logged_by_known_names_with_short_plain_values(query: bytes, kept: str | None):
    assert sanitised(query) == kept


def test_the_names_that_are_logged_are_those_of_the_reference(app: FastAPI):
    named = {
        parameter["name"]
        for path, operations in document(app)["paths"].items()
        for operation in operations.values()
        for parameter in operation.get("parameters", [])
        if path.startswith("/v1/") and parameter["in"] == "query"
    }

    assert named == PARAMETERS


async def test_text_of_the_caller_is_bounded_and_printable(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()

    await http.get(f"/v1/content/%00%0A{'x' * 900}", headers=customer.auth | {"User-Agent": "u" * 900})

    (row,) = await logged(app, pool, customer.account_id)
    assert (row.path[:15], len(row.path)) == ("/v1/content/??x", 512)
    assert row.user_agent is not None
    assert len(row.user_agent) == 256


async def test_a_key_that_strayed_into_path_or_header_is_not_kept(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()
    secret = customer.key.partition("_")[2]

    for stray in (customer.key, customer.key.replace("_", "%5F", 1), f"x{customer.key}"):
        await http.get(f"/v1/content/{stray}", headers=customer.auth | {"User-Agent": f"curl {customer.key}"})

    rows = await logged(app, pool, customer.account_id)
    assert len(rows) == 3
    assert [row for row in rows if secret in row.path or secret in (row.user_agent or "")] == []
    assert (rows[0].path, rows[0].user_agent) == ("/v1/content/bye_?", "curl bye_?")


async def test_a_replay_is_logged_as_one(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool, worker: None
):
    customer = await new_customer()

    for _ in range(2):
        await generate(http, customer, headers={"Idempotency-Key": "once"})

    first, second = await logged(app, pool, customer.account_id)
    assert (first.replayed, second.replayed) == (False, True)
    assert first.request_id == second.request_id
    assert second.endpoint == "/v1/generate/image/{model_identifier}"


async def test_a_key_that_has_a_successor_is_logged_as_rotated(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()
    minted = key_rules.mint(b"pepper", os.urandom(32))
    successor = keys.Successor("5f0c8d11-7b3e-4f56-9c0a-1de2a46b8870", minted.prefix, minted.key_hash)
    async with transaction(pool) as conn:
        await keys.rotate(conn, customer.api_key_id, successor)

    assert (await http.get("/v1/status", headers=customer.auth)).status_code == 200

    (row,) = await logged(app, pool, customer.account_id)
    assert row.key_state == "rotated"


async def test_refusals_of_a_known_key_are_logged(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer(scopes=("library:read",), plan="free")
    walled = await new_customer(account_id=customer.account_id, ip_allowlist=("203.0.113.9",))

    await http.get("/v1/status", headers=customer.auth)
    await http.get("/v1/status", headers=walled.auth)
    while (await http.get("/v1/library/providers", headers=customer.auth)).status_code == 200:
        pass

    rows = await logged(app, pool, customer.account_id)
    assert [(row.status, row.code) for row in (*rows[:2], rows[-1])] == [
        (403, "BSE1003"),
        (403, "BSE1007"),
        (429, "BSE1005"),
    ]
    assert len(rows) == 63, "two refusals, sixty answers, and the one over the limit"


async def test_requests_without_a_valid_key_are_not_logged(
    app: FastAPI, http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool
):
    foreign = await new_customer(region="eu")
    async with single(pool) as conn:
        before = await (await conn.execute("SELECT sum(requests) FROM store.request_stats")).fetchone()

    for headers in ({}, foreign.auth, {"Authorization": "Bearer bye_" + "a" * 43}):
        assert (await http.get("/v1/status", headers=headers)).status_code == 401
    await http.get("/v1/nothing", headers=foreign.auth)
    await http.post("/v1/callbacks/replicate/x", headers=foreign.auth)
    await http.get("/livez", headers=foreign.auth)

    assert await logged(app, pool, foreign.account_id) == []
    async with single(pool) as conn:
        after = await (await conn.execute("SELECT sum(requests) FROM store.request_stats")).fetchone()
    assert after == before


async def test_an_unexpected_failure_is_logged(settings_app: FastAPI, new_customer: NewCustomer, pool: Pool):
    customer = await new_customer()

    async def broken(_: AccountReader) -> None:
        raise ZeroDivisionError

    settings_app.add_api_route("/v1/broken", broken)
    async with reaching(settings_app, "127.0.0.1") as http:
        assert error_of(await http.get("/v1/broken", headers=customer.auth)) == (500, "BSE5001")

    (row,) = await logged(settings_app, pool, customer.account_id)
    assert (row.endpoint, row.status, row.code) == ("/v1/broken", 500, "BSE5001")


async def test_a_client_that_has_gone_is_logged_as_such(settings_app: FastAPI, new_customer: NewCustomer, pool: Pool):
    customer = await new_customer()

    async def reading(_: AccountReader, request: Request) -> None:
        await request.body()

    settings_app.add_api_route("/v1/reading", reading, methods=["POST"])
    await settings_app(a_scope("POST", "/v1/reading", customer), gone, never)

    (row,) = await logged(settings_app, pool, customer.account_id)
    assert (row.method, row.status, row.code) == ("POST", 499, None)


async def test_what_is_noted_is_written_soon_without_anybody_asking(
    settings: Settings, new_customer: NewCustomer, pool: Pool, worker: None
):
    customer = await new_customer()

    async with serving(settings) as http, asyncio.timeout(30):
        await http.get("/v1/status", headers=customer.auth)
        while True:
            if await counted(pool, customer.account_id):
                break
            await asyncio.sleep(0.05)


async def test_what_is_noted_is_written_before_the_process_ends(
    settings: Settings, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()

    async with serving(settings) as http:
        for _ in range(3):
            await http.get("/v1/status", headers=customer.auth)

    assert await counted(pool, customer.account_id) == {200: 3}


async def test_two_processes_count_together(settings: Settings, new_customer: NewCustomer, pool: Pool):
    customer = await new_customer()

    async with serving(settings) as one, serving(settings) as other:
        await asyncio.gather(*(who.get("/v1/status", headers=customer.auth) for who in (one, other) * 20))

    assert await counted(pool, customer.account_id) == {200: 40}


async def test_the_oldest_are_dropped_when_the_database_is_away_for_long(
    new_customer: NewCustomer, pool: Pool, caplog: pytest.LogCaptureFixture
):
    customer = await new_customer()
    log = RequestLog(pool, address_key=b"key", noted_max=3)
    caller = await the_owner(pool, customer)

    for status in (501, 502, 503, 504, 505):
        note(log, caller, status)
    await log.close()

    assert await counted(pool, customer.account_id) == {503: 1, 504: 1, 505: 1}
    assert "request_log_dropped entries=2" in caplog.text


async def test_entries_that_the_database_refuses_do_not_hold_up_the_others(
    new_customer: NewCustomer, pool: Pool, caplog: pytest.LogCaptureFixture
):
    customer = await new_customer()
    log = RequestLog(pool, address_key=b"key")
    caller = await the_owner(pool, customer)

    note(log, caller, 70_000)
    assert await log.flush()
    note(log, caller, 200)
    await log.close()

    assert await counted(pool, customer.account_id) == {200: 1}
    assert "request_log_lost entries=1" in caplog.text


async def test_a_process_that_ends_without_a_database_says_what_is_lost(
    new_customer: NewCustomer, pool: Pool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caller = await the_owner(pool, await new_customer())
    nowhere = await open_pool(
        f"postgresql://nobody@/nowhere?host={tmp_path}", size_max=1, wait=False, patience=timedelta(seconds=0.2)
    )
    log = RequestLog(nowhere, address_key=b"key")

    note(log, caller, 200)
    await log.close()
    await nowhere.close()

    assert "request_log_waits entries=1" in caplog.text
    assert "request_log_lost entries=1" in caplog.text


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="bs-") as root:
        server = EmbeddedPostgres(Path(root) / "pg")
        yield server
        server.stop()


async def test_a_killed_database_loses_no_request_and_counts_none_twice(server: EmbeddedPostgres, settings: Settings):
    url = server.start()
    migrate(url)
    app = create_app(settings.model_copy(update={"database_url": SecretStr(url)}))
    seen: Counter[int] = Counter()
    answered: Counter[int] = Counter()
    async with app.router.lifespan_context(app), reaching(app, "127.0.0.1") as http, asyncio.timeout(90):
        pool: Pool = app.state.services.pool
        pool.timeout = 0.5
        customer = await customers_on(settings, pool)(plan="enterprise")
        stop = asyncio.Event()
        streams = [asyncio.create_task(asking(http, customer, seen, answered, stop)) for _ in range(4)]
        for _ in range(2):
            await more(seen, 200, 40)
            kill(server)
            await more(seen, 503, 4)
            server.start()
        await more(seen, 200, 20)
        stop.set()
        await asyncio.gather(*streams)
        while not await app.state.services.request_log.flush():
            pass

        assert await counted(pool, customer.account_id) == dict(answered)


async def asking(
    http: httpx.AsyncClient, customer: Customer, seen: Counter[int], answered: Counter[int], stop: asyncio.Event
) -> None:
    """Ask for what is in the database. Those that count are the answers to the known key: 1200 is its limit."""
    while not stop.is_set():
        response = await http.get("/v1/user/billing", headers=customer.auth)
        seen[response.status_code] += 1
        if response.headers["X-RateLimit-Limit"] == "1200":
            answered[response.status_code] += 1
        await asyncio.sleep(0.01)


async def more(seen: Counter[int], status: int, count: int) -> None:
    enough = seen[status] + count
    while True:
        if seen[status] >= enough:
            return
        await asyncio.sleep(0.01)


def kill(server: EmbeddedPostgres) -> None:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


async def the_owner(pool: Pool, customer: Customer) -> KeyOwner:
    async with single(pool) as conn:
        return await keys.get(conn, customer.api_key_id)


def note(log: RequestLog, caller: KeyOwner, status: int) -> None:
    scope: dict[str, Any] = {
        "state": {"request_id": "req_x"},
        "method": "GET",
        "path": "/v1/status",
        "query_string": b"",
        "headers": [],
    }
    log.note(scope, caller, status=status, came_at=1_780_389_330.4, duration_s=0.003)


def a_scope(method: str, path: str, customer: Customer) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"authorization", f"Bearer {customer.key}".encode())],
        "client": ("127.0.0.1", 50_000),
        "server": ("testserver", 80),
    }


async def gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def never(message: Any) -> None:
    raise AssertionError(f"nobody is there to hear {message}")
