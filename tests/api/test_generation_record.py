"""What operators see of one generation, and the account's policy about refused content."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from api.admin import schemas as accounts
from api.admin.generation_schemas import GenerationShown
from domain.errors import ContentRefused
from tests.api.conftest import Customer, NewCustomer, a_finished, generate
from tests.api.reading import data_of, refusal_of
from tests.support.staged_worker import StagedProvider
from tests.support.waiting import until_async

PATH = "/admin/v1/generations"
NEW_WORDS = {"decision", "deviations", "skipped", "defaulted", "mapping_version"}


async def shown(http: httpx.AsyncClient, operator: dict[str, str], generation_id: str) -> dict[str, Any]:
    return data_of(await http.get(f"{PATH}/{generation_id}", headers=operator), GenerationShown)


async def test_the_record_says_what_became_of_each_field_and_provider(
    http: httpx.AsyncClient, operator: dict[str, str], customer: Customer
):
    prompt = f"a boat {uuid.uuid4().hex}"
    asked = {"generation_prompt": prompt, "generation_output_format": "webp", "generation_provider_order": "fastest"}
    created = await generate(http, customer, **asked)
    generation_id = created.json()["data"]["generation_id"]

    answer = await http.get(f"{PATH}/{generation_id}", headers=operator)

    decision = data_of(answer, GenerationShown)["decision"]
    assert prompt not in answer.text
    assert decision["candidates"][0]["provider"] == "replicate"
    assert decision["candidates"][0]["used"]["generation_output_format"] == "output_format"
    assert "generation_ratio" in decision["defaulted"]
    assert "generation_output_format" not in decision["defaulted"]
    assert {"provider": "fal", "reason": "cannot_serve", "field": "generation_output_format", "value": "webp"} in (
        decision["skipped"]
    )


async def test_the_record_says_how_the_outputs_deviate(
    http: httpx.AsyncClient,
    engine: Client,
    operator: dict[str, str],
    new_customer: NewCustomer,
    replicate: StagedProvider,
):
    customer = await new_customer()
    generation_id = await a_finished(http, engine, customer, replicate)  # one pixel, which has the ratio asked for

    record = await shown(http, operator, generation_id)
    public = await http.get(f"/v1/content/{generation_id}", headers=customer.auth)

    assert (record["status"], record["deviations"], len(record["attempts"])) == ("succeeded", [], 1)
    assert record["settled"] == record["quote"] > 0
    assert not NEW_WORDS & set(public.json()["data"])


@pytest.mark.parametrize("generation_id", [str(uuid.UUID(int=7)), "nonsense"])
async def test_there_is_nothing_to_see_of_an_unknown_generation(
    http: httpx.AsyncClient, operator: dict[str, str], generation_id: str
):
    answer = await http.get(f"{PATH}/{generation_id}", headers=operator)

    assert (answer.status_code, refusal_of(answer)["code"]) == (404, "BSE3006")


async def test_a_customer_does_not_see_it(http: httpx.AsyncClient, customer: Customer):
    answer = await http.get(f"{PATH}/{uuid.UUID(int=7)}", headers=customer.auth)

    assert refusal_of(answer)["code"] == "BSE1002"


async def test_an_account_may_have_refused_content_shown_to_another_provider(
    http: httpx.AsyncClient, operator: dict[str, str], new_customer: NewCustomer, replicate: StagedProvider
):
    customer = await new_customer()
    prompt = f"a reef {uuid.uuid4().hex}"
    replicate.refuse(prompt, ContentRefused("A safety filter refused the prompt."))
    asked = {"generation_prompt": prompt, "generation_provider_order": "replicate, fal"}

    final = (await generate(http, customer, **asked)).json()["data"]["generation_id"]
    changed = await http.patch(
        f"/admin/v1/accounts/{customer.account_id}", headers=operator, json={"moderation_failover": True}
    )
    shopped = (await generate(http, customer, **asked)).json()["data"]["generation_id"]

    async def both_settled() -> bool:
        first, second = [await shown(http, operator, generation_id) for generation_id in (final, shopped)]
        return first["status"] == "failed" and len(second["attempts"]) == 2

    await until_async(both_settled)
    refused, shared = [await shown(http, operator, generation_id) for generation_id in (final, shopped)]
    audit = await http.get("/admin/v1/audit", headers=operator, params={"account_id": customer.account_id})
    assert data_of(changed, accounts.AccountShown)["moderation_failover"] is True
    assert (refused["error_code"], len(refused["attempts"])) == (ContentRefused.code, 1)
    assert [(one["provider"], one["fault"]) for one in shared["attempts"]] == [
        ("replicate", "customer"),
        ("fal", None),
    ]
    assert audit.json()["data"]["entries"][0]["details"] == {"moderation_failover": {"from": False, "to": True}}
    await http.post(f"/v1/content/generation/cancel/{shopped}", headers=customer.auth)
