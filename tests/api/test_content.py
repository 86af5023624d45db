"""Sections 10.7 to 10.10: reading, listing, canceling and deleting generations."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from temporalio.client import Client

from adapters.local_store import LocalStore
from api import content
from api.schemas import Generation, GenerationCanceled, GenerationDeleted, GenerationList, Page
from domain.assets import generation_folder
from domain.errors import StorageUnavailable
from domain.generation import CallbackReceived, attempt_id, workflow_id
from store import ledger, retention
from store.connection import Pool, single
from tests.api.conftest import PROMPT, Customer, NewCustomer, a_finished, a_running, generate, reaching
from tests.api.reading import data_of, error_of
from tests.support.staged_worker import A_PNG, StagedProvider
from workflows.generation import GenerationWorkflow

UNKNOWN_IDS = ["0d9c4f3e-6b1a-4c57-9e20-5a8f7d1c2b34", "not-an-id", "00000000-0000-0000-0000-000000000000"]


async def processing(http: httpx.AsyncClient, customer: Customer, generation_id: str) -> dict[str, object]:
    """Read until the acceptance is recorded."""
    async with asyncio.timeout(10):
        while True:
            response = await http.get(f"/v1/content/{generation_id}", headers=customer.auth)
            data = data_of(response, Generation)
            if data["generation_status"] != "pending":
                return data
            await asyncio.sleep(0.02)


async def test_10_7_a_running_generation_echoes_its_input_with_defaults(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_running(http, customer, replicate)

    data = await processing(http, customer, generation_id)

    assert data["account_id"] == customer.account_id
    assert data["generation_id"] == generation_id
    assert data["model_identifier"] == "bfl/flux-schnell"
    assert data["generation_provider_order"] == ["replicate"]
    assert data["generation_provider_used"] is None
    assert data["generation_status"] == "processing"
    assert data["generation_prompt"] == PROMPT
    assert data["generation_output_number"] == 1
    assert data["generation_output_format"]
    assert data["generation_input_file"] is None
    assert data["generation_output_file"] is None
    assert data["generation_started_at"] is not None
    assert data["generation_completed_at"] is None
    assert data["generation_metrics_total_time"] is None
    assert not {"generation_error", "generation_error_code", "generation_removed"} & set(data)


async def test_10_7_the_echo_of_a_models_own_fields_stands_between_input_and_output(
    http: httpx.AsyncClient, customer: Customer
):
    accepted = await generate(http, customer, generation_seed=7)
    generation_id = accepted.json()["data"]["generation_id"]

    names = list((await http.get(f"/v1/content/{generation_id}", headers=customer.auth)).json()["data"])

    status = names.index("generation_status")
    assert names[status + 1 : names.index("generation_created_at")] == [
        "generation_prompt",
        "generation_ratio",
        "generation_output_format",
        "generation_output_number",
        "generation_input_file",
        "generation_seed",
        "generation_output_file",
    ]


async def test_10_7_a_finished_generation_has_its_files_and_its_times(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_finished(http, engine, customer, replicate)

    data = data_of(await http.get(f"/v1/content/{generation_id}", headers=customer.auth), Generation)

    assert data["generation_status"] == "succeeded"
    assert data["generation_provider_used"] == "replicate"
    assert data["generation_metrics_total_time"] >= 0
    assert data["generation_metrics_predict_time"] == 0.25
    (url,) = data["generation_output_file"]
    assert (await http.get(url)).content == A_PNG
    for name in ("generation_created_at", "generation_started_at", "generation_completed_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", data[name])


@pytest.mark.parametrize("generation_id", UNKNOWN_IDS)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/content/{}"), ("DELETE", "/v1/content/{}"), ("POST", "/v1/content/generation/cancel/{}")],
    ids=["read", "delete", "cancel"],
)
async def test_10_an_id_that_does_not_exist_is_not_found(
    http: httpx.AsyncClient, customer: Customer, method: str, path: str, generation_id: str
):
    response = await http.request(method, path.format(generation_id), headers=customer.auth)

    assert error_of(response) == (404, "BSE3001")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/content/{}"), ("DELETE", "/v1/content/{}"), ("POST", "/v1/content/generation/cancel/{}")],
    ids=["read", "delete", "cancel"],
)
async def test_3_6_another_accounts_generation_does_not_exist(
    http: httpx.AsyncClient,
    customer: Customer,
    new_customer: NewCustomer,
    replicate: StagedProvider,
    method: str,
    path: str,
):
    generation_id = await a_running(http, customer, replicate)
    stranger = await new_customer()

    response = await http.request(method, path.format(generation_id), headers=stranger.auth)

    assert error_of(response) == (404, "BSE3001")
    assert response.json()["error"]["message"] == "There is no such generation."


async def test_10_8_the_list_is_newest_first_with_the_pagination_beside_the_data(
    http: httpx.AsyncClient, new_customer: NewCustomer
):
    customer = await new_customer()
    created = [(await generate(http, customer)).json()["data"]["generation_id"] for _ in range(3)]

    response = await http.get("/v1/content/list?limit=2&offset=1", headers=customer.auth)

    body = response.json()
    Page[GenerationList].model_validate(body)
    assert (body["total"], body["limit"], body["offset"]) == (3, 2, 1)
    assert not {"total", "limit", "offset"} & set(body["data"])
    assert [item["generation_id"] for item in body["data"]["generations"]] == [created[1], created[0]]


@pytest.mark.parametrize(
    ("query", "limit", "offset"),
    [
        ("", 50, 0),
        ("?limit=0", 1, 0),
        ("?limit=-3", 1, 0),
        ("?limit=1000", 100, 0),
        ("?offset=-1", 50, 0),
        ("?unknown=1", 50, 0),
        ("?offset=99999999999999999999", 50, 2**31 - 1),
    ],
)
async def test_10_8_numbers_outside_the_range_are_clamped_and_echoed(
    http: httpx.AsyncClient, customer: Customer, query: str, limit: int, offset: int
):
    body = (await http.get(f"/v1/content/list{query}", headers=customer.auth)).json()

    assert (body["limit"], body["offset"]) == (limit, offset)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=ten", "limit"),
        ("offset=1.5", "offset"),
        ("limit=", "limit"),
        ("limit=7.0", "limit"),
        ("offset=1_0", "offset"),
    ],
)
async def test_10_8_what_is_no_integer_is_refused(http: httpx.AsyncClient, customer: Customer, query: str, field: str):
    response = await http.get(f"/v1/content/list?{query}", headers=customer.auth)

    assert error_of(response) == (400, "BSE2001")
    assert response.json()["error"]["details"]["field"] == field


async def test_10_8_an_account_sees_only_its_own(http: httpx.AsyncClient, new_customer: NewCustomer):
    stranger = await new_customer()

    body = (await http.get("/v1/content/list", headers=stranger.auth)).json()

    assert (body["total"], body["data"]["generations"]) == (0, [])


async def test_10_9_a_cancel_ends_the_generation_and_gives_the_credits_back(
    http: httpx.AsyncClient, new_customer: NewCustomer, replicate: StagedProvider, pool: Pool
):
    customer = await new_customer(credits=1_000_000)
    generation_id = await a_running(http, customer, replicate)
    await processing(http, customer, generation_id)

    response = await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    assert data_of(response, GenerationCanceled) == {
        "generation_id": generation_id,
        "generation_status": "canceled",
        "provider_cancel_sent": True,
        "credits_refunded": True,
    }
    async with single(pool) as conn:
        assert (await ledger.balance(conn, customer.account_id)).available == 1_000_000
    read = data_of(await http.get(f"/v1/content/{generation_id}", headers=customer.auth), Generation)
    assert read["generation_status"] == "canceled"


async def test_1_5_a_cancel_needs_no_body_and_no_content_type(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_running(http, customer, replicate)
    headers = customer.auth | {"Content-Length": "0"}

    response = await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=headers)

    assert "content-type" not in response.request.headers
    assert response.status_code == 200


async def test_10_9_a_second_cancel_is_a_conflict(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_running(http, customer, replicate)
    await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    response = await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    assert error_of(response) == (409, "BSE3002")


async def test_10_9_a_finished_generation_cannot_be_canceled(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_finished(http, engine, customer, replicate)

    response = await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    assert error_of(response) == (409, "BSE3002")


async def test_10_10_a_delete_removes_the_files_and_then_the_record(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_finished(http, engine, customer, replicate)
    read = data_of(await http.get(f"/v1/content/{generation_id}", headers=customer.auth), Generation)

    response = await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)

    assert data_of(response, GenerationDeleted) == {"generation_id": generation_id, "files_deleted": 1}
    assert (await http.get(read["generation_output_file"][0])).status_code == 404
    assert error_of(await http.get(f"/v1/content/{generation_id}", headers=customer.auth)) == (404, "BSE3001")
    assert error_of(await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)) == (404, "BSE3001")
    listed = (await http.get("/v1/content/list?limit=100", headers=customer.auth)).json()["data"]["generations"]
    assert generation_id not in {item["generation_id"] for item in listed}


async def test_10_10_a_generation_in_progress_cannot_be_deleted(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_running(http, customer, replicate)

    response = await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)

    assert error_of(response) == (409, "BSE3003")


async def test_10_10_what_the_customer_wrote_is_gone_from_the_row(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider, pool: Pool
):
    generation_id = await a_finished(http, engine, customer, replicate)

    await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)

    async with single(pool) as conn:
        rows = await (
            await conn.execute(
                "SELECT to_jsonb(row)::text FROM store.generations AS row WHERE generation_id = %(id)s UNION ALL"
                " SELECT to_jsonb(row)::text FROM store.attempts AS row WHERE generation_id = %(id)s UNION ALL"
                " SELECT to_jsonb(row)::text FROM store.webhook_deliveries AS row WHERE generation_id = %(id)s",
                {"id": generation_id},
            )
        ).fetchall()
        assert (await ledger.check(conn)) == []
    assert len(rows) >= 2
    assert not [row for (row,) in rows if PROMPT in row]


async def test_10_10_of_two_deletions_at_once_one_succeeds_and_the_other_finds_nothing(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider
):
    generation_id = await a_finished(http, engine, customer, replicate)

    answers = await asyncio.gather(
        *(http.delete(f"/v1/content/{generation_id}", headers=customer.auth) for _ in range(5))
    )

    done, *refused = sorted(answers, key=lambda answer: answer.status_code)
    assert data_of(done, GenerationDeleted) == {"generation_id": generation_id, "files_deleted": 1}
    assert [error_of(answer) for answer in refused] == [(404, "BSE3001")] * 4


async def test_10_10_a_deletion_while_the_generation_is_ending_waits_for_its_end(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider, objects: LocalStore
):
    """Until the end is recorded it is refused; from then on it removes everything."""
    generation_id = await a_running(http, customer, replicate)
    replicate.finish(await replicate.submitted(attempt_id(generation_id, 1)))
    workflow = engine.get_workflow_handle_for(GenerationWorkflow.run, workflow_id(generation_id))
    await workflow.signal(GenerationWorkflow.provider_callback, CallbackReceived(1, "rung by hand"))

    refused = set()
    async with asyncio.timeout(20):
        while (answer := await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)).status_code != 200:
            refused.add(error_of(answer))

    assert refused <= {(409, "BSE3003")}
    assert data_of(answer, GenerationDeleted)["files_deleted"] == 1
    assert await workflow.result() == "succeeded"
    assert not objects.path(generation_folder("us", customer.account_id, generation_id)).exists()


async def test_10_10_what_other_attempts_left_behind_goes_as_well_and_is_not_counted(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider, objects: LocalStore
):
    generation_id = await a_finished(http, engine, customer, replicate)
    folder = objects.path(generation_folder("us", customer.account_id, generation_id))
    (folder / "another-attempt").mkdir()
    (folder / "another-attempt" / "0.png").write_bytes(A_PNG)

    answer = await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)

    assert data_of(answer, GenerationDeleted)["files_deleted"] == 1
    assert not folder.exists()


class NoCheck(LocalStore):
    """Is down as a whole."""

    async def check(self) -> None:
        raise StorageUnavailable("The store does not answer.")


class NoDelete(LocalStore):
    """Answers, but deletes nothing."""

    async def check(self) -> None: ...

    async def delete_folder(self, folder: str) -> int:
        raise StorageUnavailable("The store refuses.")


class NoAnswer(LocalStore):
    """Hangs."""

    async def check(self) -> None:
        await asyncio.sleep(3600)


@pytest.mark.parametrize("kind", [NoCheck, NoDelete, NoAnswer])
async def test_10_10_a_store_that_refuses_deletes_nothing_and_may_be_asked_again(
    http: httpx.AsyncClient,
    engine: Client,
    customer: Customer,
    replicate: StagedProvider,
    settings_app: FastAPI,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[LocalStore],
):
    if kind is NoAnswer:
        monkeypatch.setattr(content, "DELETE_WITHIN_S", 0.05)
    settings_app.state.services = replace(settings_app.state.services, objects=kind.__new__(kind))
    generation_id = await a_finished(http, engine, customer, replicate)

    async with reaching(settings_app, "127.0.0.1") as client:
        response = await client.delete(f"/v1/content/{generation_id}", headers=customer.auth)

    assert error_of(response) == (503, "BSE5002")
    assert response.json()["error"]["retryable"] is True
    read = data_of(await http.get(f"/v1/content/{generation_id}", headers=customer.auth), Generation)
    assert (read["generation_status"], read["generation_prompt"]) == ("succeeded", PROMPT)
    assert (await http.get(read["generation_output_file"][0])).content == A_PNG
    again = await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)
    assert data_of(again, GenerationDeleted)["files_deleted"] == 1


async def test_13_after_the_sweep_a_generation_is_marked_and_has_no_files(
    http: httpx.AsyncClient, engine: Client, customer: Customer, replicate: StagedProvider, pool: Pool
):
    generation_id = await a_finished(http, engine, customer, replicate)
    before = data_of(await http.get(f"/v1/content/{generation_id}", headers=customer.auth), Generation)
    assert "generation_removed" not in before

    async with single(pool) as conn:
        await retention.mark_files_removed(conn, [generation_id])

    read = data_of(await http.get(f"/v1/content/{generation_id}", headers=customer.auth), Generation)
    assert read == before | {"generation_output_file": None, "generation_removed": True}
    listed = (await http.get("/v1/content/list?limit=1", headers=customer.auth)).json()["data"]["generations"]
    assert listed == [read]
    deleted = await http.delete(f"/v1/content/{generation_id}", headers=customer.auth)
    assert data_of(deleted, GenerationDeleted) == {"generation_id": generation_id, "files_deleted": 0}


async def test_13_a_generation_that_never_had_files_is_not_said_to_have_lost_them(
    http: httpx.AsyncClient, customer: Customer, replicate: StagedProvider, pool: Pool
):
    generation_id = await a_running(http, customer, replicate)
    await http.post(f"/v1/content/generation/cancel/{generation_id}", headers=customer.auth)

    async with single(pool) as conn:
        await retention.mark_files_removed(conn, [generation_id])

    read = data_of(await http.get(f"/v1/content/{generation_id}", headers=customer.auth), Generation)
    assert read["generation_status"] == "canceled"
    assert "generation_removed" not in read
