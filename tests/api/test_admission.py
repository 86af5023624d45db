"""Checklist 7: an error that may be repeated leaves nothing running and nothing held, whatever is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.failures import named_failures
from activities.records import RecordActivities
from adapters.local_store import LocalStore
from api.schemas import Generation, GenerationAccepted
from domain.errors import (
    AccountFrozen,
    AdmissionUnknown,
    ControlPlaneError,
    InsufficientCredits,
    InternalError,
)
from domain.generation import Admission, GenerationRequest, attempt_id, workflow_id
from settings import Settings
from store import generations, ledger
from store.connection import Pool, single
from tests.api.conftest import Customer, NewCustomer, generate, serving
from tests.api.reading import data_of, error_of
from tests.support.temporal import dev_server
from workflows import names
from workflows.generation import GenerationWorkflow

NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="module")
async def unattended() -> AsyncIterator[Client]:
    """A Temporal server without any worker."""
    async with dev_server() as environment:
        yield environment.client


@pytest.fixture
def patient(settings: Settings, unattended: Client) -> Settings:
    """Settings of an API whose generations nobody works on, and which waits half a second for them."""
    return settings.model_copy(
        update={"temporal_address": unattended.service_client.config.target_host, "admission_timeout_s": 0.5}
    )


@asynccontextmanager
async def admitting(client: Client, admit: object) -> AsyncIterator[None]:
    """A worker that does the first step of a generation only."""
    async with Worker(
        client,
        task_queue=names.GENERATIONS_QUEUE,
        workflows=[GenerationWorkflow],
        activities=[admit],  # type: ignore[list-item]
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield


async def held(pool: Pool, customer: Customer) -> int:
    async with single(pool) as conn:
        return (await ledger.balance(conn, customer.account_id)).held


async def only_generation(http: httpx.AsyncClient, customer: Customer) -> dict[str, object]:
    (listed,) = (await http.get("/v1/content/list", headers=customer.auth)).json()["data"]["generations"]
    assert isinstance(listed, dict)
    return listed


async def test_without_temporal_the_request_fails_and_holds_nothing(
    settings: Settings, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()

    async with serving(settings.model_copy(update={"temporal_address": NOWHERE})) as http:
        response = await generate(http, customer)

        assert error_of(response) == (503, "BSE5004")
        assert response.json()["error"]["retryable"] is True
        assert response.headers["Retry-After"] == "2"
        assert response.headers["X-RateLimit-Limit"]
        assert (await only_generation(http, customer))["generation_error_code"] == "BSE5004"
    assert await held(pool, customer) == 0


async def test_without_a_worker_the_wait_ends_and_the_generation_is_abandoned(
    patient: Settings, new_customer: NewCustomer, pool: Pool
):
    customer = await new_customer()

    async with serving(patient) as http:
        response = await generate(http, customer)

        assert error_of(response) == (503, "BSE5004")
        assert (await only_generation(http, customer))["generation_status"] == "failed"
    assert await held(pool, customer) == 0


async def test_a_worker_that_comes_too_late_admits_nothing_and_ends_the_workflow(
    patient: Settings, unattended: Client, new_customer: NewCustomer, pool: Pool, objects: LocalStore
):
    customer = await new_customer()
    async with serving(patient) as http:
        assert error_of(await generate(http, customer)) == (503, "BSE5004")
        generation_id = str((await only_generation(http, customer))["generation_id"])
    records = RecordActivities(pool=pool, assets=objects, file_url_ttl=timedelta(hours=1))

    async with admitting(unattended, records.admit_generation), asyncio.timeout(15):
        await unattended.get_workflow_handle(workflow_id(generation_id)).result()

    assert await held(pool, customer) == 0


async def test_an_abandoned_request_frees_its_idempotency_key(
    patient: Settings, http: httpx.AsyncClient, new_customer: NewCustomer
):
    customer, key = await new_customer(), {"Idempotency-Key": "abandoned"}
    async with serving(patient) as unattended_http:
        refused = await generate(unattended_http, customer, headers=key)

    again = await generate(http, customer, headers=key)

    assert error_of(refused) == (503, "BSE5004")
    assert again.status_code == 200
    assert "Idempotency-Replayed" not in again.headers


async def test_a_generation_that_was_admitted_while_its_answer_was_lost_is_answered_normally(
    patient: Settings, unattended: Client, new_customer: NewCustomer, pool: Pool
):
    customer, answered = await new_customer(), asyncio.Event()

    @activity.defn(name="admit_generation")
    async def admits_and_hangs(request: GenerationRequest) -> Admission:
        with named_failures():
            async with single(pool) as conn:
                admission = await generations.admit(conn, request)
        await answered.wait()
        return admission

    slow = patient.model_copy(update={"admission_timeout_s": 3})
    async with admitting(unattended, admits_and_hangs), serving(slow) as http:
        try:
            data = data_of(await generate(http, customer), GenerationAccepted)
            read = await http.get(f"/v1/content/{data['generation_id']}", headers=customer.auth)
        finally:
            answered.set()

    assert data["generation_prediction_id"] == attempt_id(data["generation_id"], 1)
    assert data["generation_provider_order"] == ["replicate"]
    assert data_of(read, Generation)["generation_status"] == "pending"
    assert await held(pool, customer) > 0
    await unattended.get_workflow_handle(workflow_id(data["generation_id"])).terminate()


async def test_without_postgresql_nothing_is_started(settings: Settings, customer: Customer, engine: Client):
    before = (await engine.count_workflows()).count
    down = settings.model_copy(update={"database_url": SecretStr(f"postgresql://nobody@{NOWHERE}/none")})

    async with serving(down) as http:
        response = await generate(http, customer)

    assert error_of(response) == (503, "BSE5003")
    assert response.json()["error"]["retryable"] is True
    assert response.headers["X-RateLimit-Limit"]
    assert (await engine.count_workflows()).count == before


async def test_when_nobody_can_say_whether_it_was_admitted_the_answer_must_not_be_repeated(
    patient: Settings, new_customer: NewCustomer
):
    customer = await new_customer()

    async with serving(patient) as http:
        assert (await http.get("/v1/status", headers=customer.auth)).status_code == 200  # the key is remembered
        await _close_pool(http)
        response = await generate(http, customer)

    assert error_of(response) == (503, "BSE5004")
    assert response.json()["error"]["retryable"] is False
    assert response.json()["error"]["details"]["generation_id"]


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        pytest.param(InsufficientCredits("too little"), 402, "BSE1004", id="credits"),
        pytest.param(AccountFrozen("frozen"), 403, "BSE1003", id="a frozen account"),
        pytest.param(InternalError("a bug"), 500, "BSE5001", id="a bug of ours"),
    ],
)
async def test_a_refusal_of_the_workflow_is_the_answer(
    patient: Settings, unattended: Client, new_customer: NewCustomer, refusal: ControlPlaneError, status: int, code: str
):
    customer = await new_customer()

    @activity.defn(name="admit_generation")
    async def refuses(request: GenerationRequest) -> Admission:
        raise ApplicationError(refusal.message, {"seen": 1}, type=refusal.type, non_retryable=True)

    calm = patient.model_copy(update={"admission_timeout_s": 10})
    async with admitting(unattended, refuses), serving(calm) as http:
        response = await generate(http, customer)

    assert error_of(response) == (status, code)
    assert response.json()["error"]["message"] == refusal.message


def test_admission_unknown_is_the_exception_to_its_row():
    assert AdmissionUnknown.retryable is False


async def _close_pool(http: httpx.AsyncClient) -> None:
    transport = http._transport
    assert isinstance(transport, httpx.ASGITransport)
    app = transport.app
    await app.state.services.pool.close()  # type: ignore[attr-defined]
