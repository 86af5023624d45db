"""Every model of the catalogue, on each provider that hosts it: asked for over the API, made, stored and paid."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.end_to_end.conftest import a_caller
from tests.support.catalog import CATALOG, body_for
from tests.support.stack import Caller, StackProcess

AT_ONCE = 24
PATIENCE_S = 240


@dataclass(frozen=True)
class Way:
    model: str
    provider: str


def ways() -> list[Way]:
    today = datetime.now(UTC).date()
    return [
        Way(model.identifier, entry.provider)
        for model in CATALOG.models.values()
        for entry in model.entries_on(today)
    ]


@pytest.fixture(scope="module")
def buyer(stack: StackProcess) -> Caller:
    return a_caller(stack, stack.found, "every-model", credits="1000")


async def test_every_model_generates_on_every_provider_that_hosts_it(stack: StackProcess, buyer: Caller) -> None:
    async with httpx.AsyncClient(
        base_url=stack.found.config.api_url,
        headers={"authorization": f"Bearer {buyer.key}"},
        timeout=30,
        trust_env=False,
        limits=httpx.Limits(max_connections=AT_ONCE),
    ) as http:
        picture = await finished(http, Way("bfl/flux-schnell", "replicate"), {})
        clip = await finished(http, Way("pixverse/v5", "replicate"), {})
        files = {"image": picture["generation_output_file"][0], "video": clip["generation_output_file"][0]}
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(way: Way) -> tuple[Way, dict[str, Any]]:
            async with gate:
                return way, await finished(http, way, files)

        ended = await asyncio.gather(*map(one, ways()))

    wrong = [f"{way.model} on {way.provider}: {why}" for way, record in ended if (why := what_is_wrong(way, record))]
    assert not wrong, "\n".join(wrong)
    assert set(Counter(way.provider for way, _ in ended)) == set(CATALOG.providers)


async def finished(http: httpx.AsyncClient, way: Way, files: dict[str, str]) -> dict[str, Any]:
    model = CATALOG.models[way.model]
    asked = await http.post(
        f"/v1/generate/{model.media_type}/{way.model}",
        json=body_for(model, way.provider, files) | {"generation_provider_order": way.provider},
        headers={"idempotency-key": uuid4().hex},
    )
    if asked.status_code != 200:
        return {"refused": asked.json()["error"]}
    generation_id = asked.json()["data"]["generation_id"]
    async with asyncio.timeout(PATIENCE_S):
        while True:
            record: dict[str, Any] = (await http.get(f"/v1/content/{generation_id}")).json()["data"]
            if record["generation_status"] in {"succeeded", "failed", "canceled"}:
                return record
            await asyncio.sleep(0.3)


def what_is_wrong(way: Way, record: dict[str, Any]) -> str | None:
    if "refused" in record:
        return f"refused: {record['refused']}"
    if record["generation_status"] != "succeeded":
        return f"{record['generation_status']}: {record.get('generation_error')} {record.get('provider_errors', '')}"
    if record["generation_provider_used"] != way.provider:
        return f"made by {record['generation_provider_used']}"
    return None if len(record["generation_output_file"]) == 1 else "no output"
