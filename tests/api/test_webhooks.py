"""Webhooks as the operator manages them, contract 12.4 to 12.7 and 16."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import composition
from activities.reconciliation import Execution
from activities.webhooks import WebhookActivities
from api.admin import webhook_schemas as shapes
from domain.signature import verify_webhook
from domain.webhook_events import SUBSCRIBED_BY_DEFAULT, TEST_GENERATION_ID
from settings import Settings
from store import webhook_endpoints
from store.connection import Pool, single, transaction
from tests.api.conftest import Customer, NewCustomer, reaching
from tests.api.reading import data_of, error_of, page_of, refusal_of
from tests.store.builders import an_event
from tests.support.waiting import until_async
from worker import execution_of
from workflows import names
from workflows.webhook_delivery import WebhookDeliveryWorkflow
from workflows.webhook_drain import WebhookDrainWorkflow

URL = "https://93.184.216.34/hooks"  # a number: no name is looked up


@dataclass
class Reply:
    status: int | None
    head: str = ""
    error: str | None = None


@dataclass
class Customers:
    """Those who are sent webhooks: what each address received, and what it answers, 204 unless told otherwise."""

    received: dict[str, list[tuple[bytes, dict[str, str]]]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    async def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Reply:
        self.received[url].append((body, headers))
        return Reply(self.answers[url].pop(0) if self.answers[url] else 204)


@pytest.fixture(scope="module")
async def customers(engine: Client, pool: Pool, settings: Settings) -> AsyncIterator[Customers]:
    """With a worker that sends to them."""
    sender = Customers()

    async def start_delivery(delivery_id: str) -> None:
        await composition.start_delivery(engine, delivery_id)

    steps = WebhookActivities(
        pool=pool,
        sender=sender,
        sealing_key=composition.keys(settings).webhook_secrets,
        start_delivery=start_delivery,
        timeout_s=1,
        pauses=[timedelta(milliseconds=10)] * 4,
    )
    async with Worker(
        engine,
        task_queue=names.WEBHOOKS_QUEUE,
        workflows=[WebhookDeliveryWorkflow, WebhookDrainWorkflow],
        activities=[steps.deliver_webhook, steps.take_queued],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield sender


@dataclass(frozen=True)
class Hook:
    """One endpoint, and the operator's requests about it."""

    http: httpx.AsyncClient
    auth: dict[str, str]
    account_id: str
    endpoint_id: str
    url: str
    secret: str

    @property
    def path(self) -> str:
        return f"/admin/v1/accounts/{self.account_id}/webhooks/{self.endpoint_id}"

    async def ask(self, method: str, path: str = "", body: Any = None, **query: Any) -> httpx.Response:
        return await self.http.request(method, self.path + path, headers=self.auth, json=body, params=query)

    async def read(self) -> dict[str, Any]:
        return data_of(await self.ask("GET"), shapes.EndpointShown)

    async def update(self, **changes: Any) -> dict[str, Any]:
        return data_of(await self.ask("PATCH", body=changes), shapes.EndpointShown)

    async def deliveries(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = page_of(await self.ask("GET", "/deliveries", **query), shapes.DeliveryList)[
            "deliveries"
        ]
        return found

    async def ended(self, delivery_id: str) -> dict[str, Any]:
        """The delivery once it is neither pending nor queued."""
        async with asyncio.timeout(20):
            while True:
                found = data_of(await self.ask("GET", f"/deliveries/{delivery_id}"), shapes.DeliveryShown)
                if found["state"] not in {"pending", "queued"}:
                    return found
                await asyncio.sleep(0.02)


NewHook = Callable[..., Awaitable[Hook]]


@pytest.fixture
def new_hook(http: httpx.AsyncClient, operator: dict[str, str], new_customer: NewCustomer) -> NewHook:
    async def made(*, on: Customer | None = None, **body: Any) -> Hook:
        owner = on or await new_customer()
        url = f"{URL}/{uuid.uuid4()}"
        answer = await http.post(
            f"/admin/v1/accounts/{owner.account_id}/webhooks", headers=operator, json={"url": url, **body}
        )
        data = data_of(answer, shapes.EndpointMade)
        return Hook(http, operator, owner.account_id, data["endpoint_id"], data["url"], data["secret"])

    return made


async def missed(pool: Pool, hook: Hook, count: int) -> list[str]:
    """What happened while it was disabled; it is enabled again."""
    await hook.update(enabled=False)
    async with single(pool) as conn:
        endpoint = await webhook_endpoints.get(conn, hook.account_id, hook.endpoint_id)
        assert endpoint is not None
        queued = [await an_event(conn, endpoint) for _ in range(count)]
    await hook.update(enabled=True)
    return queued


# --- the life of an endpoint --------------------------------------------------------------------------------------


async def test_an_endpoint_is_added_with_a_secret_that_is_shown_once(new_hook: NewHook) -> None:
    hook = await new_hook()

    read = await hook.read()
    listed = await hook.http.get(hook.path.rpartition("/")[0], headers=hook.auth)

    assert hook.secret.startswith("whsec_")
    assert len(hook.secret) == len("whsec_") + 32
    assert page_of(listed, shapes.EndpointList)["webhooks"] == [read]
    assert hook.secret not in listed.text
    assert (read["url"], read["events"]) == (hook.url, list(SUBSCRIBED_BY_DEFAULT))
    assert (read["enabled"], read["consecutive_failures"], read["queued"], read["deleted_at"]) == (True, 0, 0, None)


@pytest.mark.parametrize(
    ("body", "names_field"),
    [
        pytest.param({}, "url", id="no url"),
        pytest.param({"url": 5}, "url", id="not a text"),
        pytest.param({"url": "http://93.184.216.34/"}, "url", id="not https"),
        pytest.param({"url": "https://93.184.216.34:8443/"}, "url", id="another port"),
        pytest.param({"url": "https://user:pass@93.184.216.34/"}, "url", id="credentials"),
        pytest.param({"url": "https://127.0.0.1/"}, "url", id="loopback"),
        pytest.param({"url": "https://[::ffff:10.0.0.1]/"}, "url", id="a mapped private address"),
        pytest.param({"url": URL + "x" * 2048}, "url", id="too long"),
        pytest.param({"url": URL, "events": []}, "events", id="no events"),
        pytest.param({"url": URL, "events": ["generation.done"]}, "events", id="no such event"),
        pytest.param({"url": URL, "events": ["webhook.test"]}, "events", id="not to be subscribed to"),
        pytest.param({"url": URL, "events": "generation.failed"}, "events", id="not a list"),
        pytest.param({"url": URL, "secret": "whsec_mine"}, "secret", id="a secret of one's own"),
        pytest.param({"url": URL, "enabled": False}, "enabled", id="an unknown field"),
    ],
)
async def test_a_wrong_endpoint_is_refused_and_the_field_is_named(
    http: httpx.AsyncClient, operator: dict[str, str], customer: Customer, body: dict[str, Any], names_field: str
) -> None:
    answer = await http.post(f"/admin/v1/accounts/{customer.account_id}/webhooks", headers=operator, json=body)

    assert error_of(answer) == (400, "BSE2001")
    assert refusal_of(answer)["details"]["field"] == names_field


async def test_an_account_has_ten_endpoints_at_most(new_hook: NewHook, new_customer: NewCustomer) -> None:
    owner = await new_customer()
    hooks = [await new_hook(on=owner) for _ in range(10)]
    collection = hooks[0].path.rpartition("/")[0]

    refused = await hooks[0].http.post(collection, headers=hooks[0].auth, json={"url": URL})

    assert error_of(refused) == (409, "BSE3007")


async def test_what_is_sent_changes_and_nothing_else(new_hook: NewHook) -> None:
    hook = await new_hook()
    before = await hook.read()

    changed = await hook.update(events=["generation.failed", "credits.low_balance", "generation.failed"])
    moved = await hook.update(url=URL)
    off = await hook.update(enabled=False)

    assert changed == before | {"events": ["generation.failed", "credits.low_balance"]}
    assert moved == changed | {"url": URL}
    assert off == moved | {"enabled": False}
    assert error_of(await hook.ask("PATCH", body={"url": "https://10.0.0.1/"})) == (400, "BSE2001")
    assert error_of(await hook.ask("PATCH", body={"events": []})) == (400, "BSE2001")
    assert error_of(await hook.ask("PATCH", body={"account_id": str(uuid.uuid4())})) == (400, "BSE2001")
    assert await hook.read() == off


async def test_a_rotated_secret_signs_alone_from_the_next_attempt_on(new_hook: NewHook, customers: Customers) -> None:
    hook = await new_hook()

    rotated = data_of(await hook.ask("POST", "/rotate-secret"), shapes.EndpointMade)
    sent = data_of(await hook.ask("POST", "/test"), shapes.DeliveryShown)
    await hook.ended(sent["delivery_id"])

    ((body, headers),) = customers.received[hook.url]
    signature = headers["x-babysea-signature"]
    assert rotated["secret"] != hook.secret
    assert verify_webhook(rotated["secret"], signature, body, now=int(time.time()))
    assert not verify_webhook(hook.secret, signature, body, now=int(time.time()))


async def test_a_deleted_endpoint_is_gone_but_its_log_can_be_read(
    new_hook: NewHook, customers: Customers, pool: Pool
) -> None:
    hook = await new_hook()
    sent = data_of(await hook.ask("POST", "/test"), shapes.DeliveryShown)
    await hook.ended(sent["delivery_id"])
    await missed(pool, hook, 1)

    deleted = data_of(await hook.ask("DELETE"), shapes.EndpointShown)

    assert (deleted["enabled"], deleted["queued"]) == (False, 0)
    assert deleted["deleted_at"] is not None
    assert await hook.read() == deleted
    listed = await hook.http.get(hook.path.rpartition("/")[0], headers=hook.auth)
    assert page_of(listed, shapes.EndpointList)["webhooks"] == []
    assert [one["state"] for one in await hook.deliveries()] == ["expired", "delivered"]
    replay = f"/deliveries/{sent['delivery_id']}/replay"
    for method, path in [("DELETE", ""), ("PATCH", ""), *(("POST", f"/{verb}") for verb in ("test", "drain"))]:
        assert error_of(await hook.ask(method, path)) == (404, "BSE3006")
    for path in ("/rotate-secret", replay):
        assert error_of(await hook.ask("POST", path)) == (404, "BSE3006")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("DELETE", "", None), ("PATCH", "", {"events": ["generation.failed"]}), ("POST", "/rotate-secret", None)],
)
async def test_what_comes_while_an_endpoint_is_being_deleted_finds_it_gone(
    new_hook: NewHook, pool: Pool, method: str, path: str, body: Any
) -> None:
    """Neither a secret that signs nothing nor an entry of a change that was none."""
    hook = await new_hook()
    async with transaction(pool) as conn:
        await webhook_endpoints.delete(conn, hook.account_id, hook.endpoint_id)
        late = asyncio.create_task(hook.ask(method, path, body))
        await until_it_waits(pool)

    assert error_of(await late) == (404, "BSE3006")
    audit = await hook.http.get("/admin/v1/audit", headers=hook.auth, params={"account_id": hook.account_id})
    assert [row["action"] for row in audit.json()["data"]["entries"]] == ["webhook.create"]


async def until_it_waits(pool: Pool) -> None:
    """For a row that somebody else is changing."""
    async with single(pool) as conn:

        async def waiting() -> bool:
            locks = await conn.execute("SELECT 1 FROM pg_locks WHERE NOT granted LIMIT 1")
            return await locks.fetchone() is not None

        await until_async(waiting)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("POST", "/test"),
        ("POST", "/drain"),
        ("GET", "/deliveries"),
        ("GET", "/deliveries/{delivery_id}"),
        ("POST", "/deliveries/{delivery_id}/replay"),
    ],
)
async def test_another_accounts_endpoint_is_one_that_does_not_exist(
    new_hook: NewHook, customers: Customers, customer: Customer, method: str, path: str
) -> None:
    hook = await new_hook()
    sent = data_of(await hook.ask("POST", "/test"), shapes.DeliveryShown)
    here = path.format(delivery_id=sent["delivery_id"])

    for account_id, endpoint_id in [
        (customer.account_id, hook.endpoint_id),
        (hook.account_id, str(uuid.uuid4())),
        (hook.account_id, "nonsense"),
        ("nonsense", hook.endpoint_id),
    ]:
        strange = replace(hook, account_id=account_id, endpoint_id=endpoint_id)
        assert error_of(await strange.ask(method, here)) == (404, "BSE3006")
    assert error_of(await hook.http.request(method, hook.path + here)) == (401, "BSE1001")
    assert error_of(await hook.http.request(method, hook.path + here, headers=customer.auth)) == (401, "BSE1002")
    assert (await hook.read())["deleted_at"] is None


async def test_another_endpoints_delivery_is_one_that_does_not_exist(new_hook: NewHook, customers: Customers) -> None:
    hook = await new_hook()
    other = await new_hook()
    sent = data_of(await other.ask("POST", "/test"), shapes.DeliveryShown)

    for delivery_id in (sent["delivery_id"], str(uuid.uuid4()), "nonsense"):
        assert error_of(await hook.ask("GET", f"/deliveries/{delivery_id}")) == (404, "BSE3006")
        assert error_of(await hook.ask("POST", f"/deliveries/{delivery_id}/replay")) == (404, "BSE3006")


# --- sending by hand, 12.6 ----------------------------------------------------------------------------------------


async def test_a_test_is_sent_at_once_with_the_fixed_generation(new_hook: NewHook, customers: Customers) -> None:
    hook = await new_hook(events=["generation.failed"])

    sent = data_of(await hook.ask("POST", "/test"), shapes.DeliveryShown)
    ended = await hook.ended(sent["delivery_id"])

    ((body, headers),) = customers.received[hook.url]
    assert json.loads(body) == ended["payload"] == sent["payload"]
    assert ended["payload"]["webhook_data"] == {
        "account_id": hook.account_id,
        "model_identifier": "bfl/flux-schnell",
        "generation_status": "succeeded",
        "generation_id": TEST_GENERATION_ID,
    }
    assert headers["x-babysea-event"] == ended["payload"]["webhook_event"] == "webhook.test"
    assert verify_webhook(hook.secret, headers["x-babysea-signature"], body, now=int(time.time()))
    assert (ended["state"], ended["status_code"], ended["purpose"], ended["generation_id"]) == (
        "delivered",
        204,
        "test",
        None,
    )


async def test_a_failed_test_or_replay_is_one_attempt_that_does_not_count(
    new_hook: NewHook, customers: Customers
) -> None:
    hook = await new_hook()
    customers.answers[hook.url] = [500, 503]

    test = data_of(await hook.ask("POST", "/test"), shapes.DeliveryShown)
    failed = await hook.ended(test["delivery_id"])
    replay = data_of(await hook.ask("POST", f"/deliveries/{test['delivery_id']}/replay"), shapes.DeliveryShown)
    failed_again = await hook.ended(replay["delivery_id"])

    assert [(one["state"], one["status_code"], len(one["attempts"])) for one in (failed, failed_again)] == [
        ("failed", 500, 1),
        ("failed", 503, 1),
    ]
    assert (await hook.read())["consecutive_failures"] == 0


async def test_a_replay_is_the_same_event_with_an_id_a_time_and_a_signature_of_its_own(
    new_hook: NewHook, customers: Customers, pool: Pool
) -> None:
    hook = await new_hook()
    [first_id] = await missed(pool, hook, 1)
    first = data_of(await hook.ask("GET", f"/deliveries/{first_id}"), shapes.DeliveryShown)

    replay = data_of(await hook.ask("POST", f"/deliveries/{first_id}/replay"), shapes.DeliveryShown)
    await hook.ended(replay["delivery_id"])

    ((body, headers),) = customers.received[hook.url]
    sent = json.loads(body)
    assert (replay["purpose"], replay["replay_of"], replay["event"]) == ("replay", first_id, "generation.canceled")
    assert sent["webhook_delivery_id"] == headers["x-babysea-delivery-id"] == replay["delivery_id"] != first_id
    assert sent["webhook_timestamp"] == headers["x-babysea-timestamp"] > first["payload"]["webhook_timestamp"]
    assert sent["webhook_data"] == first["payload"]["webhook_data"]
    assert verify_webhook(hook.secret, headers["x-babysea-signature"], body, now=int(time.time()))


async def test_nothing_is_sent_by_hand_while_the_endpoint_is_disabled(
    new_hook: NewHook, customers: Customers, pool: Pool
) -> None:
    hook = await new_hook()
    [delivery_id] = await missed(pool, hook, 1)
    await hook.update(enabled=False)

    for path in ("/test", "/drain", f"/deliveries/{delivery_id}/replay"):
        assert error_of(await hook.ask("POST", path)) == (409, "BSE3007")
    assert customers.received[hook.url] == []


# --- the queue, 12.6 ----------------------------------------------------------------------------------------------


async def test_a_drain_sends_what_was_missed_in_its_order_and_afresh(
    new_hook: NewHook, customers: Customers, pool: Pool
) -> None:
    hook = await new_hook()
    queued = await missed(pool, hook, 3)
    assert (await hook.read())["queued"] == 3
    assert {one["delivery_id"] for one in await hook.deliveries(state="queued")} == set(queued)

    draining = data_of(await hook.ask("POST", "/drain"), shapes.Drain)
    originals = [await hook.ended(one) for one in queued]

    assert draining == {"endpoint_id": hook.endpoint_id, "queued": 3}
    assert [one["state"] for one in originals] == ["delivered"] * 3
    sent = [json.loads(body) for body, _ in customers.received[hook.url]]
    assert [one["webhook_data"] for one in sent] == [one["payload"]["webhook_data"] for one in originals]
    assert {one["webhook_delivery_id"] for one in sent}.isdisjoint(queued)
    assert (await hook.read())["queued"] == 0


async def test_a_drain_stops_at_the_first_failure_and_the_next_one_goes_on(
    new_hook: NewHook, customers: Customers, pool: Pool, engine: Client
) -> None:
    hook = await new_hook()
    queued = await missed(pool, hook, 3)
    customers.answers[hook.url] = [204, *[500] * 5]

    await hook.ask("POST", "/drain")
    stopped = await engine.get_workflow_handle_for(
        WebhookDrainWorkflow.run, names.drain_workflow_id(hook.endpoint_id)
    ).result()
    between = await hook.read()
    await hook.ask("POST", "/drain")
    for one in queued:
        await hook.ended(one)

    assert (stopped.delivered, stopped.completed) == (1, False)
    assert (between["queued"], between["consecutive_failures"]) == (2, 1)
    assert [one["event"] for one in await hook.deliveries(state="failed")] == ["generation.canceled"]
    assert len(customers.received[hook.url]) == 1 + 5 + 2
    assert (await hook.read())["consecutive_failures"] == 0


async def test_an_empty_queue_needs_no_drain(new_hook: NewHook, engine: Client) -> None:
    hook = await new_hook()

    draining = data_of(await hook.ask("POST", "/drain"), shapes.Drain)

    assert draining["queued"] == 0
    assert await execution_of(engine, names.drain_workflow_id(hook.endpoint_id)) is Execution.UNKNOWN


# --- the log ------------------------------------------------------------------------------------------------------


async def test_the_log_is_paged_and_filtered(new_hook: NewHook, customers: Customers) -> None:
    hook = await new_hook()
    customers.answers[hook.url] = [204, 500, 204]
    sent = []
    for _ in range(3):
        sent.append(data_of(await hook.ask("POST", "/test"), shapes.DeliveryShown)["delivery_id"])
        await hook.ended(sent[-1])

    first = await hook.ask("GET", "/deliveries", limit=2)
    rest = await hook.ask("GET", "/deliveries", limit=2, offset=2)
    failed = await hook.ask("GET", "/deliveries", state="failed")

    def ids(answer: httpx.Response) -> list[str]:
        return [one["delivery_id"] for one in page_of(answer, shapes.DeliveryList)["deliveries"]]

    assert (ids(first), ids(rest), ids(failed)) == ([sent[2], sent[1]], [sent[0]], [sent[1]])
    assert [answer.json()["total"] for answer in (first, rest, failed)] == [3, 3, 1]
    assert error_of(await hook.ask("GET", "/deliveries", state="lost")) == (400, "BSE2001")


# --- without the engine -------------------------------------------------------------------------------------------


async def test_without_the_engine_a_test_is_left_to_the_sweep_and_a_drain_is_refused(
    settings_app: FastAPI, new_hook: NewHook, pool: Pool
) -> None:
    async def nobody(_: str) -> None:
        raise RuntimeError("no engine")

    settings_app.state.services = replace(settings_app.state.services, start_delivery=nobody, start_drain=nobody)
    async with reaching(settings_app, "127.0.0.1") as http:
        hook = replace(await new_hook(), http=http)
        await missed(pool, hook, 1)
        test = data_of(await hook.ask("POST", "/test"), shapes.DeliveryShown)
        drain = await hook.ask("POST", "/drain")
        states = sorted(one["state"] for one in await hook.deliveries())

    assert error_of(drain) == (503, "BSE5004")
    assert (test["state"], states) == ("pending", ["pending", "queued"])
